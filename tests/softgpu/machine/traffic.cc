#include "machine/traffic.h"

#include <algorithm>
#include <array>
#include <bit>

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

}  // namespace

BankCounter::Load BankCounter::load(uint32_t mask, const uint64_t (&unit)[kLanes], uint32_t slots) {
  std::array<uint8_t, kBanks> taken{};
  Load load;
  for_lanes(mask, [&](int lane) {
    const uint64_t word = unit[lane] / 64;
    const uint64_t bit = uint64_t{1} << (unit[lane] % 64);
    if (word >= seen_.size()) seen_.resize(word + 1);
    if ((seen_[word] & bit) != 0) return;
    seen_[word] |= bit;
    ++load.distinct;
    load.fullest = std::max<uint32_t>(load.fullest, ++taken[unit[lane] & (slots - 1)]);
  });
  for_lanes(mask, [&](int lane) { seen_[unit[lane] / 64] = 0; });
  return load;
}

void BankCounter::add(Traffic& traffic, uint32_t mask, const uint64_t (&address)[kLanes], uint32_t bytes) {
  // A unit is what one lane asks for (at least a word); a row of all banks has `slots` of them, and as many
  // lanes go together.
  const uint32_t unit_bytes = std::max(bytes, kWord);
  const auto unit_log2 = static_cast<uint32_t>(std::countr_zero(unit_bytes));
  const uint32_t slots = kBanks * kWord / unit_bytes;
  const uint64_t one = address[std::countr_zero(mask)] >> unit_log2;
  uint64_t unit[kLanes];
  uint32_t slot[kLanes];
  uint64_t differs = 0;
  for (int lane = 0; lane < kLanes; ++lane) {
    unit[lane] = has(mask, lane) ? address[lane] >> unit_log2 : one;
    slot[lane] = has(mask, lane) ? 1U << (unit[lane] & (slots - 1)) : 0;
    differs |= unit[lane] ^ one;
  }
  ++traffic.accesses;
  traffic.bytes += static_cast<uint64_t>(std::popcount(mask)) * bytes;
  if (differs == 0) {
    ++traffic.actual;
    ++traffic.ideal;
    return;
  }
  uint32_t wavefronts = 0;
  bool each_its_own = true;  // within a part
  const uint32_t part = slots == kBanks ? kAllLanes : (1U << slots) - 1;
  for (uint32_t first = 0; first < kLanes; first += slots) {
    const uint32_t lanes = mask & (part << first);
    if (lanes == 0) continue;
    uint32_t taken = 0;
    for (uint32_t i = 0; i < slots; ++i) taken |= slot[first + i];
    const bool apart = std::popcount(taken) == std::popcount(lanes);
    wavefronts += apart ? 1 : load(lanes, unit, slots).fullest;
    each_its_own = each_its_own && apart;
  }
  if (each_its_own && slots == kBanks) {
    ++traffic.actual;
    ++traffic.ideal;
    return;
  }
  const Load all = load(mask, unit, slots);
  traffic.actual += all.distinct <= slots ? all.fullest : wavefronts;
  traffic.ideal += (all.distinct + slots - 1) / slots;
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
