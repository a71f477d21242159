#pragma once

namespace fovea {

/// Mistakes that attention kernels have been seen to make. A build with -DFOVEA_PLANTED_BUG=name makes one of
/// them on purpose, and the tests must then fail: they prove the tests, not the kernels.
enum class Bug {
  none,
  window_off_by_one,  ///< the window shows one key more on its left
  head_modulo,        ///< query head h reads key/value head h mod kv_heads
  missing_rescale,    ///< the accumulator is not rescaled when the running maximum grows
  group_not_summed,   ///< dk and dv hold the last query head of a group alone
  tail_unmasked,      ///< keys beyond the last visible one of a partial tile take part
  wrong_delta,        ///< delta is the sum of dout * dout instead of dout * out
};

#ifndef FOVEA_PLANTED_BUG
#define FOVEA_PLANTED_BUG none
#endif

constexpr Bug kPlantedBug = Bug::FOVEA_PLANTED_BUG;
constexpr bool planted(Bug bug) { return kPlantedBug != Bug::none && bug == kPlantedBug; }

}  // namespace fovea
