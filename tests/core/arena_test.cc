#include "core/arena.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <vector>

namespace fovea {
namespace {

/// A step's memory as a script: take a buffer of so many floats, or release one that is live.
struct Event {
  bool take;
  int64 floats;  ///< of what is taken
  size_t which;  ///< of the live ones, what is released
};

std::vector<Event> any_step() {
  const auto count = *rc::gen::inRange(1, 40);
  std::vector<Event> events;
  for (int i = 0; i < count; ++i)
    events.push_back({*rc::gen::weightedElement<bool>({{3, true}, {2, false}}),
                      *rc::gen::inRange<int64>(0, 300), *rc::gen::arbitrary<size_t>()});
  return events;
}

/// Walks the step; calls seen(live blocks) after each event, when every block is still what it was.
template <class Seen>
void walk(Arena& arena, const std::vector<Event>& events, Seen seen) {
  std::vector<Block> live;
  for (const Event& event : events) {
    if (event.take) {
      live.push_back(arena.take("buffer", DType::f32, {event.floats}));
    } else if (!live.empty()) {
      live.erase(live.begin() + static_cast<std::ptrdiff_t>(event.which % live.size()));
    }
    seen(live);
  }
}

bool overlap(const MemoryPlan::Placement& a, const MemoryPlan::Placement& b) {
  const bool in_time = a.first <= b.last && b.first <= a.last;
  const bool in_space = a.offset < b.offset + b.bytes && b.offset < a.offset + a.bytes;
  return in_time && in_space && a.bytes > 0 && b.bytes > 0;
}

RC_GTEST_PROP(ArenaProperty, BuffersThatLiveAtOnceNeverOverlap, ()) {
  Arena arena;
  int64 most = 0;  // bytes live at once: no plan can do with less
  walk(arena, any_step(), [&](const std::vector<Block>& live) {
    int64 bytes = 0;
    for (const Block& block : live) bytes += round_up(block.view().bytes(), 64);
    most = std::max(most, bytes);
  });
  const MemoryPlan plan = arena.plan();
  int64 sum = 0;
  for (size_t i = 0; i < plan.placements.size(); ++i) {
    const MemoryPlan::Placement& one = plan.placements[i];
    RC_ASSERT(one.offset % 64 == 0 && one.offset >= 0 && one.offset + one.bytes <= plan.bytes);
    for (size_t j = 0; j < i; ++j) RC_ASSERT(!overlap(one, plan.placements[j]));
    sum += one.bytes;
  }
  RC_ASSERT(most <= plan.bytes && plan.bytes <= sum);
}

// From the outside: each live buffer keeps what was written into it, step after step.
RC_GTEST_PROP(ArenaProperty, AReplayedStepKeepsEveryLiveBuffer, ()) {
  const std::vector<Event> events = any_step();
  Arena arena;
  walk(arena, events, [](const std::vector<Block>&) {});
  const MemoryPlan plan = arena.plan();
  const Buffer memory(std::max<int64>(plan.bytes, 1));
  arena.replay(plan, memory);
  for (int step = 0; step < 2; ++step) {
    std::map<void*, float> written;
    float mark = 0;
    walk(arena, events, [&](const std::vector<Block>& live) {
      std::map<void*, float> still;
      for (const Block& block : live) {
        const View& view = block.view();
        if (view.elements() == 0) continue;
        float* data = view.data<float>();
        const auto known = written.find(data);
        if (known == written.end()) std::fill(data, data + view.elements(), mark += 1);
        const float expected = known == written.end() ? mark : known->second;
        RC_ASSERT(std::all_of(data, data + view.elements(), [&](float x) { return x == expected; }));
        still[data] = expected;
      }
      written = still;
    });
    arena.rewind();
  }
}

TEST(Arena, WhatDiesBeforeGivesItsPlace) {
  Arena arena;
  { const Block a = arena.take("a", DType::f32, {100}); }
  { const Block b = arena.take("b", DType::f32, {100}); }
  EXPECT_EQ(arena.plan().bytes, 448);  // 400 bytes, rounded up to 64
}

TEST(Arena, PoisonFillsWithNan) {
  Arena arena;
  { const Block a = arena.take("a", DType::f32, {5}); }
  const MemoryPlan plan = arena.plan();
  const Buffer memory(plan.bytes);
  arena.replay(plan, memory);
  {
    const Block a = arena.take("a", DType::f32, {5});
    EXPECT_EQ(load(a, {4}), 0);
  }
  arena.rewind();
  arena.poison(true);
  const Block a = arena.take("a", DType::f32, {5});
  for (int64 i = 0; i < 5; ++i) EXPECT_TRUE(std::isnan(load(a, {i})));
}

TEST(Arena, BlocksMoveAndReleaseOnce) {
  Arena arena;
  Block a = arena.take("a", DType::f32, {5});
  Block b = std::move(a);
  EXPECT_FALSE(a);  // NOLINT(bugprone-use-after-move): what a moved block is, is what is tested
  EXPECT_TRUE(b);
  b = arena.take("b", DType::f32, {5});
  b.release();
  b.release();
  EXPECT_EQ(arena.plan().placements.size(), 2u);
}

TEST(ArenaDeath, AStepThatIsNotTheRecordedOneIsABrokenInvariant) {
  Arena arena;
  { const Block a = arena.take("a", DType::f32, {16}); }
  const MemoryPlan plan = arena.plan();
  const Buffer memory(plan.bytes);
  arena.replay(plan, memory);
  EXPECT_DEATH((void)arena.take("b", DType::f32, {16}), "planned a of 64 bytes, taken b of 64");
  EXPECT_DEATH((void)arena.take("a", DType::f32, {17}), "planned a of 64 bytes, taken a of 128");
  const Block a = arena.take("a", DType::f32, {16});
  EXPECT_DEATH((void)arena.take("a", DType::f32, {16}), "more buffers than were planned");
  EXPECT_DEATH(arena.rewind(), "1 blocks are still live");
}

TEST(ArenaDeath, APlanNeedsEveryBlockReleased) {
  Arena arena;
  const Block a = arena.take("a", DType::f32, {1});
  EXPECT_DEATH((void)arena.plan(), "1 live");
}

}  // namespace
}  // namespace fovea
