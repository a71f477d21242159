// What a trainer allocates is what was predicted. Every buffer but the very large comes from one operator
// new[], which is replaced here by one that counts.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <new>
#include <unordered_map>

#include "helpers.h"

namespace {

std::atomic<bool> counting{false};
std::atomic<fovea::int64> live_bytes{0}, peak_bytes{0}, allocations{0};

std::atomic<bool> counting_small{false};
std::atomic<fovea::int64> small_allocations{0};

struct Sizes {
  std::mutex mutex;
  std::unordered_map<void*, fovea::int64> of;
};
Sizes& sizes() {
  static Sizes instance;
  return instance;
}

}  // namespace

// Not inlined: g++ would take the pair of malloc and delete for a mistake.
[[gnu::noinline]] void* operator new(std::size_t size) {
  if (counting_small) ++small_allocations;
  void* p = std::malloc(size > 0 ? size : 1);
  if (!p) throw std::bad_alloc();
  return p;
}
[[gnu::noinline]] void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  if (counting_small) ++small_allocations;
  return std::malloc(size > 0 ? size : 1);
}
[[gnu::noinline]] void operator delete(void* p) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete(void* p, std::size_t) noexcept { std::free(p); }

void* operator new[](std::size_t size, std::align_val_t alignment) {
  const auto to = static_cast<std::size_t>(alignment);
  void* p = std::aligned_alloc(to, (size + to - 1) / to * to);
  if (!p) throw std::bad_alloc();
  if (counting) {
    const std::lock_guard lock(sizes().mutex);
    sizes().of[p] = static_cast<fovea::int64>(size);
    live_bytes += static_cast<fovea::int64>(size);
    peak_bytes = std::max<fovea::int64>(peak_bytes, live_bytes);
    ++allocations;
  }
  return p;
}

void operator delete[](void* p, std::align_val_t) noexcept {
  {
    const std::lock_guard lock(sizes().mutex);
    if (const auto found = sizes().of.find(p); found != sizes().of.end()) {
      live_bytes -= found->second;
      sizes().of.erase(found);
    }
  }
  std::free(p);
}

void operator delete[](void* p, std::size_t, std::align_val_t alignment) noexcept {
  ::operator delete[](p, alignment);
}

namespace fovea {
namespace {

class CountBuffers {
 public:
  CountBuffers() {
    live_bytes = peak_bytes = allocations = 0;
    counting = true;
  }
  ~CountBuffers() { counting = false; }
};

struct MemoryCase {
  const char* name;
  void (*set)(Config&);
  Backend backend = Backend::cpu;
};
void PrintTo(const MemoryCase& memory, std::ostream* out) { *out << memory.name; }

class Memory : public testing::TestWithParam<MemoryCase> {};

TEST_P(Memory, IsWhatWasPredicted) {
  SmallRun run;
  GetParam().set(run.config);
  const Dataset dataset = run.dataset();
  const CountBuffers count;
  auto trainer = std::make_unique<Trainer>(run.config, dataset, GetParam().backend, 2);
  trainer->initialise_weights();
  trainer->step();
  trainer->evaluate();
  const int64 predicted = trainer->plan().buffer_bytes();
  // Each buffer is rounded up to 64 bytes.
  EXPECT_GE(peak_bytes, predicted);
  EXPECT_LE(peak_bytes, predicted + 64 * allocations);
  EXPECT_EQ(live_bytes, peak_bytes);
  const int64 made = allocations;
  trainer->step();
  trainer->evaluate();
  EXPECT_EQ(allocations, made) << "a later step allocates";
  trainer.reset();
  EXPECT_EQ(live_bytes, 0);
}

// Buffers are not all: what a step asks of the heap in small pieces.
TEST_P(Memory, IsNotAskedForInAStep) {
  if (GetParam().backend != Backend::cpu) GTEST_SKIP() << "the oracle and the baseline make matrices";
  SmallRun run;
  GetParam().set(run.config);
  if (run.config.data.documents) GTEST_SKIP() << "bounds of documents are made with each grain";
  const Dataset dataset = run.dataset();
  Trainer trainer(run.config, dataset, Backend::cpu, 2);
  trainer.initialise_weights();
  for (int i = 0; i < 3; ++i) trainer.step();
  small_allocations = 0;
  counting_small = true;
  trainer.step();
  counting_small = false;
  EXPECT_EQ(small_allocations, 0);
}

INSTANTIATE_TEST_SUITE_P(
    Trainer, Memory,
    testing::Values(MemoryCase{"plain", [](Config&) {}},
                    MemoryCase{"one_grain", [](Config& c) { c.train.grain = c.train.batch; }},
                    MemoryCase{"three_grains", [](Config& c) { c.train.batch = 6; }},
                    MemoryCase{"seven_grains", [](Config& c) { c.train.batch = 13; }},
                    MemoryCase{"recompute", [](Config& c) { c.train.recompute = "block"; }},
                    MemoryCase{"selective", [](Config& c) { c.train.recompute = "selective"; }},
                    MemoryCase{"bf16", [](Config& c) { c.train.precision = "bf16"; }},
                    MemoryCase{"bf16_residual",
                               [](Config& c) { c.train.precision = c.train.residual_dtype = "bf16"; }},
                    MemoryCase{"dropout", [](Config& c) { c.model.dropout = 0.1; }},
                    MemoryCase{"documents", [](Config& c) { c.data.documents = true; }},
                    MemoryCase{"gpt2",
                               [](Config& c) {
                                 c.model.family = "gpt2";
                                 c.model.kv_heads = 4;
                               }},
                    MemoryCase{"naive", [](Config&) {}, Backend::naive},
                    MemoryCase{"reference", [](Config&) {}, Backend::reference},
                    MemoryCase{"f64", [](Config& c) { c.train.precision = "f64"; }, Backend::reference}),
    [](const auto& test) { return std::string(test.param.name); });

TEST(MemoryPlan, RecomputingTakesLess) {
  SmallRun run;
  run.config.model.layers = 6;
  run.config.model.width = 64;
  const Dataset dataset = run.dataset();
  const auto arena = [&](const char* policy) {
    run.config.train.recompute = policy;
    return Trainer(run.config, dataset, Backend::cpu, 1).plan().train.bytes;
  };
  EXPECT_LT(arena("every 2"), arena("none"));
  EXPECT_LT(arena("selective"), arena("none"));
  EXPECT_LT(arena("block"), arena("selective"));
  EXPECT_LT(arena("block"), arena("every 2"));
}

TEST(MemoryPlan, CountsAGrainAndNotTheBatch) {
  SmallRun run;
  const Dataset dataset = run.dataset();
  const auto plan = [&](int64 batch) {
    run.config.train.batch = batch;
    return Trainer(run.config, dataset, Backend::cpu, 1).plan();
  };
  EXPECT_EQ(plan(4).train.bytes, plan(64).train.bytes);
  EXPECT_EQ(plan(4).train_flops_per_token(), plan(64).train_flops_per_token());
}

}  // namespace
}  // namespace fovea
