#pragma once

#include "kernels/attention/attention.h"
#include "kernels/cuda_only.h"

namespace fovea {

const AttentionBackend& reference_attention_backend();  ///< fp64, obvious: the oracle
const AttentionBackend& naive_attention_backend();      ///< materialised scores, unfused: the baseline
FOVEA_CPU_ONLY const AttentionBackend& cpu_attention_backend();  ///< tiled, online softmax
/// Flash attention on the device; absent in builds without a CUDA compiler.
FOVEA_CUDA_ONLY const AttentionBackend& cuda_attention_backend();
/// cuDNN's attention on the device; absent in builds without its headers.
FOVEA_CUDNN_ONLY const AttentionBackend& cudnn_attention_backend();

}  // namespace fovea
