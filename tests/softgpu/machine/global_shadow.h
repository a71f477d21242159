#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "machine/block_clock.h"
#include "machine/launch_order.h"

namespace softgpu {

/// Who last wrote and read each granule of global memory in this launch. It outlives launches: records bear
/// the launch's number, so that nothing is cleared between them.
class GlobalRecords {
 public:
  struct Page {
    std::vector<uint64_t> write, read;
  };
  static constexpr uint32_t kPageLog2 = 16;  // bytes of memory

  /// The page of an offset in global memory, for granules of 2^granule bytes.
  Page& page(uint64_t offset, uint32_t granule);
  /// A number that no record bears.
  uint64_t next_launch();

 private:
  std::array<std::unordered_map<uint64_t, std::unique_ptr<Page>>, 5> pages_;
  uint64_t launch_ = 0;
};
GlobalRecords& global_records();

/// Finds races on global memory: between warps of one block where no barrier is between, and between blocks
/// where no release and acquire are (LaunchOrder).
class GlobalShadow {
 public:
  GlobalShadow(uint32_t granule_log2, const BlockClock& clock, LaunchOrder& order);
  void begin_block(uint64_t block) { block_ = block; }

  /// Checks and records an access to [offset, offset + bytes). False where it is wrong, and then problem()
  /// says how.
  bool read(uint64_t offset, uint32_t bytes, uint32_t warp, bool synchronises);
  bool write(uint64_t offset, uint32_t bytes, uint32_t warp, bool synchronises);
  std::string problem(uint64_t offset, uint32_t bytes, uint32_t warp, bool writes, bool synchronises);

 private:
  // A record: launch (11 bits, and a zero before), block (24), warp (5), generation (22), and one bit: an
  // atomic write, or a read by several warps that are in no order.
  static constexpr uint64_t kFlag = 1;
  static constexpr uint32_t kGeneration = 1, kWarp = 23, kBlock = 28, kLaunch = 52;
  static constexpr uint64_t kManyBlocks = (uint64_t{1} << 24) - 1;
  uint64_t record(uint32_t warp) const {
    return launch_ << kLaunch | (block_ & kManyBlocks) << kBlock | uint64_t{warp} << kWarp |
           uint64_t{clock_.generation()} << kGeneration;
  }
  static uint32_t warp_of(uint64_t record) { return (record >> kWarp) & 31; }
  static uint64_t block_of(uint64_t record) { return (record >> kBlock) & kManyBlocks; }
  static uint32_t generation_of(uint64_t record) { return (record >> kGeneration) & ((1U << 22) - 1); }
  bool before(uint64_t record, uint32_t warp);
  // Of an earlier launch, or the warp's own.
  bool harmless(uint64_t record, uint64_t mine) const {
    return static_cast<int64_t>(record) < static_cast<int64_t>(launch_ << kLaunch) ||
           (record >> kWarp) == (mine >> kWarp);
  }
  // The same of a read, which is not the warp's own where others have read, too.
  bool harmless_read(uint64_t record, uint64_t mine) const {
    return harmless(record, mine) && ((record & kFlag) == 0 || record >> kLaunch != launch_);
  }
  bool readable(uint64_t written, uint32_t warp, bool synchronises);
  bool writable(uint64_t written, uint64_t read, uint32_t warp, bool synchronises);
  uint64_t read_record(uint64_t before, uint32_t warp);
  template <class F>
  bool each_run(uint64_t offset, uint32_t bytes, F good);
  GlobalRecords::Page& page(uint64_t offset);

  const BlockClock& clock_;
  LaunchOrder& order_;
  uint32_t granule_;
  uint64_t launch_;
  uint64_t block_ = 0;
  uint64_t last_number_ = UINT64_MAX;  // of the page that was used last
  GlobalRecords::Page* last_page_ = nullptr;
};

}  // namespace softgpu
