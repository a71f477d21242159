#include "machine/traffic.h"

#include <algorithm>
#include <array>

namespace softgpu {
namespace {

constexpr uint32_t kBanks = 32;
constexpr uint32_t kWord = 4;
constexpr uint32_t kSector = 32;

// Values without their repetitions. Accesses mostly ascend: those need no sorting.
struct Distinct {
  std::array<uint64_t, 4 * kLanes> value;
  uint32_t count = 0;
  bool ascending = true;

  void add(uint64_t v) {
    if (count > 0 && value[count - 1] == v) return;
    ascending = ascending && (count == 0 || value[count - 1] < v);
    value[count++] = v;
  }
  uint32_t settle() {
    if (!ascending) {
      std::sort(value.begin(), value.begin() + count);
      count = static_cast<uint32_t>(std::unique(value.begin(), value.begin() + count) - value.begin());
    }
    return count;
  }
};

uint32_t most_in_one_bank(const Distinct& words) {
  std::array<uint8_t, kBanks> load{};
  for (uint32_t i = 0; i < words.count; ++i) ++load[words.value[i] % kBanks];
  return *std::max_element(load.begin(), load.end());
}

}  // namespace

void count_shared(Traffic& traffic, uint32_t mask, const uint64_t (&address)[kLanes], uint32_t bytes) {
  const uint32_t words_each = std::max(bytes / kWord, 1U);
  const int lanes_together = static_cast<int>(kBanks / words_each);
  Distinct all;
  uint32_t wavefronts = 0;
  for (int first = 0; first < kLanes; first += lanes_together) {
    Distinct part;
    for (int lane = first; lane < first + lanes_together; ++lane) {
      if (!has(mask, lane)) continue;
      for (uint32_t w = 0; w < words_each; ++w) {
        part.add(address[lane] / kWord + w);
        all.add(address[lane] / kWord + w);
      }
    }
    part.settle();
    wavefronts += most_in_one_bank(part);
  }
  const uint32_t words = all.settle();
  ++traffic.accesses;
  traffic.actual += words <= kBanks ? most_in_one_bank(all) : wavefronts;
  traffic.ideal += (words + kBanks - 1) / kBanks;
  traffic.bytes += static_cast<uint64_t>(__builtin_popcount(mask)) * bytes;
}

void count_global(Traffic& traffic, uint32_t mask, const uint64_t (&address)[kLanes], uint32_t bytes) {
  Distinct sectors, starts;
  for_lanes(mask, [&](int lane) {
    sectors.add(address[lane] / kSector);
    starts.add(address[lane] / bytes);
  });
  ++traffic.accesses;
  traffic.actual += sectors.settle();
  traffic.ideal += (uint64_t{starts.settle()} * bytes + kSector - 1) / kSector;
  traffic.bytes += static_cast<uint64_t>(__builtin_popcount(mask)) * bytes;
}

}  // namespace softgpu
