#pragma once

#include "kernels/embedding/embedding.h"

namespace fovea {

namespace reference {
void run(Execution& execution, const Embedding& op);
void run(Execution& execution, const EmbeddingBackward& op);
}  // namespace reference

namespace cpu {
void run(Execution& execution, const Embedding& op);
void run(Execution& execution, const EmbeddingBackward& op);
}  // namespace cpu

}  // namespace fovea
