// What may not change a step: recompute, threads, the kind of stream, what lies in memory, the cut of the
// batch; and what a row may see.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "model/families.h"
#include "tests/model/small_model.h"

namespace fovea {
namespace {

How on_cpu(const Precision& precision, int threads = 1) {
  return {.backend = Backend::cpu, .precision = precision, .threads = threads};
}

// Four layers: every k-th then means something.
ModelCase four_layers(const std::string& name) {
  ModelCase c = case_named(name);
  c.config.layers = 4;
  if (!c.config.kv_heads_per_layer.empty()) c.config.kv_heads_per_layer = {4, 1, 2, 1};
  return c;
}

class AnyCase : public testing::TestWithParam<ModelCase> {};

TEST_P(AnyCase, RecomputeChangesNoBit) {
  const ModelCase c = four_layers(GetParam().name);
  const How hows[] = {{}, on_cpu(kF32), on_cpu(kBf16), on_cpu(kBf16Residual)};
  for (How how : hows) {
    const Step kept = SmallModel(c, how).train();
    for (const char* policy : {"block", "every 2", "every 3"}) {
      how.policy = recompute_policy_named(policy);
      EXPECT_TRUE(SmallModel(c, how).train().bits == kept.bits)
          << policy << " in " << name_of(how.precision.compute);
    }
  }
}

// Each slot in each block dropped or not by the toss of a coin: more than any policy does.
RecomputePolicy random_policy(uint32 number) {
  const RandomSequence random{number, RandomUse::synthetic, 1};
  RecomputePolicy policy;
  policy.cycle.resize(1 + random.below(4, 0));
  uint64 at = 1;
  for (SlotSet& slots : policy.cycle)
    for (size_t slot = 0; slot < kSlots; ++slot)
      if (random.below(2, at++) == 1) slots.add(static_cast<Slot>(slot));
  return policy;
}

TEST_P(AnyCase, AnySlotsMayBeRecomputedToTheSameBits) {
  const ModelCase c = four_layers(GetParam().name);
  for (How how : {on_cpu(kF32), on_cpu(kBf16Residual)}) {
    const Step kept = SmallModel(c, how).train();
    for (uint32 number = 0; number < 6; ++number) {
      how.policy = random_policy(number);
      EXPECT_TRUE(SmallModel(c, how).train().bits == kept.bits)
          << describe(how.policy, 4) << " in " << name_of(how.precision.compute);
    }
    for (size_t slot = 0; slot < kSlots; ++slot) {
      how.policy = {{SlotSet{static_cast<Slot>(slot)}}};
      EXPECT_TRUE(SmallModel(c, how).train().bits == kept.bits)
          << describe(how.policy, 4) << " in " << name_of(how.precision.compute);
    }
  }
}

TEST_P(AnyCase, RecomputeCostsWhatItsSlotsCost) {
  const ModelCase c = four_layers(GetParam().name);
  How how = on_cpu(kBf16);
  const SmallModel kept(c, how);
  const std::vector<SlotCost> costs = kept.slot_costs();
  for (uint32 number = 0; number < 6; ++number) {
    how.policy = random_policy(number);
    EXPECT_DOUBLE_EQ(SmallModel(c, how).planning().flops() - kept.planning().flops(),
                     cost_of(how.policy, costs).flops)
        << describe(how.policy, 4);
  }
  // What is kept of a slot is what is missing when it is dropped.
  int64 bytes = 0;
  for (const SlotCost& cost : costs) bytes += cost.bytes;
  EXPECT_EQ(cost_of({{SlotSet::all()}}, costs).bytes, bytes);
  EXPECT_GT(bytes, 0);
}

TEST_P(AnyCase, RecomputePlansLessMemoryAndMoreWork) {
  const ModelCase c = four_layers(GetParam().name);
  const auto planned = [&](const char* policy) {
    How how = on_cpu(kF32);
    how.policy = recompute_policy_named(policy);
    const SmallModel model(c, how);
    return std::pair(model.plan().bytes, model.planning().flops());
  };
  const auto [all_bytes, all_flops] = planned("none");
  const auto [two_bytes, two_flops] = planned("every 2");
  const auto [no_bytes, no_flops] = planned("block");
  EXPECT_LT(no_bytes, two_bytes);
  EXPECT_LT(two_bytes, all_bytes);
  EXPECT_GT(no_flops, two_flops);
  EXPECT_GT(two_flops, all_flops);
}

TEST_P(AnyCase, ThreadsAndDeferredStreamsChangeNoBit) {
  for (const Backend backend : {Backend::cpu, Backend::naive, Backend::reference})
    for (const Precision& precision : {kF32, kBf16}) {
      How how{.backend = backend, .precision = precision};
      const Step one = SmallModel(GetParam(), how).train();
      how.mode = Stream::Mode::deferred;
      EXPECT_TRUE(SmallModel(GetParam(), how).train().bits == one.bits) << name_of(backend) << ", deferred";
      how.mode = Stream::Mode::immediate;
      how.threads = 2;
      EXPECT_TRUE(SmallModel(GetParam(), how).train().bits == one.bits) << name_of(backend) << ", 2 threads";
    }
}

TEST_P(AnyCase, WhatLiesInMemoryChangesNoBit) {
  for (How how : {How{}, on_cpu(kF32), on_cpu(kBf16Residual)}) {
    const Step poisoned = SmallModel(GetParam(), how).train();
    how.poison = false;
    SmallModel model(GetParam(), how);
    EXPECT_TRUE(model.train().bits == poisoned.bits);
    EXPECT_TRUE(model.train().bits == poisoned.bits) << "a second time";
  }
}

TEST_P(AnyCase, StepIsWhatWasPlanned) {
  How how = on_cpu(kBf16);
  how.policy = recompute_policy_named("every 2");
  SmallModel model(GetParam(), how), other(GetParam(), how);
  ASSERT_EQ(model.plan().placements.size(), other.plan().placements.size());
  for (size_t i = 0; i < model.plan().placements.size(); ++i) {
    EXPECT_EQ(model.plan().placements[i].offset, other.plan().placements[i].offset);
    EXPECT_EQ(model.plan().placements[i].bytes, other.plan().placements[i].bytes);
  }
  model.train();  // aborts where it takes anything else
  EXPECT_EQ(model.stream().flops(), model.planning().flops());
  EXPECT_EQ(model.stream().peak_scratch_bytes(), model.planning().peak_scratch_bytes());
}

TEST_P(AnyCase, GradientsAreAddedToWhatIsThere) {
  SmallModel model(GetParam(), {});
  const Step once = model.train();
  const Step twice = model.train(false);
  for (size_t id = 0; id < once.gradients.size(); ++id)
    for (size_t i = 0; i < once.gradients[id].values.size(); ++i)
      ASSERT_NEAR(twice.gradients[id].values[i], 2 * once.gradients[id].values[i], 1e-11)
          << once.gradients[id].name;
}

// Dropout and positions included: which sequences stand together in a grain does not matter.
TEST_P(AnyCase, BatchIsTheSumOfItsSequences) {
  const ModelCase& whole = GetParam();
  if (!whole.documents.empty()) return;
  const Step expected = SmallModel(whole, {}).train();
  size_t row = 0;
  std::vector<Gradient> sums;
  for (int64 sequence = 0; sequence < whole.sequences; ++sequence) {
    ModelCase part = whole;
    part.first_sequence = sequence;
    part.sequences = 1;
    const Step step = SmallModel(part, {}).train();
    for (const double loss : step.losses) EXPECT_NEAR(loss, expected.losses[row++], 1e-12);
    if (sums.empty()) {
      sums = step.gradients;
      continue;
    }
    for (size_t id = 0; id < sums.size(); ++id)
      for (size_t i = 0; i < sums[id].values.size(); ++i) sums[id].values[i] += step.gradients[id].values[i];
  }
  ASSERT_EQ(row, expected.losses.size());
  for (size_t id = 0; id < sums.size(); ++id)
    for (size_t i = 0; i < sums[id].values.size(); ++i)
      ASSERT_NEAR(sums[id].values[i], expected.gradients[id].values[i], 1e-11) << sums[id].name;
}

// The rows whose losses may depend on the token of row r: from r on, within its document, and no further than
// the windows of all layers reach together.
Range influenced(const ModelCase& c, int64 r) {
  std::vector<int64> bounds = c.documents;
  if (bounds.empty())
    for (int64 s = 0; s <= c.sequences; ++s) bounds.push_back(s * c.length);
  const int64 end = *std::upper_bound(bounds.begin(), bounds.end(), r);
  int64 reach = 0;
  const DecoderShape shape = decoder_shape(c.config, c.vocabulary);
  for (const Mask& mask : shape.masks) reach += mask.left < 0 ? end : mask.left;
  return {r, std::min(end, r + reach + 1)};
}

TEST_P(AnyCase, TokenReachesWhatSeesItAndNothingElse) {
  SmallModel model(GetParam(), {});
  const std::vector<double> before = model.losses();
  int32* tokens = model.tokens().data<int32>();
  const auto rows = static_cast<int64>(before.size());
  for (int64 r = 0; r < rows; ++r) {
    const int32 token = tokens[r];
    tokens[r] = (token + 1) % static_cast<int32>(GetParam().vocabulary);
    const std::vector<double> after = model.losses();
    tokens[r] = token;
    const Range reached = influenced(GetParam(), r);
    for (int64 i = 0; i < rows; ++i) {
      const auto at = static_cast<size_t>(i);
      if (i < reached.begin || i >= reached.end) {
        EXPECT_EQ(after[at], before[at]) << "the token of row " << r << " moved row " << i;
      } else if (before[at] != 0) {
        EXPECT_NE(after[at], before[at]) << "row " << i << " does not see the token of row " << r;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, AnyCase, testing::ValuesIn(model_cases()),
                         [](const auto& test) { return test.param.name; });

class LargerCase : public testing::TestWithParam<const char*> {};

TEST_P(LargerCase, HasTheSameBitsAtAnyNumberOfThreads) {
  const ModelCase c = larger_case(GetParam());
  for (const Precision& precision : {kF32, kBf16}) {
    const Step one = SmallModel(c, on_cpu(precision)).train();
    for (const int threads : {2, 3})
      EXPECT_TRUE(SmallModel(c, on_cpu(precision, threads)).train().bits == one.bits)
          << threads << " threads in " << name_of(precision.compute);
    How how = on_cpu(precision, 3);
    how.policy = recompute_policy_named("every 3");
    how.mode = Stream::Mode::deferred;
    EXPECT_TRUE(SmallModel(c, how).train().bits == one.bits) << "deferred, recomputed";
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, LargerCase,
                         testing::Values("llama_dropout", "mistral", "gpt2_documents_dropout", "neox",
                                         "qwen3", "gemma2_documents_dropout"));

TEST(Dropout, IsDrawnAnewForEverySequence) {
  ModelCase first = case_named("llama_dropout"), second = first;
  second.first_sequence = 1;
  SmallModel a(first, {}), b(second, {});
  std::copy_n(a.tokens().data<int32>(), a.tokens().elements(), b.tokens().data<int32>());
  EXPECT_NE(a.losses()[0], b.losses()[0]);
}

TEST(Probe, NamesWhereNaNBegan) {
  for (const auto& [parameter, place] :
       {std::pair("blocks.1.mlp.down.weight", "blocks.1.mlp"),
        std::pair("blocks.0.attention.q.weight", "blocks.0.attention"), std::pair("embed.weight", "embed")}) {
    SmallModel model(case_named("llama"), {});
    const View weight = model.parameter(model.decoder().layout().find(parameter));
    for (int64 row = 0; row < weight.size(0); ++row) store(weight, {row, 0}, std::nan(""));
    fovea::Probe probe;
    model.train(true, &probe);
    const auto bad = std::find_if(probe.sums.begin(), probe.sums.end(),
                                  [](const auto& sum) { return !std::isfinite(sum.second.get()); });
    ASSERT_NE(bad, probe.sums.end());
    EXPECT_EQ(bad->first, place);
  }
}

TEST(AttentionScale, OfTheFamilySaidAloudChangesNoBit) {
  ModelCase said = case_named("llama");  // heads of 4
  said.config.attention_scale = 0.5;
  for (const How& how : {How{}, on_cpu(kF32), on_cpu(kBf16)}) {
    EXPECT_TRUE(SmallModel(said, how).train().bits == SmallModel(case_named("llama"), how).train().bits);
    EXPECT_FALSE(SmallModel(case_named("llama_attention_scale"), how).train().bits ==
                 SmallModel(said, how).train().bits);
  }
}

TEST(RecomputePolicy, IsReadFromItsName) {
  EXPECT_TRUE(recompute_policy_named("none").drops(0).empty());
  for (const int64 block : {0, 1, 7}) EXPECT_EQ(recompute_policy_named("block").drops(block), SlotSet::all());
  for (const int64 block : {0, 12, 24})
    EXPECT_EQ(recompute_policy_named("every 12").drops(block), SlotSet::all());
  for (const int64 block : {1, 11, 13, 23})
    EXPECT_TRUE(recompute_policy_named("every 12").drops(block).empty());
  EXPECT_TRUE(recompute_policy_named("every 9999999999").drops(1).empty());
  for (const char* wrong : {"", "all", "every", "every ", "every 0", "every -1", "every 2x",
                            "every 99999999999999999999", "every two"})
    try {
      recompute_policy_named(wrong);
      ADD_FAILURE() << "accepted: " << wrong;
    } catch (const UserError& error) {
      EXPECT_EQ(error.code(), ExitCode::usage);
      EXPECT_THAT(error.what(), testing::HasSubstr("choose none, block, selective"));
      EXPECT_THAT(error.what(), testing::Not(testing::HasSubstr("\n")));
    }
}

TEST(RecomputePolicy, SaysWhatItDrops) {
  const SlotSet norms = {Slot::norm1, Slot::norm2};
  EXPECT_EQ(describe({}, 4), "nothing");
  EXPECT_EQ(describe(recompute_policy_named("block"), 4), "everything of every block");
  EXPECT_EQ(describe(recompute_policy_named("every 2"), 5), "everything of blocks 0, 2, 4");
  EXPECT_EQ(describe({{norms}}, 1), "norm1, norm2 of every block");
  EXPECT_EQ(describe({{norms, norms, SlotSet{Slot::q}, {}}}, 4),
            "norm1, norm2 of blocks 0 to 1; q of block 2");
}

// Norms and the product of activations are filled by operations per element, all others by products over the
// width (48 here: 24 operations per byte in f32, 48 in bf16) or over the keys.
TEST(RecomputePolicy, SelectiveDropsWhatIsCheap) {
  const auto selected = [](const char* name, const Precision& precision) {
    const ModelCase c = larger_case(name);
    const RecomputePolicy policy =
        recompute_policy_named("selective", SmallModel(c, on_cpu(precision)).slot_costs());
    EXPECT_EQ(policy.cycle.size(), 1u);
    return policy.drops(0);
  };
  const SlotSet cheap = {Slot::norm1, Slot::norm2, Slot::product};
  for (const Precision& precision : {kF32, kBf16}) {
    EXPECT_EQ(selected("mistral", precision), cheap);
    EXPECT_EQ(selected("neox", precision), cheap);
    SlotSet with_heads = cheap;  // which a norm makes from the projections: those are kept
    with_heads.add(Slot::q);
    with_heads.add(Slot::k);
    EXPECT_EQ(selected("qwen3", precision), with_heads);
  }
}

TEST(RecomputePolicy, BuysMemoryByRisingPrice) {
  const std::vector<SlotCost> costs = SmallModel(larger_case("mistral"), on_cpu(kF32)).slot_costs();
  const std::vector<SlotSet> sets = slots_by_cost(costs);
  ASSERT_EQ(sets.size(), 11u);  // none, and one more of the 10 slots each time
  EXPECT_TRUE(sets[0].empty());
  double before = 0;
  for (size_t i = 1; i < sets.size(); ++i) {
    const RecomputeCost all = cost_of({{sets[i]}}, costs), others = cost_of({{sets[i - 1]}}, costs);
    ASSERT_GT(all.bytes, others.bytes);
    const double price = (all.flops - others.flops) / static_cast<double>(all.bytes - others.bytes);
    EXPECT_GE(price, before);
    before = price;
  }
}

}  // namespace
}  // namespace fovea
