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

  /// Checks and records an access to [offset, offset + bytes). Returns "" or what is wrong.
  std::string read(uint64_t offset, uint32_t bytes, uint32_t warp, bool synchronises);
  std::string write(uint64_t offset, uint32_t bytes, uint32_t warp, bool synchronises);

 private:
  // A record: launch (12 bits), block (24), warp (5), generation (22), and one bit: an atomic write, or a
  // read by several warps that are in no order.
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
  bool read_one(GlobalRecords::Page& page, uint64_t i, uint32_t warp, bool synchronises);
  bool write_one(GlobalRecords::Page& page, uint64_t i, uint32_t warp, bool synchronises);
  template <class F>
  std::string each(uint64_t offset, uint32_t bytes, uint32_t warp, F good);
  std::string describe(const GlobalRecords::Page& page, uint64_t i, uint32_t warp);
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
