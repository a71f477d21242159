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
  if (++launch_ < 1 << 11) return launch_;
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
bool GlobalShadow::before(uint64_t record, uint32_t warp) {
  if (record >> kLaunch != launch_) return true;
  if (block_of(record) != block_)
    return order_.ordered(block_of(record), warp_of(record), generation_of(record), warp);
  return clock_.ordered(warp_of(record), generation_of(record), warp);
}

bool GlobalShadow::readable(uint64_t written, uint32_t warp, bool synchronises) {
  return (synchronises && (written & kFlag) != 0) || before(written, warp);
}

bool GlobalShadow::writable(uint64_t written, uint64_t read, uint32_t warp, bool synchronises) {
  if (!readable(written, warp, synchronises)) return false;
  if (read >> kLaunch != launch_) return true;
  if (block_of(read) == block_ && generation_of(read) <= clock_.settled()) return true;
  return (read & kFlag) == 0 && before(read, warp);
}

// A reader that is before this one need not be remembered; one that is not is remembered as one of many.
uint64_t GlobalShadow::read_record(uint64_t earlier, uint32_t warp) {
  const uint64_t mine = record(warp);
  if (earlier >> kLaunch != launch_) return mine;
  if ((earlier & kFlag) == 0 && before(earlier, warp)) return mine;
  if (block_of(earlier) != block_) return mine | kFlag | kManyBlocks << kBlock;
  return generation_of(earlier) <= clock_.settled() ? mine : mine | kFlag;
}

// good(page, first, count) for the granules of [offset, offset + bytes), page by page.
template <class F>
bool GlobalShadow::each_run(uint64_t offset, uint32_t bytes, F good) {
  const uint64_t granules = uint64_t{1} << (GlobalRecords::kPageLog2 - granule_);
  uint64_t i = offset >> granule_;
  const uint64_t end = ((offset + bytes - 1) >> granule_) + 1;
  while (i < end) {
    const uint64_t in_page = i & (granules - 1);
    const uint64_t count = std::min(end - i, granules - in_page);
    if (!good(page(i << granule_), in_page, count)) return false;
    i += count;
  }
  return true;
}

bool GlobalShadow::read(uint64_t offset, uint32_t bytes, uint32_t warp, bool synchronises) {
  const uint64_t mine = record(warp);
  const uint64_t many = (launch_ << kLaunch | kManyBlocks << kBlock) >> kBlock;
  return each_run(offset, bytes, [&](GlobalRecords::Page& at, uint64_t first, uint64_t count) {
    uint64_t* write = at.write.data() + first;
    uint64_t* read = at.read.data() + first;
    uint32_t good = synchronises ? 0 : 1;
    for (uint64_t k = 0; k < count; ++k) {
      good &= (harmless(write[k], mine) ? 1U : 0U) &
              ((harmless_read(read[k], mine) ? 1U : 0U) | (read[k] >> kBlock == many ? 1U : 0U));
    }
    if (good != 0) {
      for (uint64_t k = 0; k < count; ++k) read[k] = read[k] >> kBlock == many ? read[k] : mine;
      return true;
    }
    for (uint64_t k = 0; k < count; ++k) {
      if (!readable(write[k], warp, synchronises)) return false;
      if (!synchronises) read[k] = read_record(read[k], warp);
    }
    return true;
  });
}

bool GlobalShadow::write(uint64_t offset, uint32_t bytes, uint32_t warp, bool synchronises) {
  const uint64_t mine = record(warp) | (synchronises ? kFlag : 0);
  return each_run(offset, bytes, [&](GlobalRecords::Page& at, uint64_t first, uint64_t count) {
    uint64_t* write = at.write.data() + first;
    uint64_t* read = at.read.data() + first;
    uint32_t good = 1;
    for (uint64_t k = 0; k < count; ++k) {
      good &= (harmless(write[k], mine) ? 1U : 0U) & (harmless_read(read[k], mine) ? 1U : 0U);
    }
    for (uint64_t k = 0; k < count; ++k) {
      if (good == 0 && !writable(write[k], read[k], warp, synchronises)) return false;
      write[k] = mine;
      read[k] = 0;
    }
    return true;
  });
}

std::string GlobalShadow::problem(uint64_t offset, uint32_t bytes, uint32_t warp, bool writes,
                                  bool synchronises) {
  auto who = [&](uint64_t record) {
    if (block_of(record) == kManyBlocks) return std::string("several blocks");
    if (block_of(record) != block_)
      return fmt::format("warp {} of block {}", warp_of(record), block_of(record));
    return (record & kFlag) != 0 ? std::string("several warps of this block")
                                 : fmt::format("warp {} of this block", warp_of(record));
  };
  std::string text;
  each_run(offset, bytes, [&](GlobalRecords::Page& at, uint64_t first, uint64_t count) {
    for (uint64_t k = first; k < first + count; ++k) {
      if (!readable(at.write[k], warp, synchronises)) {
        const bool atomic = (at.write[k] & kFlag) != 0;
        text = fmt::format(
            "warp {} of {} wrote it{} in this launch", warp_of(at.write[k]),
            block_of(at.write[k]) == block_ ? "this block" : fmt::format("block {}", block_of(at.write[k])),
            atomic ? " atomically" : "");
        return false;
      }
      if (writes && !writable(at.write[k], at.read[k], warp, synchronises)) {
        text = who(at.read[k]) + " read it in this launch";
        return false;
      }
    }
    return true;
  });
  return text + ", and nothing orders the two";
}

}  // namespace softgpu
