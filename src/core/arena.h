#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/buffer.h"

namespace fovea {

/// Where every buffer of a step stands: the result of walking the step once without memory.
struct MemoryPlan {
  struct Placement {
    std::string name;
    int64 bytes = 0, offset = 0;
    int64 first = 0, last = 0;  ///< the interval of events in which it lives
  };
  std::vector<Placement> placements;  ///< in the order in which the step takes them
  int64 bytes = 0;                    ///< of the arena
};

class Arena;

/// A buffer that lives in an arena until the block is destroyed or released. Moves, does not copy.
class Block {
 public:
  Block() = default;
  Block(Block&& other) noexcept;
  Block& operator=(Block&& other) noexcept;
  ~Block() { release(); }
  void release();
  explicit operator bool() const { return arena_ != nullptr; }
  const View& view() const { return view_; }
  operator const View&() const { return view_; }  // NOLINT(google-explicit-constructor)

 private:
  friend class Arena;
  Arena* arena_ = nullptr;
  size_t index_ = 0;
  View view_;
};

/// Gives the buffers of a step their places. First the step is walked with a recording arena (and a planning
/// stream): views then point nowhere. plan() turns what was taken and released into offsets. Replaying the
/// same step over and over takes the same buffers at the same places: a step allocates nothing.
class Arena {
 public:
  Arena() = default;  ///< recording
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  Block take(std::string_view name, DType dtype, std::initializer_list<int64> shape);

  bool recording() const { return plan_ == nullptr; }
  /// Ends the recording: every block has been released.
  MemoryPlan plan() const;
  /// From now on blocks are taken out of `memory` (at least plan.bytes, both outlive the arena's use) as
  /// planned.
  void replay(const MemoryPlan& plan, const Buffer& memory);
  /// The step starts again from its first buffer.
  void rewind();
  /// Tests fill each buffer with NaN when it is taken.
  void poison(bool on) { poison_ = on; }

 private:
  friend class Block;
  std::vector<MemoryPlan::Placement> recorded_;
  int64 clock_ = 0;
  const MemoryPlan* plan_ = nullptr;
  std::byte* memory_ = nullptr;
  Device device_ = Device::cpu;
  size_t next_ = 0, live_ = 0;
  bool poison_ = false;
};

}  // namespace fovea
