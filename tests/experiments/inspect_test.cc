// What `fovea inspect` says of heads whose behaviour is known: of hand-made operands, and of hand-made
// models.

#include "experiments/inspect.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <cmath>
#include <filesystem>
#include <functional>

#include "core/buffer.h"
#include "core/random.h"
#include "experiments/head_cosines.h"
#include "experiments/head_statistics.h"
#include "model/families.h"
#include "record/hdf5.h"

namespace fovea {
namespace {

namespace fs = std::filesystem;
using testing::Each;
using testing::HasSubstr;

/// A model in memory, to be written to.
struct HeldModel {
  ModelConfig config;
  int64 vocabulary = 0;
  std::vector<float> parameters;  // in the layout's order
  std::optional<Config> run;

  DecoderShape shape() const { return decoder_shape(config, vocabulary); }
  StoredModel stored() const {
    StoredModel model = model_of(config, vocabulary, parameters);
    model.run = run;
    return model;
  }
};

/// A decoder whose weights are all zero but for norms, to be written by hand. Tokens and positions are
/// directions of the residual stream.
class HandMade {
 public:
  static constexpr int64 kPositions = 16, kTokens = 8, kWidth = kPositions + 2 * kTokens, kHead = 16;
  static constexpr int64 kToken = kPositions, kCopy = kPositions + kTokens;  // first of their directions

  explicit HandMade(const std::function<void(ModelConfig&)>& change = {}) {
    ModelConfig& config = model_.config;
    config.layers = 2;
    config.width = kWidth;
    config.q_heads = 4;
    config.kv_heads = 2;
    config.head_dim = kHead;
    config.hidden = 8;
    config.context = kPositions;
    config.position = "learned";
    config.tie_embeddings = "no";
    if (change) change(config);
    model_.vocabulary = kTokens;
    const Decoder decoder(model_.shape());
    model_.parameters.assign(static_cast<size_t>(decoder.layout().elements()), 0.0f);
    for (const Parameter& p : decoder.layout().parameters())
      if (p.name.ends_with("norm.weight"))
        for (int64 i = 0; i < p.elements(); ++i) at(p.name, 0, i) = 1;
    for (int64 i = 0; i < kPositions && config.position == "learned"; ++i) at("position.weight", i, i) = 1;
    for (int64 v = 0; v < kTokens; ++v) at("embed.weight", v, kToken + v) = 1;
  }
  float& at(const std::string& name, int64 row, int64 column) {
    const ParameterLayout layout = Decoder(model_.shape()).layout();
    const Parameter& p = layout[layout.find(name)];
    return model_.parameters[static_cast<size_t>(p.offset + row * p.columns + column)];
  }
  /// Dimension `row` of a head reads this direction.
  void reads(int64 layer, const char* which, int64 head, int64 row, int64 direction, float weight) {
    at(fmt::format("blocks.{}.attention.{}.weight", layer, which), head * kHead + row, direction) = weight;
  }
  /// Queries at position i look for what keys at position i - 1 show.
  void attends_to_previous(int64 layer, int64 q_head, int64 kv_head) {
    for (int64 i = 0; i < kPositions; ++i) reads(layer, "q", q_head, i, i, 10);
    for (int64 i = 1; i < kPositions; ++i) reads(layer, "k", kv_head, i, i - 1, 10);
  }
  HeldModel& file() { return model_; }
  Inspection inspection(const InspectOptions& options = {}) const {
    return inspect(model_.stored(), options);
  }

