#include "machine/traffic.h"

#include <algorithm>
#include <array>
#include <bit>
#include <vector>

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

// A set of small numbers that is emptied by what was put in.
class SmallSet {
 public:
  // True if it is new.
  bool add(uint64_t value) {
    if (value / 64 >= bits_.size()) bits_.resize(value / 64 + 1);
    uint64_t& word = bits_[value / 64];
    const uint64_t bit = uint64_t{1} << (value % 64);
    const bool fresh = (word & bit) == 0;
    word |= bit;
    return fresh;
  }
  void remove(uint64_t value) { bits_[value / 64] = 0; }

 private:
  std::vector<uint64_t> bits_;
};

// The most distinct units that `mask`'s lanes ask of one of `slots` slots.
uint32_t most_in_one_slot(SmallSet& set, uint32_t mask, const uint64_t (&unit)[kLanes], uint32_t slots) {
  std::array<uint8_t, kBanks> load{};
  uint32_t most = 0;
  for_lanes(mask, [&](int lane) {
    if (set.add(unit[lane])) most = std::max<uint32_t>(most, ++load[unit[lane] % slots]);
  });
  for_lanes(mask, [&](int lane) { set.remove(unit[lane]); });
  return most;
}

uint32_t distinct(SmallSet& set, uint32_t mask, const uint64_t (&unit)[kLanes]) {
  uint32_t found = 0;
  for_lanes(mask, [&](int lane) { found += set.add(unit[lane]) ? 1 : 0; });
  for_lanes(mask, [&](int lane) { set.remove(unit[lane]); });
  return found;
}

}  // namespace

void count_shared(Traffic& traffic, uint32_t mask, const uint64_t (&address)[kLanes], uint32_t bytes) {
  static thread_local SmallSet set;
  // A unit is what one lane asks for (at least a word); a row of all banks has `slots` of them, and as many
  // lanes go together.
  const uint32_t unit_bytes = std::max(bytes, kWord);
  const auto unit_log2 = static_cast<uint32_t>(std::countr_zero(unit_bytes));
  const uint32_t slots = kBanks * kWord / unit_bytes;
  uint64_t unit[kLanes];
  uint32_t slot[kLanes];
  SOFTGPU_LANES
  for (int lane = 0; lane < kLanes; ++lane) {
    unit[lane] = address[lane] >> unit_log2;
    slot[lane] = has(mask, lane) ? 1U << (unit[lane] & (slots - 1)) : 0;
  }
  uint32_t wavefronts = 0;
  const uint32_t part = slots == kBanks ? kAllLanes : (1U << slots) - 1;
  for (uint32_t first = 0; first < kLanes; first += slots) {
    uint32_t taken = 0;
    for (uint32_t i = 0; i < slots; ++i) taken |= slot[first + i];
    const uint32_t lanes = mask & (part << first);
    const bool each_its_own = std::popcount(taken) == std::popcount(lanes);
    wavefronts += lanes == 0 ? 0 : each_its_own ? 1 : most_in_one_slot(set, lanes, unit, slots);
  }
  const uint32_t units = distinct(set, mask, unit);
  ++traffic.accesses;
  traffic.actual += units <= slots ? most_in_one_slot(set, mask, unit, slots) : wavefronts;
  traffic.ideal += (units + slots - 1) / slots;
  traffic.bytes += static_cast<uint64_t>(std::popcount(mask)) * bytes;
}

void count_global(Traffic& traffic, uint32_t mask, const uint64_t (&address)[kLanes], uint32_t bytes) {
  uint64_t out_of_row = mask == kAllLanes ? 0 : 1;
  for (int i = 0; i < kLanes; ++i) out_of_row |= address[i] ^ (address[0] + static_cast<uint64_t>(i) * bytes);
  if (out_of_row == 0) {
    const uint64_t total = uint64_t{bytes} * kLanes;
    ++traffic.accesses;
    traffic.actual += (address[0] + total - 1) / kSector - address[0] / kSector + 1;
    traffic.ideal += (total + kSector - 1) / kSector;
    traffic.bytes += total;
    return;
  }
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
