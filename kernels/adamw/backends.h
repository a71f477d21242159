#pragma once

#include "kernels/adamw/adamw.h"

namespace fovea {

namespace reference {
void run(Execution& execution, const AdamW& op);
}  // namespace reference

namespace cpu {
int64 scratch_bytes(const AdamW& op);
void run(Execution& execution, const AdamW& op);
}  // namespace cpu

}  // namespace fovea
