// The flat layout and its fresh draws.

#include "model/parameters.h"

#include <gtest/gtest.h>

#include <cmath>

#include "model/decoder.h"
#include "model/families.h"

namespace fovea {
namespace {

struct Moments {
  double mean = 0, deviation = 0;
};
Moments moments(const View& x) {
  const View flat = x.reshape({x.elements()});
  const auto n = static_cast<double>(x.elements());
  Moments m;
  for (int64 i = 0; i < x.elements(); ++i) m.mean += load(flat, {i}) / n;
  for (int64 i = 0; i < x.elements(); ++i) m.deviation += std::pow(load(flat, {i}) - m.mean, 2) / n;
  m.deviation = std::sqrt(m.deviation);
  return m;
}

ModelConfig config_of(const std::string& family) {
  ModelConfig config;
  config.family = family;
  config.layers = 2;
  config.width = 64;
  config.q_heads = 4;
  config.hidden = 128;
  config.context = 32;
  config.sliding_window = 8;
  config.init_std = 0.03;
  return config;
}

const char* const kFamilies[] = {"llama", "mistral", "qwen2", "qwen3", "gpt2", "neox", "gemma", "gemma2"};

TEST(ParameterLayout, PartsAreAlignedAndDoNotOverlap) {
  for (const char* family : kFamilies) {
    const Decoder decoder(decoder_shape(config_of(family), 61));
    int64 end = 0, count = 0;
    for (const Parameter& p : decoder.layout().parameters()) {
      EXPECT_EQ(p.offset % 16, 0) << p.name;
      EXPECT_GE(p.offset, end) << p.name;
      EXPECT_LT(p.offset, end + 16) << p.name;
      EXPECT_EQ(p.decay, !p.vector) << p.name;
      EXPECT_EQ(p.vector, p.name.ends_with("norm.weight") || p.name.ends_with(".bias")) << p.name;
      end = p.offset + p.elements();
      count += p.elements();
      EXPECT_EQ(&decoder.layout()[decoder.layout().find(p.name)], &p);
    }
    EXPECT_LE(end, decoder.layout().elements());
    EXPECT_EQ(decoder.layout().count(), count);
    EXPECT_EQ(decoder.layout().find("blocks.9.attention.q.weight"), kNoParameter);
  }
}

TEST(Initialise, DrawsMatricesWithTheirDeviationAndVectorsAsConstants) {
  for (const char* family : kFamilies) {
    SCOPED_TRACE(family);
    const Decoder decoder(decoder_shape(config_of(family), 61));
    const ParameterLayout& layout = decoder.layout();
    Buffer weights(DType::f32, {layout.elements()});
    initialise(layout, weights, 5);
    for (ParameterId id = 0; id < static_cast<ParameterId>(layout.parameters().size()); ++id) {
      const Parameter& p = layout[id];
      const Moments m = moments(layout.view(weights, id));
      if (p.vector) {
        // Norms begin as the identity: Gemma stores the difference from one.
        const bool one = p.name.ends_with("norm.weight") && decoder.shape().norm.weight_offset == 0;
        EXPECT_EQ(m.mean, one ? 1 : 0) << p.name;
        EXPECT_EQ(m.deviation, 0) << p.name;
        continue;
      }
      // What adds to the residual stream is smaller by the square root of the number of such additions: 2 x 2
      // layers.
      const bool residual = p.name.ends_with("attention.out.weight") || p.name.ends_with("mlp.down.weight");
      const double std = residual ? 0.015 : 0.03;
      const double error = 5 / std::sqrt(static_cast<double>(p.elements()));  // five standard errors
      EXPECT_NEAR(m.deviation, std, std * error / std::sqrt(2.0)) << p.name;
      EXPECT_NEAR(m.mean, 0, std * error) << p.name;
    }
  }
}

TEST(Initialise, LeavesGapsZero) {
  ParameterLayout layout;
  layout.add_vector("a", 3, 7);
  layout.add_matrix("b", 3, 7, 1);
  Buffer weights(DType::f32, {layout.elements()});
  initialise(layout, weights, 1);
  EXPECT_EQ(layout.elements(), 48);
  for (int64 i = 3; i < 16; ++i) EXPECT_EQ(load(weights, {i}), 0);
  for (int64 i = 16 + 21; i < 48; ++i) EXPECT_EQ(load(weights, {i}), 0);
}

// The draws by name: of a model with more layers, other heads and no tie, where the sizes agree.
TEST(Initialise, DrawOfAParameterIsIndependentOfTheOthers) {
  ModelConfig config = config_of("llama");
  const Decoder one(decoder_shape(config, 61));
  config.kv_heads = 2;
  config.tie_embeddings = "yes";
  config.qkv_bias = "yes";
  const Decoder other(decoder_shape(config, 61));
  Buffer of_one(DType::f32, {one.layout().elements()}), of_other(DType::f32, {other.layout().elements()});
  initialise(one.layout(), of_one, 5);
  initialise(other.layout(), of_other, 5);
  int compared = 0;
  for (ParameterId id = 0; id < static_cast<ParameterId>(one.layout().parameters().size()); ++id) {
    const Parameter& p = one.layout()[id];
    const ParameterId there = other.layout().find(p.name);
    if (there == kNoParameter) continue;
    // Fewer KV heads: the first rows.
    const int64 n = std::min(p.elements(), other.layout()[there].elements());
    const View a = one.layout().view(of_one, id).reshape({p.elements()});
    const View b = other.layout().view(of_other, there).reshape({other.layout()[there].elements()});
    for (int64 i = 0; i < n; ++i) ASSERT_EQ(load(a, {i}), load(b, {i})) << p.name << " " << i;
    ++compared;
  }
  EXPECT_EQ(compared, 2 * 9 + 2);
}

TEST(Initialise, DependsOnSeedAndName) {
  ParameterLayout layout;
  const ParameterId a = layout.add_matrix("a", 8, 8, 1), b = layout.add_matrix("b", 8, 8, 1);
  Buffer weights(DType::f32, {layout.elements()}), again(DType::f32, {layout.elements()});
  initialise(layout, weights, 1);
  const auto same = [&](const View& x, const View& y) {
    for (int64 i = 0; i < 8; ++i)
      for (int64 j = 0; j < 8; ++j)
        if (load(x, {i, j}) != load(y, {i, j})) return false;
    return true;
  };
  EXPECT_FALSE(same(layout.view(weights, a), layout.view(weights, b)));
  initialise(layout, again, 1);
  EXPECT_TRUE(same(layout.view(weights, a), layout.view(again, a)));
  initialise(layout, again, 2);
  EXPECT_FALSE(same(layout.view(weights, a), layout.view(again, a)));
  // One parameter alone, as conversions draw it.
  initialise(layout[b], layout.view(again, b), 1);
  EXPECT_TRUE(same(layout.view(weights, b), layout.view(again, b)));
}

}  // namespace
}  // namespace fovea
