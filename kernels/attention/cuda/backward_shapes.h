#pragma once

#include "kernels/attention/cuda/backward_shape.h"

namespace fovea::cuda {

// The tiles of FlashAttention-2 on an A100 (docs/lab-notes.md); heads of other sizes are padded to the next.
using Backward32 = BackwardShape<32, 32, 64, 128, 4, 4, 4, true, 2>;
using Backward64 = BackwardShape<64, 64, 128, 128, 4, 4, 4, true>;
using Backward96 = BackwardShape<96, 96, 64, 128, 2, 4, 4, true>;
using Backward128 = BackwardShape<128, 128, 64, 128, 2, 4, 2, true>;
using Backward192By128 = BackwardShape<192, 128, 64, 64, 4, 2, 2, true>;
using Backward192 = BackwardShape<192, 192, 64, 64, 4, 2, 2, true>;
using Backward256 = BackwardShape<256, 256, 64, 64, 4, 2, 2, false>;

// For devices whose blocks have no more than 99 KiB of shared memory (compute capability 8.6, 8.9, 12.0).
using Backward64Small = BackwardShape<64, 64, 64, 128, 2, 4, 4, true>;
using Backward128Small = BackwardShape<128, 128, 64, 64, 4, 2, 2, true>;
static_assert(Backward64Small::kSharedBytes <= 99 * 1024 && Backward128Small::kSharedBytes <= 99 * 1024);

constexpr int64 kRoomyShared = 163 * 1024;

/// Whether a device with so much shared memory for a block has a shape for heads of these sizes.
constexpr bool backward_fits(int64 qk_dim, int64 v_dim, int64 shared_bytes) {
  const int64 most = qk_dim > v_dim ? qk_dim : v_dim;
  return most <= (shared_bytes >= kRoomyShared ? 256 : 128) && shared_bytes >= 99 * 1024;
}

/// f<Shape>() with the smallest shape that heads of these sizes fit.
template <class F>
auto dispatch_backward(int64 qk_dim, int64 v_dim, int64 shared_bytes, F f) {
  const int64 most = qk_dim > v_dim ? qk_dim : v_dim;
  if (most <= 32) return f.template operator()<Backward32>();
  if (shared_bytes < kRoomyShared) {
    if (most <= 64) return f.template operator()<Backward64Small>();
    return f.template operator()<Backward128Small>();
  }
  if (most <= 64) return f.template operator()<Backward64>();
  if (most <= 96) return f.template operator()<Backward96>();
  if (most <= 128) return f.template operator()<Backward128>();
  if (qk_dim <= 192 && v_dim <= 128) return f.template operator()<Backward192By128>();
  if (most <= 192) return f.template operator()<Backward192>();
  return f.template operator()<Backward256>();
}

}  // namespace fovea::cuda
