#include "core/arena.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "core/device.h"

namespace fovea {

Block::Block(Block&& other) noexcept { *this = std::move(other); }

Block& Block::operator=(Block&& other) noexcept {
  if (this == &other) return *this;
  release();
  arena_ = std::exchange(other.arena_, nullptr);
  index_ = other.index_;
  view_ = std::exchange(other.view_, View());
  return *this;
}

void Block::release() {
  if (!arena_) return;
  if (arena_->recording()) arena_->recorded_[index_].last = arena_->clock_++;
  --arena_->live_;
  arena_ = nullptr;
  view_ = View();
}

Block Arena::take(std::string_view name, DType dtype, std::initializer_list<int64> shape) {
  Block block;
  block.arena_ = this;
  ++live_;
  View view(nullptr, dtype, shape);
  const int64 bytes = round_up(view.bytes(), 64);
  if (recording()) {
    block.index_ = recorded_.size();
    recorded_.push_back({std::string(name), bytes, 0, clock_++, -1});
    block.view_ = view;
    return block;
  }
  FOVEA_CHECK(next_ < plan_->placements.size(), "the step takes more buffers than were planned ({})", name);
  const MemoryPlan::Placement& placement = plan_->placements[next_];
  FOVEA_CHECK(placement.name == name && placement.bytes == bytes, "planned {} of {} bytes, taken {} of {}",
              placement.name, placement.bytes, name, bytes);
  block.index_ = next_++;
  std::byte* data = memory_ + placement.offset;
  if (poison_ && device_ == Device::cuda)
    device::fill(data, 0xff, bytes);
  else if (poison_)
    std::memset(data, 0xff, static_cast<size_t>(bytes));
  block.view_ = View(data, dtype, shape, device_);
  return block;
}

MemoryPlan Arena::plan() const {
  FOVEA_CHECK(recording() && live_ == 0, "a plan is made when every block has been released ({} live)",
              live_);
  MemoryPlan plan{recorded_, 0};
  // Largest first, each at the lowest offset that is free for all of its life (Pisarchyk and Lee 2020, greedy
  // by size).
  std::vector<size_t> order(recorded_.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return recorded_[a].bytes > recorded_[b].bytes; });
  std::vector<size_t> placed;  // by offset
  for (size_t index : order) {
    MemoryPlan::Placement& one = plan.placements[index];
    int64 offset = 0;
    for (size_t other_index : placed) {
      const MemoryPlan::Placement& other = plan.placements[other_index];
      if (other.last < one.first || one.last < other.first) continue;
      if (offset + one.bytes <= other.offset) break;
      offset = std::max(offset, other.offset + other.bytes);
    }
    one.offset = offset;
    plan.bytes = std::max(plan.bytes, offset + one.bytes);
    const auto at = std::upper_bound(placed.begin(), placed.end(), offset, [&](int64 value, size_t i) {
      return value < plan.placements[i].offset;
    });
    placed.insert(at, index);
  }
  return plan;
}

void Arena::replay(const MemoryPlan& plan, const Buffer& memory) {
  FOVEA_CHECK(live_ == 0, "{} blocks are still live", live_);
  plan_ = &plan;
  FOVEA_CHECK(memory.bytes() >= plan.bytes, "{} bytes planned, {} given", plan.bytes, memory.bytes());
  memory_ = memory.data();
  device_ = memory.device();
  next_ = 0;
}

void Arena::rewind() {
  FOVEA_CHECK(live_ == 0, "{} blocks are still live at the end of a step", live_);
  next_ = 0;
}

}  // namespace fovea
