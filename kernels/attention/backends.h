#pragma once

#include "kernels/attention/attention.h"

namespace fovea {

const AttentionBackend& reference_attention_backend();  ///< fp64, obvious: the oracle
const AttentionBackend& naive_attention_backend();      ///< materialised scores, unfused: the baseline
const AttentionBackend& cpu_attention_backend();        ///< tiled, online softmax

}  // namespace fovea
