#pragma once

#include "core/stream.h"
#include "core/types.h"
#include "model/step_context.h"

namespace fovea {

/// What a run holds that no plan walks over, measured once and stated here (docs/lab-notes.md has how): pages
/// of code that it comes to execute, kernels that oneDNN generates, operands that oneDNN packs on each
/// thread, and the small things on the heap (journal, run file).
int64 library_bytes(Backend backend, const Precision& precision, int threads);

}  // namespace fovea
