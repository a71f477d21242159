#include "convert/gqa.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "small_decoder.h"

namespace fovea {
namespace {

constexpr int64 kHeadDim = 3, kWidth = 5, kQueryHeads = 8;

// With biases and QK-norm, without positions.
ModelConfig config_with(int64 kv_heads) {
  ModelConfig config;
  config.layers = 2;
  config.width = kWidth;
  config.hidden = 4;
  config.q_heads = kQueryHeads;
  config.kv_heads = kv_heads;
  config.head_dim = kHeadDim;
  config.position = "none";
  config.qkv_bias = config.qk_norm = config.tie_embeddings = "yes";
  return config;
}
Decoder decoder_with(int64 kv_heads) { return decoder_of(config_with(kv_heads)); }

std::vector<float> convert(int64 from, const std::vector<float>& parameters, int64 to,
                           const std::string& word, uint64 seed = 1) {
  return convert_kv_heads(decoder_with(from), parameters, decoder_with(to), {conversion_named(word), seed});
}

constexpr const char* kWords[] = {"mean",
                                  "mean similar",
                                  "mean_scaled",
                                  "mean_scaled similar",
                                  "first",
                                  "random",
                                  "aligned",
                                  "aligned similar",
                                  "aligned_unscaled",
                                  "aligned_activations",
                                  "aligned_activations similar"};
constexpr std::string_view kConverted[] = {"blocks.0.attention.k.weight", "blocks.0.attention.v.bias",
                                           "blocks.1.attention.v.weight", "blocks.1.attention.k.bias"};

RC_GTEST_PROP(Gqa, HeadsComeFromThoseOfTheSameQueries, ()) {
  using Pair = std::pair<int64, int64>;
  const auto [from, to] =
      *rc::gen::elementOf(std::vector<Pair>{{8, 4}, {8, 2}, {8, 1}, {4, 2}, {4, 1}, {2, 1}});
  const std::string init = *rc::gen::element<std::string>("mean", "first");
  const Decoder decoder = decoder_with(from);
  const ParameterLayout &source = decoder.layout(), target = decoder_with(to).layout();
  const std::vector<float> before = drawn_parameters(decoder, 3), after = convert(from, before, to, init);
  for (const std::string_view name : kConverted) {
    const auto old_values = values_of(source, before, name), new_values = values_of(target, after, name);
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
            init == "mean"
                ? sum / static_cast<double>(count)
                : static_cast<double>(old_values[static_cast<size_t>(first) * kHeadDim * columns + i]);
        const float actual = new_values[static_cast<size_t>(head) * kHeadDim * columns + i];
        RC_ASSERT(std::abs(static_cast<double>(actual) - expected) <= 3e-7);
      }
  }
}

TEST(Gqa, EverythingElseIsCopiedAndGapsStayZero) {
  const Decoder decoder = decoder_with(8);
  const ParameterLayout &source = decoder.layout(), target = decoder_with(2).layout();
  const std::vector<float> before = drawn_parameters(decoder, 3);
  for (const char* init : {"mean", "mean_scaled", "first", "random"}) {
    const std::vector<float> after = convert(8, before, 2, init);
    std::vector<bool> covered(after.size(), false);
    for (const Parameter& p : target.parameters()) {
      std::fill_n(covered.begin() + p.offset, p.elements(), true);
      if (p.name.find(".k.") != std::string::npos || p.name.find(".v.") != std::string::npos) continue;
      EXPECT_TRUE(std::ranges::equal(values_of(source, before, p.name), values_of(target, after, p.name)))
          << p.name;
    }
    for (size_t i = 0; i < after.size(); ++i) {
      ASSERT_TRUE(covered[i] || after[i] == 0) << i;
    }
  }
}

TEST(Gqa, AMeanOfMeansIsTheMean) {
  const std::vector<float> mha = drawn_parameters(decoder_with(8), 5);
  const auto direct = convert(8, mha, 2, "mean");
  const auto in_two_steps = convert(4, convert(8, mha, 4, "mean"), 2, "mean");
  for (size_t i = 0; i < direct.size(); ++i) ASSERT_NEAR(direct[i], in_two_steps[i], 3e-7);
  EXPECT_EQ(convert(8, mha, 1, "first"), convert(2, convert(8, mha, 2, "first"), 1, "first"));
}

TEST(Gqa, TheMeanOfIdenticalHeadsIsThatHead) {
  const Decoder mha = decoder_with(8), shared = decoder_with(2);
  const ParameterLayout &source = mha.layout(), &target = shared.layout();
  const std::vector<float> gqa = drawn_parameters(shared, 6);
  std::vector<float> repeated = drawn_parameters(mha, 6);
  for (const std::string_view name : kConverted) {
    const auto heads = values_of(target, gqa, name);
    float* to = repeated.data() + source[source.find(name)].offset;
    const size_t head = heads.size() / 2;
    for (size_t h = 0; h < 8; ++h)
      std::copy_n(heads.begin() + static_cast<std::ptrdiff_t>(h / 4 * head), head, to + h * head);
  }
  for (const char* init : {"mean", "first"}) {
    const auto after = convert(8, repeated, 2, init);
    for (const std::string_view name : kConverted)
      EXPECT_TRUE(std::ranges::equal(values_of(target, after, name), values_of(target, gqa, name))) << name;
  }
}

TEST(Gqa, RandomHeadsAreThoseOfAFreshModel) {
  const ParameterLayout target = decoder_with(2).layout();
  std::vector<float> fresh(static_cast<size_t>(target.elements()), 0.0f);
  initialise(target, View(fresh.data(), DType::f32, {target.elements()}), 77);
  const std::vector<float> mha = drawn_parameters(decoder_with(8), 5);
  const auto drawn = convert(8, mha, 2, "random", 77);
  for (const std::string_view name : kConverted)
    EXPECT_TRUE(std::ranges::equal(values_of(target, drawn, name), values_of(target, fresh, name))) << name;
  EXPECT_EQ(drawn, convert(8, mha, 2, "random", 77));
  EXPECT_NE(drawn, convert(8, mha, 2, "random", 78));
}

TEST(Gqa, AsManyHeadsAsBeforeAreTheSameHeads) {
  const std::vector<float> mha = drawn_parameters(decoder_with(8), 5);
  for (const char* word : kWords) EXPECT_EQ(convert(8, mha, 8, word), mha) << word;
}

TEST(Gqa, EachLayerHasItsOwnNumber) {
  const Decoder source = decoder_with(8), four = decoder_with(4), one = decoder_with(1);
  ModelConfig config = config_with(0);
  config.kv_heads_per_layer = {4, 1};
  const Decoder mixed = decoder_of(config);
  const std::vector<float> mha = drawn_parameters(source, 5);
  for (const char* word : {"mean", "mean_scaled", "first", "random"}) {
    const GqaConversion how{conversion_named(word), 3};
    const auto of_mixed = convert_kv_heads(source, mha, mixed, how),
               of_four = convert_kv_heads(source, mha, four, how),
               of_one = convert_kv_heads(source, mha, one, how);
    for (const Parameter& p : mixed.layout().parameters()) {
      const bool first = p.name.starts_with("blocks.0.");
      EXPECT_TRUE(std::ranges::equal(
          values_of(mixed.layout(), of_mixed, p.name),
          first ? values_of(four.layout(), of_four, p.name) : values_of(one.layout(), of_one, p.name)))
          << p.name << " " << word;
    }
  }
  config.kv_heads_per_layer = {8, 2};  // a layer that stays is copied
  const Decoder half = decoder_of(config);
  const auto after = convert_kv_heads(source, mha, half, {conversion_named("random"), 3});
  EXPECT_TRUE(std::ranges::equal(values_of(half.layout(), after, kConverted[0]),
                                 values_of(source.layout(), mha, kConverted[0])));
}

// Of weights and bias together, K and V each by themselves.
double head_norm(const ParameterLayout& layout, const std::vector<float>& parameters, const std::string& name,
                 size_t head) {
  double sum = 0;
  for (const auto& [what, elements] : {std::pair{".weight", kHeadDim * kWidth}, {".bias", kHeadDim}})
    for (const float value :
         values_of(layout, parameters, name + what)
             .subspan(head * static_cast<size_t>(elements), static_cast<size_t>(elements)))
      sum += static_cast<double>(value) * static_cast<double>(value);
  return std::sqrt(sum);
}

TEST(Gqa, AScaledMeanHasTheMeanNormOfItsGroup) {
  const Decoder source = decoder_with(8), target = decoder_with(2);
  const std::vector<float> mha = drawn_parameters(source, 5), after = convert(8, mha, 2, "mean_scaled"),
                           plain = convert(8, mha, 2, "mean");
  for (const std::string name : {"blocks.0.attention.k", "blocks.1.attention.v"})
    for (const size_t g : {0U, 1U}) {
      double norms = 0;
      for (size_t head = 4 * g; head < 4 * g + 4; ++head)
        norms += head_norm(source.layout(), mha, name, head);
      EXPECT_NEAR(head_norm(target.layout(), after, name, g), norms / 4, 1e-6) << name;
      EXPECT_LT(head_norm(target.layout(), plain, name, g), 0.8 * norms / 4) << name;
      // The same direction.
      const double ratio =
          head_norm(target.layout(), after, name, g) / head_norm(target.layout(), plain, name, g);
      const auto scaled = values_of(target.layout(), after, name + ".weight"),
                 mean = values_of(target.layout(), plain, name + ".weight");
      for (size_t i = g * kHeadDim * kWidth; i < (g + 1) * kHeadDim * kWidth; ++i)
        ASSERT_NEAR(scaled[i], ratio * static_cast<double>(mean[i]), 1e-6);
    }
  // Heads without a norm have none to restore.
  const std::vector<float> zero(mha.size(), 0.0f);
  EXPECT_EQ(convert(8, zero, 2, "mean_scaled"), std::vector<float>(after.size(), 0.0f));
}

TEST(Gqa, ModelsThatDifferOtherwiseAreRefusedInOneLine) {
  const Decoder source = decoder_with(8);
  const std::vector<float> mha = drawn_parameters(source, 5);
  const auto into = [&](const ModelConfig& target) {
    return refusal_of([&] { convert_kv_heads(source, mha, decoder_of(target), {conversion_named("mean")}); });
  };
  ModelConfig more = config_with(2), fewer = config_with(2), wider = config_with(2);
  more.tie_embeddings = "no";
  fewer.qk_norm = "no";
  wider.width = 6;
  EXPECT_THAT(into(more), testing::HasSubstr("no parameter head.weight"));
  EXPECT_THAT(into(fewer), testing::HasSubstr("has a parameter blocks.0.attention.q_norm.weight"));
  EXPECT_THAT(into(wider),
              testing::HasSubstr("embed.weight is (13, 5) in the model to convert and (13, 6) here"));
  const std::vector<float> few = drawn_parameters(decoder_with(2), 5);
  const std::string line = refusal_of(
      [&] { convert_kv_heads(decoder_with(2), few, decoder_with(4), {conversion_named("mean")}); });
  EXPECT_THAT(line, testing::HasSubstr("4 KV heads do not come from 2: choose a divisor of 2"));
}

TEST(Gqa, QkNormAllowsNoAlignment) {
  const std::vector<float> mha = drawn_parameters(decoder_with(8), 5);
  for (const char* word : {"aligned", "aligned_unscaled"}) {
    const std::string line = refusal_of([&] { convert(8, mha, 2, word); });
    EXPECT_THAT(line, testing::AllOf(testing::HasSubstr("QK-norm"), testing::HasSubstr(word)));
  }
}

TEST(ConversionWord, NamesAMethodAndAGrouping) {
  for (const char* word : kWords) EXPECT_EQ(name_of(conversion_named(word)), word);
  const Conversion similar = conversion_named("aligned similar");
  EXPECT_EQ(similar, (Conversion{ConversionMethod::aligned, HeadGrouping::similar}));
  EXPECT_TRUE(similar.aligns() && similar.scales() && similar.searches());
  EXPECT_FALSE(conversion_named("aligned_unscaled").scales());
  EXPECT_FALSE(conversion_named("mean_scaled").aligns());
  for (const char* word : {"median", "", " similar", "first similar", "random similar", "mean  similar"})
    EXPECT_THAT(refusal_of([&] { conversion_named(word); }), testing::HasSubstr("choose mean, mean_scaled"))
        << word;
}

}  // namespace
}  // namespace fovea
