#include "machine/global_shadow.h"

#include <fmt/format.h>

#include <algorithm>

namespace softgpu {

GlobalRecords::Page& GlobalRecords::page(uint64_t offset, uint32_t granule) {
  auto& place = pages_.at(granule)[offset >> kPageLog2];
  if (place == nullptr) {
    place = std::make_unique<Page>();
    place->write.resize(size_t{1} << (kPageLog2 - granule));
    place->read.resize(size_t{1} << (kPageLog2 - granule));
  }
  return *place;
}

uint64_t GlobalRecords::next_launch() {
  if (++launch_ < 1 << 12) return launch_;
  for (auto& pages : pages_) pages.clear();
  return launch_ = 1;
}

GlobalRecords& global_records() {
  static GlobalRecords& records = *new GlobalRecords;
  return records;
}

GlobalShadow::GlobalShadow(uint32_t granule_log2, const BlockClock& clock, LaunchOrder& order)
    : clock_(clock), order_(order), granule_(granule_log2), launch_(global_records().next_launch()) {}

GlobalRecords::Page& GlobalShadow::page(uint64_t offset) {
  const uint64_t number = offset >> GlobalRecords::kPageLog2;
  if (number != last_number_) {
    last_page_ = &global_records().page(offset, granule_);
    last_number_ = number;
  }
  return *last_page_;
}

// Whether what the record says is before what the warp does now; true of other launches.
inline bool GlobalShadow::before(uint64_t record, uint32_t warp) {
  if (record >> kLaunch != launch_) return true;
  if (block_of(record) != block_)
    return order_.ordered(block_of(record), warp_of(record), generation_of(record), warp);
  return clock_.ordered(warp_of(record), generation_of(record), warp);
}

inline bool GlobalShadow::read_one(GlobalRecords::Page& page, uint64_t i, uint32_t warp, bool synchronises) {
  const uint64_t written = page.write[i];
  if (!(synchronises && (written & kFlag) != 0) && !before(written, warp)) return false;
  if (synchronises) return true;
  uint64_t& read = page.read[i];
  const uint64_t mine = record(warp);
  // A reader that is before this one need not be remembered; one that is not is remembered as one of many.
  if (read >> kLaunch != launch_) {
    read = mine;
  } else if ((read & kFlag) == 0 && before(read, warp)) {
    read = mine;
  } else if (block_of(read) == block_ && generation_of(read) <= clock_.settled()) {
    read = mine;
  } else if (block_of(read) == block_) {
    read = mine | kFlag;
  } else {
    read = mine | kFlag | kManyBlocks << kBlock;
  }
  return true;
}

inline bool GlobalShadow::write_one(GlobalRecords::Page& page, uint64_t i, uint32_t warp, bool synchronises) {
  const uint64_t written = page.write[i];
  const uint64_t read = page.read[i];
  if (!(synchronises && (written & kFlag) != 0) && !before(written, warp)) return false;
  if (read >> kLaunch == launch_) {
    const bool settled = block_of(read) == block_ && generation_of(read) <= clock_.settled();
    if (!settled && ((read & kFlag) != 0 || !before(read, warp))) return false;
    page.read[i] = 0;
  }
  page.write[i] = record(warp) | (synchronises ? kFlag : 0);
  return true;
}

std::string GlobalShadow::describe(const GlobalRecords::Page& page, uint64_t i, uint32_t warp) {
  auto who = [&](uint64_t record) {
    if (block_of(record) == kManyBlocks) return std::string("several blocks");
    if (block_of(record) == block_) return fmt::format("warp {} of this block", warp_of(record));
    return fmt::format("warp {} of block {}", warp_of(record), block_of(record));
  };
  const uint64_t written = page.write[i];
  if (written >> kLaunch == launch_ && !before(written, warp)) {
    return fmt::format("{} wrote it in this launch, and nothing orders the two", who(written));
  }
  return fmt::format("{} read it in this launch, and nothing orders the two", who(page.read[i]));
}

template <class F>
std::string GlobalShadow::each(uint64_t offset, uint32_t bytes, uint32_t warp, F good) {
  const uint64_t in_page = (uint64_t{1} << (GlobalRecords::kPageLog2 - granule_)) - 1;
  const uint64_t last = (offset + bytes - 1) >> granule_;
  for (uint64_t i = offset >> granule_; i <= last; ++i) {
    GlobalRecords::Page& at = page(i << granule_);
    if (!good(at, i & in_page)) return describe(at, i & in_page, warp);
  }
  return "";
}

std::string GlobalShadow::read(uint64_t offset, uint32_t bytes, uint32_t warp, bool synchronises) {
  return each(offset, bytes, warp,
              [&](GlobalRecords::Page& at, uint64_t i) { return read_one(at, i, warp, synchronises); });
}

std::string GlobalShadow::write(uint64_t offset, uint32_t bytes, uint32_t warp, bool synchronises) {
  return each(offset, bytes, warp,
              [&](GlobalRecords::Page& at, uint64_t i) { return write_one(at, i, warp, synchronises); });
}

}  // namespace softgpu
