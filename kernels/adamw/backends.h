#pragma once

#include "kernels/adamw/adamw.h"

namespace fovea {

namespace reference {
void run(Execution& execution, const AdamW& op);
}  // namespace reference

namespace cpu {
void run(Execution& execution, const AdamW& op);
}  // namespace cpu

}  // namespace fovea
