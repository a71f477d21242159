#pragma once

#include <cstdint>

namespace softgpu {

constexpr int kLanes = 32;
constexpr uint32_t kAllLanes = 0xFFFFFFFF;

// Lanes read and write their own element only: arrays that are the same are no reason not to vectorise.
#if defined(__clang__)
#define SOFTGPU_LANES _Pragma("clang loop vectorize(assume_safety)")
#else
#define SOFTGPU_LANES _Pragma("GCC ivdep")
#endif

inline bool has(uint32_t mask, int lane) { return ((mask >> lane) & 1) != 0; }

/// result[lane] = f(lane) for the lanes of `mask`. f has no effects and may be called for any lane.
template <class T, class F>
inline void each_lane(T* result, uint32_t mask, F f) {
  if (mask == kAllLanes) {
    SOFTGPU_LANES
    for (int lane = 0; lane < kLanes; ++lane) result[lane] = f(lane);
    return;
  }
  T value[kLanes];
  SOFTGPU_LANES
  for (int lane = 0; lane < kLanes; ++lane) value[lane] = f(lane);
  SOFTGPU_LANES
  for (int lane = 0; lane < kLanes; ++lane) result[lane] = has(mask, lane) ? value[lane] : result[lane];
}

/// f(lane) for the lanes of `mask`, in order.
template <class F>
inline void for_lanes(uint32_t mask, F f) {
  for (; mask != 0; mask &= mask - 1) f(__builtin_ctz(mask));
}

/// The lanes for which f(lane) holds.
template <class F>
inline uint32_t lanes_where(F f) {
  uint32_t flags[kLanes];
  SOFTGPU_LANES
  for (int lane = 0; lane < kLanes; ++lane) flags[lane] = f(lane) ? 1U << lane : 0U;
  uint32_t bits = 0;
  for (int lane = 0; lane < kLanes; ++lane) bits |= flags[lane];
  return bits;
}

}  // namespace softgpu
