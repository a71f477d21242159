#pragma once

#include <cuda_runtime_api.h>

#include <string>
#include <string_view>

namespace fovea::cuda {

/// What was launched last, for the message of an error that shows later: "rms_norm <<<(32, 1, 1), (256, 1,
/// 1), 0 B>>>".
void remember_launch(std::string_view kernel, dim3 grid, dim3 block, size_t shared_bytes);

/// Throws UserError (failed) unless the call came back well: the call, CUDA's words, the last launch and a
/// hint.
void check(cudaError_t error, std::string_view call);

}  // namespace fovea::cuda
