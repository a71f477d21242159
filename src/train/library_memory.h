#pragma once

#include "core/stream.h"
#include "core/types.h"

namespace fovea {

/// What a run holds beside its buffers and no plan walks over, as measured (docs/lab-notes.md): pages of code
/// that it comes to execute, kernels that oneDNN generates, the run's journal and files on the heap; and per
/// thread the operands that oneDNN packs, with what the heap keeps of them between calls. `width`: of the
/// model's residual stream.
int64 library_bytes(Backend backend, DType compute, int64 width, int threads);

}  // namespace fovea
