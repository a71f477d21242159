#include "convert/gqa.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <functional>

#include "core/error.h"
#include "core/random.h"

namespace fovea {
namespace {

constexpr int64 kHeadDim = 3, kWidth = 5, kQueryHeads = 8;

// A block with biases and QK-norm, and what is around it.
ParameterLayout layout_with(int64 kv_heads, int64 width = kWidth) {
  ParameterLayout layout;
  layout.add_matrix("embed.weight", 11, width, 0.02);
  for (const std::string block : {"blocks.0.", "blocks.1."}) {
    layout.add_vector(block + "attention_norm.weight", width, 1);
    layout.add_matrix(block + "attention.q.weight", kQueryHeads * kHeadDim, width, 0.02);
    for (const std::string which : {"attention.k", "attention.v"}) {
      layout.add_matrix(block + which + ".weight", kv_heads * kHeadDim, width, 0.02);
      layout.add_vector(block + which + ".bias", kv_heads * kHeadDim, 0);
    }
    layout.add_vector(block + "attention.k_norm.weight", kHeadDim, 1);
  }
  return layout;
}

std::vector<float> random_parameters(const ParameterLayout& layout, uint64 seed) {
  std::vector<float> values(static_cast<size_t>(layout.elements()), 0.0f);
  for (const Parameter& p : layout.parameters())
    for (int64 i = 0; i < p.elements(); ++i)
      values[static_cast<size_t>(p.offset + i)] = static_cast<float>(
          RandomSequence{seed, RandomUse::synthetic, 0}.normal(static_cast<uint64>(p.offset + i)));
  return values;
}

std::vector<float> convert(int64 from, const std::vector<float>& parameters, int64 to, GqaInit init,
                           uint64 seed = 1) {
  return convert_kv_heads(layout_with(from), parameters, layout_with(to), {init, kHeadDim, seed});
}

std::span<const float> parameter(const ParameterLayout& layout, const std::vector<float>& values,
                                 std::string_view name) {
  const Parameter& p = layout[layout.find(name)];
  return std::span(values).subspan(static_cast<size_t>(p.offset), static_cast<size_t>(p.elements()));
}

constexpr std::string_view kConverted[] = {"blocks.0.attention.k.weight", "blocks.0.attention.v.bias",
                                           "blocks.1.attention.v.weight", "blocks.1.attention.k.bias"};

RC_GTEST_PROP(Gqa, HeadsComeFromThoseOfTheSameQueries, ()) {
  using Pair = std::pair<int64, int64>;
  const auto [from, to] =
      *rc::gen::elementOf(std::vector<Pair>{{8, 4}, {8, 2}, {8, 1}, {4, 2}, {4, 1}, {2, 1}});
  const GqaInit init = *rc::gen::element(GqaInit::mean, GqaInit::first);
  const ParameterLayout source = layout_with(from), target = layout_with(to);
  const std::vector<float> before = random_parameters(source, 3), after = convert(from, before, to, init);
  for (const std::string_view name : kConverted) {
    const auto old_values = parameter(source, before, name), new_values = parameter(target, after, name);
    const size_t columns = name.ends_with("bias") ? 1 : kWidth;
    for (int64 head = 0; head < to; ++head)
      for (size_t i = 0; i < kHeadDim * columns; ++i) {
        // The heads of all queries that will read this one, each read by q_heads / from queries.
        double sum = 0;
        int64 first = from, count = 0;
        for (int64 query = 0; query < kQueryHeads; ++query) {
          if (query / (kQueryHeads / to) != head) continue;
          const int64 source_head = query / (kQueryHeads / from);
          sum += static_cast<double>(old_values[static_cast<size_t>(source_head) * kHeadDim * columns + i]);
          first = std::min(first, source_head);
          ++count;
        }
        const double expected =
            init == GqaInit::mean
                ? sum / static_cast<double>(count)
                : static_cast<double>(old_values[static_cast<size_t>(first) * kHeadDim * columns + i]);
        const float actual = new_values[static_cast<size_t>(head) * kHeadDim * columns + i];
        RC_ASSERT(std::abs(static_cast<double>(actual) - expected) <= 3e-7);
      }
  }
}

TEST(Gqa, EverythingElseIsCopiedAndGapsStayZero) {
  const ParameterLayout source = layout_with(8), target = layout_with(2);
  const std::vector<float> before = random_parameters(source, 3);
  for (GqaInit init : {GqaInit::mean, GqaInit::first, GqaInit::random}) {
    const std::vector<float> after = convert(8, before, 2, init);
    std::vector<bool> covered(after.size(), false);
    for (const Parameter& p : target.parameters()) {
      std::fill_n(covered.begin() + p.offset, p.elements(), true);
      if (p.name.find(".k.") != std::string::npos || p.name.find(".v.") != std::string::npos) continue;
      EXPECT_TRUE(std::ranges::equal(parameter(source, before, p.name), parameter(target, after, p.name)))
          << p.name;
    }
    for (size_t i = 0; i < after.size(); ++i) {
      ASSERT_TRUE(covered[i] || after[i] == 0) << i;
    }
  }
}

TEST(Gqa, AMeanOfMeansIsTheMean) {
  const std::vector<float> mha = random_parameters(layout_with(8), 5);
  const auto direct = convert(8, mha, 2, GqaInit::mean);
  const auto in_two_steps = convert(4, convert(8, mha, 4, GqaInit::mean), 2, GqaInit::mean);
  for (size_t i = 0; i < direct.size(); ++i) ASSERT_NEAR(direct[i], in_two_steps[i], 3e-7);
  EXPECT_EQ(convert(8, mha, 1, GqaInit::first),
            convert(2, convert(8, mha, 2, GqaInit::first), 1, GqaInit::first));
}

TEST(Gqa, TheMeanOfIdenticalHeadsIsThatHead) {
  const ParameterLayout source = layout_with(8), target = layout_with(2);
  const std::vector<float> gqa = random_parameters(target, 6);
  std::vector<float> repeated = random_parameters(source, 6);
  for (const std::string_view name : kConverted) {
    const auto heads = parameter(target, gqa, name);
    float* to = repeated.data() + source[source.find(name)].offset;
    const size_t head = heads.size() / 2;
    for (size_t h = 0; h < 8; ++h)
      std::copy_n(heads.begin() + static_cast<std::ptrdiff_t>(h / 4 * head), head, to + h * head);
  }
  for (GqaInit init : {GqaInit::mean, GqaInit::first}) {
    const auto after = convert(8, repeated, 2, init);
    for (const std::string_view name : kConverted)
      EXPECT_TRUE(std::ranges::equal(parameter(target, after, name), parameter(target, gqa, name))) << name;
  }
}

TEST(Gqa, RandomHeadsAreThoseOfAFreshModel) {
  const ParameterLayout target = layout_with(2);
  std::vector<float> fresh(static_cast<size_t>(target.elements()), 0.0f);
  initialise(target, View(fresh.data(), DType::f32, {target.elements()}), 77);
  const std::vector<float> mha = random_parameters(layout_with(8), 5);
  const auto drawn = convert(8, mha, 2, GqaInit::random, 77);
  for (const std::string_view name : kConverted)
    EXPECT_TRUE(std::ranges::equal(parameter(target, drawn, name), parameter(target, fresh, name))) << name;
  EXPECT_EQ(drawn, convert(8, mha, 2, GqaInit::random, 77));
  EXPECT_NE(drawn, convert(8, mha, 2, GqaInit::random, 78));
}

TEST(Gqa, AsManyHeadsAsBeforeAreTheSameHeads) {
  const std::vector<float> mha = random_parameters(layout_with(8), 5);
  for (GqaInit init : {GqaInit::mean, GqaInit::first, GqaInit::random})
    EXPECT_EQ(convert(8, mha, 8, init), mha);
}

std::string error_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const UserError& error) {
    EXPECT_EQ(error.code(), ExitCode::usage);
    return error.what();
  }
  return "no error";
}

