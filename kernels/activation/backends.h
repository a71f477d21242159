#pragma once

#include "kernels/activation/activation.h"

namespace fovea {

namespace reference {
void run(Execution& execution, const Activation& op);
void run(Execution& execution, const ActivationBackward& op);
}  // namespace reference

namespace cpu {
void run(Execution& execution, const Activation& op);
void run(Execution& execution, const ActivationBackward& op);
}  // namespace cpu

}  // namespace fovea
