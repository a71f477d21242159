// Conversions that align heads, on models whose heads are known to be rotations of one another, and on any.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "convert/attention_weights.h"
#include "convert/gqa.h"
#include "convert/head_alignment.h"
#include "core/random.h"
#include "model/families.h"
#include "small_decoder.h"

namespace fovea {
namespace {

using Eigen::MatrixXd;

MatrixXd random_matrix(int64 rows, int64 columns, uint64 seed) {
  MatrixXd matrix(rows, columns);
  for (int64 i = 0; i < rows; ++i)
    for (int64 j = 0; j < columns; ++j)
      matrix(i, j) =
          RandomSequence{seed, RandomUse::synthetic, 5}.normal(static_cast<uint64>(i * columns + j));
  return matrix;
}

// Proper in planes; of either determinant in the rest.
MatrixXd random_rotation(const std::vector<RotationBlock>& blocks, int64 head_dim, uint64 seed) {
  MatrixXd rotation = MatrixXd::Zero(head_dim, head_dim);
  for (const RotationBlock& block : blocks) {
    const auto n = static_cast<int64>(block.dims.size());
    MatrixXd q = Eigen::HouseholderQR<MatrixXd>(random_matrix(n, n, ++seed)).householderQ();
    if (block.plane && q.determinant() < 0) q.col(0) *= -1;
    rotation(block.dims, block.dims) = q;
  }
  return rotation;
}

// Metrics that have nothing to do with the model: any will do where heads are rotations of one another.
Calibration calibration_with(const DecoderShape& shape, std::function<double(std::span<const float>)> loss) {
  Calibration calibration;
  calibration.second_moments = [shape](std::span<const float>) {
    std::vector<MatrixXd> moments;
    for (int64 layer = 0; layer < shape.layers; ++layer) {
      const MatrixXd x = random_matrix(2 * shape.width, shape.width + 1, static_cast<uint64>(100 + layer));
      moments.push_back(x.transpose() * x / static_cast<double>(x.rows()));
    }
    return moments;
  };
  calibration.loss = std::move(loss);
  return calibration;
}

// A model of `to` KV heads as one of more: the heads of a group are the same.
std::vector<float> repeated_heads(const Decoder& shared, const std::vector<float>& parameters,
                                  const Decoder& more) {
  std::vector<float> result(static_cast<size_t>(more.layout().elements()), 0.0f);
  for (const Parameter& p : more.layout().parameters()) {
    const auto from = values_of(shared.layout(), parameters, p.name);
    const int64 copies = p.elements() / static_cast<int64>(from.size());
    const auto head = static_cast<int64>(from.size()) / (copies > 1 ? shared.shape().uniform_kv_heads() : 1);
    for (int64 i = 0; i < p.elements(); ++i)
      result[static_cast<size_t>(p.offset + i)] =
          from[static_cast<size_t>(i / (head * copies) * head + i % head)];
  }
  return result;
}

// Turns every head with its query heads by a rotation of its own.
void turn_heads(const Decoder& decoder, std::vector<float>& parameters, uint64 seed) {
  const DecoderShape& shape = decoder.shape();
  for (int64 layer = 0; layer < shape.layers; ++layer) {
    AttentionWeights weights(decoder, parameters, layer);
    for (int64 head = 0; head < weights.kv_heads(); ++head) {
      seed += 1000;
      weights.rotate_keys(head, random_rotation(key_blocks(shape), shape.head_dim, seed));
      weights.rotate_values(head, random_rotation(value_blocks(shape), shape.head_dim, seed + 500));
    }
    weights.store(decoder, parameters, layer);
  }
}

void shuffle_heads(const Decoder& decoder, std::vector<float>& parameters, uint64 seed) {
  for (int64 layer = 0; layer < decoder.shape().layers; ++layer) {
    AttentionWeights weights(decoder, parameters, layer);
    std::vector<int64> order(static_cast<size_t>(weights.kv_heads()));
    std::iota(order.begin(), order.end(), 0);
    for (size_t i = order.size(); i > 1; --i)
      std::swap(order[i - 1],
                order[RandomSequence{seed, RandomUse::synthetic, static_cast<uint32>(layer)}.below(i, i)]);
    weights.reorder(order);
    weights.store(decoder, parameters, layer);
  }
}

class Alignment : public testing::TestWithParam<DecoderCase> {
 protected:
  const ModelConfig& config() const { return GetParam().config; }
  std::vector<int64> targets() const {
    return config().kv_heads ? std::vector<int64>{2, 1} : std::vector<int64>{4, 2, 1};
  }
};
INSTANTIATE_TEST_SUITE_P(Cases, Alignment, testing::ValuesIn(decoder_cases()),
                         [](const auto& test) { return test.param.name; });

// Planes that stand still mix freely with one another, not with those that turn.
TEST(KeyBlocks, AreThePlanesThatTurn) {
  const auto blocks_of = [](double fraction, bool interleaved) {
    ModelConfig config;
    config.head_dim = 8;
    config.rope_type = "proportional";
    config.rope_fraction = fraction;
    config.rope_interleaved = interleaved;
    std::vector<std::vector<int64>> dims;
    for (const RotationBlock& block : key_blocks(decoder_shape(config, 13))) {
      EXPECT_EQ(block.plane, block.dims.size() == 2);
      dims.push_back(block.dims);
    }
    return dims;
  };
  using Dims = std::vector<std::vector<int64>>;
  EXPECT_EQ(blocks_of(0.5, false), (Dims{{0, 4}, {1, 5}, {2, 6, 3, 7}}));
  EXPECT_EQ(blocks_of(0.5, true), (Dims{{0, 1}, {2, 3}, {4, 5, 6, 7}}));
  EXPECT_EQ(blocks_of(1, false), (Dims{{0, 4}, {1, 5}, {2, 6}, {3, 7}}));
}

TEST_P(Alignment, IdenticalHeadsBecomeOneWithoutLoss) {
  const Decoder source = decoder_of(config());
  const Calibration calibration = calibration_with(source.shape(), [](auto) { return 0.0; });
  for (const int64 kv_heads : targets()) {
    const Decoder target = decoder_of(config(), kv_heads);
    const std::vector<float> shared = drawn_parameters(target, 4),
                             parameters = repeated_heads(target, shared, source);
    const auto expected = logits_of(target, shared);
    ASSERT_LE(difference(logits_of(source, parameters), expected), 1e-12);
    for (const char* word : {"mean", "mean_scaled", "first", "aligned", "aligned_unscaled",
                             "aligned_activations", "mean similar", "aligned similar"}) {
      const auto converted =
          convert_kv_heads(source, parameters, target, {conversion_named(word), 0, &calibration});
      EXPECT_LE(difference(logits_of(target, converted), expected), 1e-6) << word << " to " << kv_heads;
    }
  }
}

TEST_P(Alignment, HeadsThatAreRotationsOfOneAnotherBecomeOneWithoutLoss) {
  const Decoder source = decoder_of(config());
  const Calibration calibration = calibration_with(source.shape(), [](auto) { return 0.0; });
  for (const int64 kv_heads : targets()) {
    const Decoder target = decoder_of(config(), kv_heads);
    const std::vector<float> shared = drawn_parameters(target, 4);
    std::vector<float> parameters = repeated_heads(target, shared, source);
    turn_heads(source, parameters, 7);
    const auto expected = logits_of(target, shared);
    ASSERT_LE(difference(logits_of(source, parameters), expected), 1e-6) << "turned heads";
    for (const char* word : {"aligned", "aligned_unscaled", "aligned_activations"}) {
      const auto converted =
          convert_kv_heads(source, parameters, target, {conversion_named(word), 0, &calibration});
      EXPECT_LE(difference(logits_of(target, converted), expected), 1e-6) << word << " to " << kv_heads;
    }
    const auto pooled = convert_kv_heads(source, parameters, target, {conversion_named("mean")});
    EXPECT_GT(difference(logits_of(target, pooled), expected), 1e-2) << "nothing was to be aligned";
  }
}

TEST_P(Alignment, GroupsAreFoundAmongShuffledHeads) {
  const Decoder source = decoder_of(config());
  for (const int64 kv_heads : targets()) {
    if (kv_heads == 1) continue;
    const Decoder target = decoder_of(config(), kv_heads);
    const std::vector<float> shared = drawn_parameters(target, 4);
    const auto expected = logits_of(target, shared);
    const Calibration calibration = calibration_with(source.shape(), [&](std::span<const float> parameters) {
      return difference(logits_of(target, parameters), expected);
    });
    for (const bool turned : {false, true}) {
      std::vector<float> parameters = repeated_heads(target, shared, source);
      if (turned) turn_heads(source, parameters, 7);
      shuffle_heads(source, parameters, 1);
      ASSERT_LE(difference(logits_of(source, parameters), expected), 1e-6) << "shuffled heads";
      for (const std::string word : {"mean similar", "aligned similar", "aligned_activations similar"}) {
        if (turned && word == "mean similar") continue;
        const auto converted =
            convert_kv_heads(source, parameters, target, {conversion_named(word), 0, &calibration});
        EXPECT_LE(difference(logits_of(target, converted), expected), 1e-6) << word << " to " << kv_heads;
      }
      const auto adjacent = convert_kv_heads(source, parameters, target, {conversion_named("aligned")});
      EXPECT_GT(difference(logits_of(target, adjacent), expected), 1e-2) << "nothing was to be found";
    }
  }
}

TEST_P(Alignment, TheUnmergedModelComputesTheSame) {
  const Decoder source = decoder_of(config());
  const std::vector<float> parameters = drawn_parameters(source, 4);
  const auto expected = logits_of(source, parameters);
  const Calibration calibration = calibration_with(source.shape(), {});
  for (const int64 kv_heads : targets())
    for (const char* word : {"aligned", "aligned_activations", "mean similar", "aligned similar",
                             "aligned_activations similar"}) {
      const auto aligned = align_kv_heads(source, parameters, decoder_of(config(), kv_heads),
                                          {conversion_named(word), 0, &calibration});
      EXPECT_TRUE(aligned != parameters || kv_heads == 1) << word;
      EXPECT_LE(difference(logits_of(source, aligned), expected), 1e-6) << word << " to " << kv_heads;
    }
}

TEST_P(Alignment, ThreadsMoveNoBit) {
  const Decoder source = decoder_of(config());
  const std::vector<float> parameters = drawn_parameters(source, 4);
  for (const int64 kv_heads : targets()) {
    const Decoder target = decoder_of(config(), kv_heads);
    const auto converted = [&](int threads) {
      return convert_kv_heads(source, parameters, target, {conversion_named("aligned"), 0, nullptr, threads});
    };
    const auto one = converted(1);
    EXPECT_EQ(converted(3), one);
    EXPECT_EQ(converted(8), one);
  }
}

// |[W b]| of a head.
double head_norm(const MatrixXd& rows, int64 head, int64 head_dim) {
  return rows.middleRows(head * head_dim, head_dim).norm();
}

TEST_P(Alignment, AHeadHasTheMeanNormOfItsGroup) {
  const Decoder source = decoder_of(config());
  std::vector<float> parameters = drawn_parameters(source, 4);
  const Calibration calibration = calibration_with(source.shape(), {});
  const Decoder target = decoder_of(config(), 2);
  for (const char* word : {"mean_scaled", "aligned", "aligned_activations"}) {
    auto converted = convert_kv_heads(source, parameters, target, {conversion_named(word), 0, &calibration});
    for (int64 layer = 0; layer < 2; ++layer) {
      const AttentionWeights before(source, parameters, layer), after(target, converted, layer);
      const int64 group = before.kv_heads() / 2, d = source.shape().head_dim;
      for (int64 g = 0; g < 2; ++g) {
        double keys = 0, values = 0;
        for (int64 head = g * group; head < (g + 1) * group; ++head) {
          keys += head_norm(before.keys(), head, d) / static_cast<double>(group);
          values += head_norm(before.values(), head, d) / static_cast<double>(group);
        }
        EXPECT_NEAR(head_norm(after.keys(), g, d), keys, 1e-5) << word;
        EXPECT_NEAR(head_norm(after.values(), g, d), values, 1e-5) << word;
      }
    }
  }
}

TEST_P(Alignment, IsAFunctionOfItsInputs) {
  const Decoder source = decoder_of(config()), target = decoder_of(config(), 2);
  const std::vector<float> parameters = drawn_parameters(source, 4);
  const Calibration calibration =
      calibration_with(source.shape(), [](std::span<const float> p) { return static_cast<double>(p[0]); });
  for (const char* word : {"aligned", "aligned_activations similar"}) {
    const GqaConversion how{conversion_named(word), 0, &calibration};
    EXPECT_EQ(convert_kv_heads(source, parameters, target, how),
              convert_kv_heads(source, parameters, target, how));
  }
}

DecoderShape shape_named(const std::string& name) {
  const auto found = std::ranges::find(decoder_cases(), name, &DecoderCase::name);
  return decoder_of(found->config).shape();
}

// Nothing of the search is kept where the loss does not fall by it.
TEST(Grouping, SearchedGroupsAreKeptWhereTheLossFalls) {
  const ModelConfig& config = decoder_cases().front().config;
  const Decoder source = decoder_of(config), target = decoder_of(config, 2);
  const std::vector<float> parameters = drawn_parameters(source, 4);
  int calls = 0;
  const auto with = [&](const std::function<double(int)>& loss_of_call) {
    calls = 0;
    const Calibration calibration =
        calibration_with(source.shape(), [&](auto) { return loss_of_call(calls++); });
    return convert_kv_heads(source, parameters, target,
                            {conversion_named("aligned similar"), 0, &calibration});
  };
  const auto adjacent = convert_kv_heads(source, parameters, target, {conversion_named("aligned")});
  EXPECT_EQ(with([](int) { return 1.0; }), adjacent);
  EXPECT_EQ(with([](int call) { return 1.0 + call; }), adjacent);
  EXPECT_EQ(with([](int call) { return call ? NAN : 1.0; }), adjacent);
  const auto searched = with([](int call) { return 1.0 - call; });
  ASSERT_EQ(calls, 3) << "adjacent groups, and a try in each of two layers";
  EXPECT_NE(searched, adjacent);
  const auto half = with([](int call) { return call == 1 ? 2.0 : 1.0 - call; });
  const ParameterLayout& layout = target.layout();
  for (const Parameter& p : layout.parameters())
    EXPECT_TRUE(
        std::ranges::equal(values_of(layout, half, p.name),
                           values_of(layout, p.name.starts_with("blocks.1.") ? searched : adjacent, p.name)))
        << p.name;
}

TEST(HeadAlignment, KeysAreTurnedInThePlanesOfRope) {
  const auto dims_of = [](const std::vector<RotationBlock>& blocks) {
    std::vector<std::pair<std::vector<int64>, bool>> list;
    for (const RotationBlock& block : blocks) list.emplace_back(block.dims, block.plane);
    return list;
  };
  using Blocks = std::vector<std::pair<std::vector<int64>, bool>>;
  EXPECT_EQ(dims_of(key_blocks(shape_named("half_split"))),
            (Blocks{{{0, 3}, true}, {{1, 4}, true}, {{2, 5}, true}}));
  EXPECT_EQ(dims_of(key_blocks(shape_named("interleaved"))),
            (Blocks{{{0, 1}, true}, {{2, 3}, true}, {{4, 5}, true}}));
  EXPECT_EQ(dims_of(key_blocks(shape_named("partial"))),
            (Blocks{{{0, 2}, true}, {{1, 3}, true}, {{4, 5, 6, 7}, false}}));
  EXPECT_EQ(dims_of(key_blocks(shape_named("partial_interleaved"))),
            (Blocks{{{0, 1}, true}, {{2, 3}, true}, {{4, 5, 6, 7}, false}}));
  EXPECT_EQ(dims_of(key_blocks(shape_named("learned"))), (Blocks{{{0, 1, 2, 3, 4, 5}, false}}));
  EXPECT_EQ(dims_of(key_blocks(shape_named("no_positions"))), (Blocks{{{0, 1, 2, 3, 4, 5}, false}}));
  EXPECT_EQ(dims_of(value_blocks(shape_named("partial"))), (Blocks{{{0, 1, 2, 3, 4, 5, 6, 7}, false}}));
}

struct Heads {
  std::vector<RotationBlock> blocks;
  std::vector<MatrixXd> heads;  // (D, n) each
  HeadProducts products;
};

Heads heads_from(const std::vector<RotationBlock>& blocks, std::vector<MatrixXd> heads,
                 const MatrixXd& metric = {}) {
  const int64 d = heads[0].rows();
  MatrixXd rows(d * static_cast<int64>(heads.size()), heads[0].cols());
  for (size_t i = 0; i < heads.size(); ++i) rows.middleRows(static_cast<int64>(i) * d, d) = heads[i];
  return {blocks, std::move(heads), products_of(rows, d, metric)};
}

double squared_error(const Heads& heads, const std::vector<MatrixXd>& rotations) {
  MatrixXd mean = MatrixXd::Zero(heads.heads[0].rows(), heads.heads[0].cols());
  for (size_t i = 0; i < rotations.size(); ++i)
    mean += rotations[i] * heads.heads[i] / static_cast<double>(rotations.size());
  double sum = 0;
  for (size_t i = 0; i < rotations.size(); ++i) sum += (rotations[i] * heads.heads[i] - mean).squaredNorm();
  return sum;
}

Heads random_heads(const std::string& shape_name, bool keys, int64 count, uint64 seed) {
  const DecoderShape shape = shape_named(shape_name);
  std::vector<MatrixXd> heads;
  for (int64 i = 0; i < count; ++i)
    heads.push_back(random_matrix(shape.head_dim, 7, seed * 100 + static_cast<uint64>(i)));
  return heads_from(keys ? key_blocks(shape) : value_blocks(shape), std::move(heads));
}

RC_GTEST_PROP(HeadAlignment, TheErrorNeverRises, ()) {
  const std::string name = *rc::gen::element<std::string>("half_split", "interleaved", "partial", "learned");
  const int64 count = *rc::gen::inRange<int64>(2, 6);
  const Heads heads =
      random_heads(name, *rc::gen::arbitrary<bool>(), count, *rc::gen::inRange<uint64>(0, 1000));
  std::vector<int64> members(static_cast<size_t>(count));
  std::iota(members.begin(), members.end(), 0);
  const HeadAlignment alignment = align_heads(heads.products, members, heads.blocks);
  for (size_t i = 1; i < alignment.errors.size(); ++i)
    RC_ASSERT(alignment.errors[i] <= alignment.errors[i - 1] * (1 + 1e-12));
  RC_ASSERT(std::abs(squared_error(heads, alignment.rotations) - alignment.errors.back()) <=
            1e-9 * alignment.errors.front());
  const int64 d = heads.products.head_dim;
  for (const MatrixXd& rotation : alignment.rotations) {
    RC_ASSERT((rotation * rotation.transpose() - MatrixXd::Identity(d, d)).cwiseAbs().maxCoeff() < 1e-12);
    MatrixXd outside = rotation;
    for (const RotationBlock& block : heads.blocks) {
      if (block.plane) RC_ASSERT(MatrixXd(rotation(block.dims, block.dims)).determinant() > 0);
      outside(block.dims, block.dims).setZero();
    }
    RC_ASSERT(outside.isZero(0));  // or it would not commute with RoPE
  }
}

// No other rotations come nearer than those of two heads, which have a closed form.
RC_GTEST_PROP(HeadAlignment, TwoHeadsComeAsNearAsTheyCan, ()) {
  const std::string name = *rc::gen::element<std::string>("half_split", "interleaved", "partial", "learned");
  const auto seed = *rc::gen::inRange<uint64>(0, 1000);
  const Heads heads = random_heads(name, true, 2, seed);
  const std::vector<int64> members = {0, 1};
  const HeadAlignment alignment = align_heads(heads.products, members, heads.blocks);
  const double least = alignment.errors.back(), scale = heads.products.all.trace();
  RC_ASSERT(std::abs(head_distance(heads.products, 0, 1, heads.blocks) / 2 - least) <= 1e-9 * scale);
  RC_ASSERT(std::abs(head_distance(heads.products, 1, 0, heads.blocks) / 2 - least) <= 1e-9 * scale);
  RC_ASSERT(std::abs(head_distance(heads.products, 0, 1, {}) -
                     (heads.heads[0] - heads.heads[1]).squaredNorm()) <= 1e-9 * scale);
  const int64 d = heads.products.head_dim;
  for (uint64 i = 0; i < 50; ++i) {
    MatrixXd other = random_rotation(heads.blocks, d, 10000 * seed + 100 * i);
    RC_ASSERT(squared_error(heads, {MatrixXd::Identity(d, d), other}) >= least - 1e-9 * scale);
    // Near the best too, where a wrong sign would show.
    other = alignment.rotations[1];
    const RotationBlock& block = heads.blocks[i % heads.blocks.size()];
    const double angle = i % 2 ? 0.01 : -0.01;
    MatrixXd turn = MatrixXd::Identity(d, d);
    turn(block.dims[0], block.dims[0]) = turn(block.dims[1], block.dims[1]) = std::cos(angle);
    turn(block.dims[1], block.dims[0]) = std::sin(angle);
    turn(block.dims[0], block.dims[1]) = -std::sin(angle);
    RC_ASSERT(squared_error(heads, {alignment.rotations[0], turn * other}) >= least - 1e-9 * scale);
  }
}

TEST(HeadAlignment, AMirroredKeyIsNotMirroredBack) {
  for (const char* name : {"half_split", "interleaved"}) {
    const std::vector<RotationBlock> blocks = key_blocks(shape_named(name));
    const MatrixXd head = random_matrix(6, 7, 3);
    MatrixXd mirrored = head;
    for (const RotationBlock& block : blocks) mirrored.row(block.dims[1]) *= -1;
    const Heads heads = heads_from(blocks, {head, mirrored});
    const std::vector<int64> members = {0, 1};
    const HeadAlignment alignment = align_heads(heads.products, members, blocks);
    for (const MatrixXd& rotation : alignment.rotations)
      for (const RotationBlock& block : blocks)
        EXPECT_NEAR(MatrixXd(rotation(block.dims, block.dims)).determinant(), 1, 1e-12);
    EXPECT_GT(alignment.errors.back(), 0.05 * head.squaredNorm()) << name;
    // Values, and keys without RoPE, may be.
    const std::vector<RotationBlock> any = value_blocks(shape_named(name));
    EXPECT_LT(align_heads(heads.products, members, any).errors.back(), 1e-10 * head.squaredNorm());
  }
}

// By the metric, rows that never come together with others weigh nothing.
TEST(HeadAlignment, AMetricSaysWhatIsCompared) {
  const std::vector<RotationBlock> blocks = value_blocks(shape_named("learned"));
  const MatrixXd head = random_matrix(6, 7, 3), turn = random_rotation(blocks, 6, 8);
  MatrixXd turned = turn * head;
  turned.rightCols(1) = random_matrix(6, 1, 9);
  MatrixXd metric = MatrixXd::Identity(7, 7);
  const std::vector<int64> members = {0, 1};
  EXPECT_GT(align_heads(heads_from(blocks, {head, turned}, metric).products, members, blocks).errors.back(),
            0.01);
  metric(6, 6) = 0;
  const HeadAlignment alignment =
      align_heads(heads_from(blocks, {head, turned}, metric).products, members, blocks);
  EXPECT_LT(alignment.errors.back(), 1e-10);
  EXPECT_LT((alignment.rotations[1] * turn - alignment.rotations[0]).cwiseAbs().maxCoeff(), 1e-6);
}

}  // namespace
}  // namespace fovea