 private:
  HeldModel model_;
};

double of_head(const std::vector<double>& values, int64 layer, int64 head) {
  return values[static_cast<size_t>(layer * 4 + head)];
}

TEST(Inspect, FindsHeadsThatWereMadeToDoSomething) {
  HandMade model;
  // Heads 0 and 1 read keys of KV head 0, heads 2 and 3 of KV head 1.
  model.attends_to_previous(1, 0, 0);
  for (int64 i = 0; i < HandMade::kPositions; ++i) model.reads(1, "k", 1, i, i, 10);
  for (int64 i = 0; i < HandMade::kPositions; ++i) {
    model.reads(1, "q", 2, 0, i, 10);  // every position looks for the first
    model.reads(1, "q", 3, i, i, 10);  // every position looks for itself
  }
  const Inspection i = model.inspection();
  EXPECT_EQ(i.text, "random tokens");
  EXPECT_EQ(i.sequences, 8);
  EXPECT_EQ(i.length, 16);
  EXPECT_EQ(i.repeated, 8);
  EXPECT_THAT(i.kv_heads, Each(2));
  EXPECT_FALSE(i.initial.has_value());
  const HeadStatistics& h = i.trained.heads;
  EXPECT_NEAR(of_head(h.previous_token, 1, 0), 1, 1e-6);
  EXPECT_NEAR(of_head(h.first_token, 1, 2), 1, 1e-6);
  for (const auto& [head, saturated] : {std::pair(0, 1), {1, 0}, {2, 1}, {3, 1}})
    EXPECT_EQ(of_head(h.saturated, 1, head), saturated) << head;
  EXPECT_LT(of_head(h.previous_token, 1, 3), 1e-6);
  EXPECT_LT(of_head(h.first_token, 1, 3), 1e-6);
  EXPECT_LT(of_head(h.entropy, 1, 3), 1e-6);
  EXPECT_LT(of_head(h.softmax_slope, 1, 0), 1e-6);
  // Head 1 asks nothing: all keys are alike to it, as they are to every head of layer 0.
  double entropy = 0, share = 0;
  for (int64 n = 2; n <= 16; ++n) {
    entropy += std::log(static_cast<double>(n)) / 15;
    share += 1 / static_cast<double>(n) / 15;
  }
  for (const auto& [layer, head] : {std::pair(1, 1), {0, 0}, {0, 3}}) {
    EXPECT_NEAR(of_head(h.entropy, layer, head), entropy, 1e-12);
    EXPECT_EQ(of_head(h.relative_entropy, layer, head), 1);
    EXPECT_NEAR(of_head(h.previous_token, layer, head), share, 1e-12);
    EXPECT_NEAR(of_head(h.first_token, layer, head), share, 1e-12);
    EXPECT_EQ(of_head(h.score_deviation, layer, head), 0);
  }
}

// Layer 0 writes the token before into directions of its own; layer 1 looks for its token there: what follows
// is what followed it the last time (Olsson et al. 2022).
TEST(Inspect, FindsAnInductionHead) {
  HandMade model;
  model.attends_to_previous(0, 0, 0);
  for (int64 v = 0; v < HandMade::kTokens; ++v) {
    model.reads(0, "v", 0, v, HandMade::kToken + v, 1);
    model.at("blocks.0.attention.out.weight", HandMade::kCopy + v, v) = 1;
    model.reads(1, "q", 3, v, HandMade::kToken + v, 10);
    model.reads(1, "k", 1, v, HandMade::kCopy + v, 10);
  }
  const HeadStatistics h = model.inspection().trained.heads;
  EXPECT_NEAR(of_head(h.previous_token, 0, 0), 1, 1e-6);
  // The first token has none before it and copies itself, so that one row in eight finds two places.
  EXPECT_NEAR(of_head(h.induction, 1, 3), 7.5 / 8, 1e-3);
  for (const auto& [layer, head] : {std::pair(0, 0), {0, 1}, {1, 0}, {1, 2}})
    EXPECT_LT(of_head(h.induction, layer, head), 0.1) << layer << " " << head;
}

TEST(Inspect, GivesEachLayerItsWindow) {
  HandMade model([](ModelConfig& config) {
    config.attention = {"window", "full"};
    config.sliding_window = 3;
  });
  for (const int64 layer : {0, 1})
    for (int64 i = 0; i < HandMade::kPositions; ++i) {
      model.reads(layer, "q", 2, 0, i, 10);  // every position looks for the first
      model.reads(layer, "k", 1, i, i, 10);
    }
  const Inspection i = model.inspection();
  EXPECT_THAT(i.windows, testing::ElementsAre(3, 0));
  const HeadStatistics& h = i.trained.heads;
  EXPECT_NEAR(of_head(h.first_token, 1, 2), 1, 1e-6);
  EXPECT_NEAR(of_head(h.first_token, 0, 2), 2.0 / 15, 1e-6);  // rows 1 and 2 alone see it
  const double entropy = (std::log(2.0) + 14 * std::log(3.0)) / 15;
  EXPECT_NEAR(of_head(h.entropy, 0, 0), entropy, 1e-12);
  EXPECT_EQ(of_head(h.relative_entropy, 0, 0), 1);
}

TEST(Inspect, ScoresAreMultipliedByTheModelsScale) {
  const auto deviation = [](double scale) {
    HandMade model([&](ModelConfig& config) { config.attention_scale = scale; });
    model.attends_to_previous(0, 0, 0);
    const Inspection i = model.inspection();
    EXPECT_FLOAT_EQ(static_cast<float>(i.attention_scale), static_cast<float>(scale > 0 ? scale : 0.25));
    return std::pair(of_head(i.trained.heads.score_deviation, 0, 0),
                     of_head(i.trained.heads.saturated, 0, 0));
  };
  const auto [family, some] = deviation(-1);
  const auto [small, none] = deviation(1e-4);
  const auto [large, all] = deviation(4);
  EXPECT_NEAR(large / family, 16, 1e-4);
  EXPECT_NEAR(small / family, 4e-4, 1e-8);
  EXPECT_EQ(none, 0);
  EXPECT_EQ(all, 1);
  EXPECT_EQ(some, 1);
}

/// A small model with drawn weights.
HeldModel drawn_model(const std::function<void(ModelConfig&)>& change = {}) {
  HeldModel model;
  model.config.layers = 2;
  model.config.width = 16;
  model.config.q_heads = 4;
  model.config.kv_heads = 2;
  model.config.hidden = 12;
  model.config.context = 12;
  model.config.init_std = 0.5;
  if (change) change(model.config);
  model.vocabulary = 11;
  const Decoder decoder(model.shape());
  model.parameters.assign(static_cast<size_t>(decoder.layout().elements()), 0.0f);
  initialise(decoder.layout(), View(model.parameters.data(), DType::f32, {decoder.layout().elements()}), 3);
  return model;
}

std::vector<double> all_of(const ModelStatistics& s) {
  std::vector<double> all{s.loss};
  for (const auto& column : head_columns())
    all.insert(all.end(), (s.heads.*column.values).begin(), (s.heads.*column.values).end());
  for (const auto& column : gradient_columns())
    all.insert(all.end(), (s.gradients.*column.values).begin(), (s.gradients.*column.values).end());
  return all;
}

TEST(Inspect, ThreadsMoveNoBit) {
  for (const char* family : {"llama", "gpt2", "gemma2"}) {
    const HeldModel model = drawn_model([&](ModelConfig& config) {
      config.family = family;
      if (config.family == "gpt2") config.kv_heads = 4;
      if (config.family == "gemma2") config.sliding_window = 4;
    });
    InspectOptions one, three;
    three.threads = 3;
    EXPECT_EQ(all_of(inspect(model.stored(), one).trained), all_of(inspect(model.stored(), three).trained))
        << family;
  }
}

TEST(Inspect, BackendsAgree) {
  const HeldModel model = drawn_model();
  InspectOptions cpu, reference;
  reference.backend = Backend::reference;
  const std::vector<double> a = all_of(inspect(model.stored(), cpu).trained),
                            b = all_of(inspect(model.stored(), reference).trained);
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) EXPECT_NEAR(a[i], b[i], 1e-4 * std::max(1.0, std::abs(b[i]))) << i;
}

// Every number of a gradient by central differences of the loss that the inspection itself reports.
TEST(Inspect, GradientNormsAreThoseOfTheLoss) {
  HeldModel model = drawn_model([](ModelConfig& config) {
    config.layers = 2;
    config.width = 4;
    config.q_heads = 2;
    config.hidden = 3;
    config.context = 6;
  });
  InspectOptions options;
  options.backend = Backend::reference;
  options.sequences = 2;
  const GradientNorms norms = inspect(model.stored(), options).trained.gradients;
  const ParameterLayout layout = Decoder(model.shape()).layout();
  const auto norm_by_differences = [&](const std::vector<std::string>& names) {
    double squares = 0;
    for (const std::string& name : names) {
      const Parameter& p = layout[layout.find("blocks.1." + name + ".weight")];
      for (int64 i = p.offset; i < p.offset + p.elements(); ++i) {
        float& weight = model.parameters[static_cast<size_t>(i)];
        const float before = weight;
        const auto loss = [&](float value) {
          weight = value;
          return inspect(model.stored(), options).trained.loss;
        };
        const float high = before + 0x1p-8f, low = before - 0x1p-8f;
        const double slope = (loss(high) - loss(low)) / (double{high} - double{low});
        weight = before;
        squares += slope * slope;
      }
    }
    return std::sqrt(squares);
  };
  EXPECT_NEAR(norms.query_key[1], norm_by_differences({"attention.q", "attention.k"}),
              2e-4 * norms.query_key[1]);
  EXPECT_NEAR(norms.value_out[1], norm_by_differences({"attention.v", "attention.out"}),
              2e-4 * norms.value_out[1]);
  EXPECT_NEAR(norms.mlp[1], norm_by_differences({"mlp.gate", "mlp.up", "mlp.down"}), 2e-4 * norms.mlp[1]);
  EXPECT_GT(norms.query_key[0], 0);
}

TEST(Inspect, CosinesAreOfNeighboursWeights) {
  HeldModel model = drawn_model([](ModelConfig& config) { config.kv_heads = 4; });
  const Decoder decoder(model.shape());
  const ParameterLayout& layout = decoder.layout();
  const Parameter& k = layout[layout.find("blocks.1.attention.k.weight")];
  float* heads = model.parameters.data() + k.offset;
  const int64 head = k.elements() / 4;
  for (int64 i = 0; i < head; ++i) {
    heads[head + i] = 3 * heads[i];              // the second like the first
    heads[3 * head + i] = -heads[2 * head + i];  // the fourth the third's opposite
  }
  const GroupCosines pairs = group_cosines(decoder, model.parameters, 2);
  EXPECT_EQ(pairs.groups, 2);
  EXPECT_EQ(pairs.key.size(), 4U);
  EXPECT_NEAR(pairs.key[2], 1, 1e-6);
  EXPECT_NEAR(pairs.key[3], -1, 1e-6);
  EXPECT_LT(std::abs(pairs.key[0]), 0.6);
  const GroupCosines all = group_cosines(decoder, model.parameters, 4);
  EXPECT_EQ(all.groups, 1);
  EXPECT_NEAR(all.key[1], 0, 1e-6);  // six pairs: 1, -1, and two of each sign that cancel
  EXPECT_THROW(group_cosines(decoder, model.parameters, 3), UserError);
  const HeldModel single = drawn_model([](ModelConfig& config) { config.kv_heads = 1; });
  EXPECT_EQ(group_cosines(Decoder(single.shape()), single.parameters, 2).heads, 0);
}

/// Head `to` becomes head `from` turned: by an angle per plane (i, i + D / 2) of RoPE, or any two dimensions.
void turn(float* heads, int64 from, int64 to, int64 d, int64 columns, bool planes) {
  for (int64 i = 0; i < d / 2; ++i) {
    const int64 a = planes ? i : 2 * i, b = planes ? i + d / 2 : 2 * i + 1;
    const double angle = 0.4 + 1.1 * static_cast<double>(i);
    for (int64 c = 0; c < columns; ++c) {
      const double x = heads[(from * d + a) * columns + c], y = heads[(from * d + b) * columns + c];
      heads[(to * d + a) * columns + c] = static_cast<float>(std::cos(angle) * x - std::sin(angle) * y);
      heads[(to * d + b) * columns + c] = static_cast<float>(std::sin(angle) * x + std::cos(angle) * y);
    }
  }
}

TEST(Inspect, AlignmentFindsHeadsThatAreRotationsOfOneAnother) {
  HeldModel model = drawn_model([](ModelConfig& config) {
    config.q_heads = config.kv_heads = 4;
    config.head_dim = 6;
  });
  const Decoder decoder(model.shape());
  const ParameterLayout& layout = decoder.layout();
  const auto weights = [&](const char* name) {
    return model.parameters.data() + layout[layout.find(std::string("blocks.0.attention.") + name)].offset;
  };
  turn(weights("k.weight"), 0, 1, 6, 16, true);   // as RoPE turns
  turn(weights("k.weight"), 2, 3, 6, 16, false);  // as it does not
  turn(weights("v.weight"), 0, 1, 6, 16, false);
  const GroupCosines c = group_cosines(decoder, model.parameters, 2);
  EXPECT_LT(c.key[0], 0.9);
  EXPECT_NEAR(c.key_aligned[0], 1, 1e-6);
  EXPECT_LT(c.key_aligned[1], 0.9);
  EXPECT_GE(c.key_aligned[1], c.key[1]);
  EXPECT_LT(c.value[0], 0.9);
  EXPECT_NEAR(c.value_aligned[0], 1, 1e-6);

  HeldModel normed = drawn_model([](ModelConfig& config) { config.qk_norm = "yes"; });
  const GroupCosines n = group_cosines(Decoder(normed.shape()), normed.parameters, 2);
  EXPECT_TRUE(std::isnan(n.key_aligned[0]) && std::isfinite(n.key[0]) && std::isfinite(n.value_aligned[0]));
}

TEST(Inspect, LayersMayDifferInTheirKvHeads) {
  const HeldModel model = drawn_model([](ModelConfig& config) {
    config.kv_heads = 0;
    config.kv_heads_per_layer = {4, 1};
  });
  const Inspection i = inspect(model.stored(), {});
  EXPECT_THAT(i.kv_heads, testing::ElementsAre(4, 1));
  EXPECT_EQ(i.cosines.groups, 2);
  EXPECT_TRUE(std::isfinite(i.cosines.key[1]) && std::isnan(i.cosines.key[2]) &&
              std::isnan(i.cosines.key[3]));
  EXPECT_THAT(describe(i), HasSubstr("4 query and 4/1 KV heads"));
}

TEST(Inspect, ModelsTooShortForInductionSaySo) {
  const Inspection i = inspect(drawn_model([](ModelConfig& config) { config.context = 3; }).stored(), {});
  EXPECT_EQ(i.repeated, 0);
  EXPECT_THAT(i.trained.heads.induction, Each(0));
  EXPECT_THAT(describe(i), HasSubstr("too short for induction"));
}

}  // namespace
}  // namespace fovea
