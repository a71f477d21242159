#pragma once

#include "kernels/residual/dropout.h"

namespace fovea {

namespace reference {
void run(Execution& execution, const ResidualAdd& op);
void run(Execution& execution, const ResidualAddBackward& op);
}  // namespace reference

namespace cpu {
void run(Execution& execution, const ResidualAdd& op);
void run(Execution& execution, const ResidualAddBackward& op);
}  // namespace cpu

}  // namespace fovea