TEST(Gqa, ModelsThatDifferOtherwiseAreRefusedInOneLine) {
  const ParameterLayout source = layout_with(8);
  const std::vector<float> mha = random_parameters(source, 5);
  const auto into = [&](const ParameterLayout& target) {
    return error_of([&] { convert_kv_heads(source, mha, target, {GqaInit::mean, kHeadDim, 0}); });
  };
  ParameterLayout more = layout_with(2), fewer;
  more.add_matrix("head.weight", 11, kWidth, 0.02);
  fewer.add_matrix("embed.weight", 11, kWidth, 0.02);
  EXPECT_THAT(into(more), testing::HasSubstr("no parameter head.weight"));
  EXPECT_THAT(into(fewer), testing::HasSubstr("has a parameter blocks.0.attention_norm.weight"));
  EXPECT_THAT(into(layout_with(2, 6)),
              testing::HasSubstr("embed.weight is (11, 5) in the model to convert and (11, 6) here"));
  EXPECT_THAT(into(layout_with(3)),
              testing::HasSubstr("3 KV heads do not come from 8: choose a divisor of 8"));
  EXPECT_THAT(into(layout_with(16)), testing::HasSubstr("16 KV heads do not come from 8"));
  EXPECT_THAT(error_of([] { gqa_init_named("median"); }), testing::HasSubstr("choose mean, first or random"));
  EXPECT_EQ(gqa_init_named(name_of(GqaInit::random)), GqaInit::random);
}

}  // namespace
}  // namespace fovea
