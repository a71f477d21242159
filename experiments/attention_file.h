#pragma once

#include <filesystem>

#include "core/stream.h"

namespace fovea {

/// Reads an attention problem (HDF5; the format is in tests/golden/README.md), computes it on a backend and
/// writes the answers: out and lse, and where the problem has dout also dq, dk, dv and (with a sink) dsink.
/// The reference backend takes the rounded inputs and answers in float64, the others in float32 what they
/// computed in the problem's dtype. Throws UserError: input where the file is missing or wrong, unavailable
/// where the backend cannot do the problem, failed where the answer cannot be written; usage for one file as
/// both.
void run_attention_file(const std::filesystem::path& in, const std::filesystem::path& out, Backend backend,
                        int threads);

}  // namespace fovea
