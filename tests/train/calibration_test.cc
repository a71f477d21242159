#include "train/calibration.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "convert/attention_weights.h"
#include "helpers.h"
#include "model/families.h"

namespace fovea {
namespace {

using Eigen::MatrixXd;

constexpr int64 kVocabulary = 256;

// A trained model of four KV heads, and a text.
class OnCalibration : public testing::Test {
 protected:
  OnCalibration() {
    run.config.model.kv_heads = 4;
    run.config.train.tokens = 40 * 4 * 16;
  }
  DecoderShape shape(int64 kv_heads) const {
    ModelConfig config = run.config.model;
    config.kv_heads = kv_heads;
    return decoder_shape(config, kVocabulary);
  }
  std::vector<float> trained(int64 steps = 30) {
    Trainer trainer(run.config, dataset, Backend::cpu, 1);
    trainer.initialise_weights();
    for (int64 i = 0; i < steps; ++i) trainer.step();
    const View weights = trainer.state().weights();
    return {weights.data<float>(), weights.data<float>() + weights.elements()};
  }
  Calibration on(int64 kv_heads, int64 sequences = 6, int threads = 1, Backend backend = Backend::cpu) const {
    const auto seed = static_cast<uint64>(run.config.train.seed);
    return calibration_on({dataset, seed, 100, sequences, 16}, shape(4), shape(kv_heads), {backend, threads});
  }

  SmallRun run;
  Dataset dataset = run.dataset();
};

TEST_F(OnCalibration, TheLossIsThatOfTheTrainer) {
  const std::vector<float> weights = trained();
  const double loss = on(4, 4).loss(weights);
  // A step tells the loss of its batch before the update.
  Trainer trainer(run.config, dataset, Backend::cpu, 1, 100);
  std::copy(weights.begin(), weights.end(), trainer.state().weights().data<float>());
  trainer.resume_at(0);
  EXPECT_NEAR(loss, trainer.step().loss, 1e-6);
}

TEST_F(OnCalibration, NeitherThreadsNorCallsMoveABit) {
  const std::vector<float> weights = trained();
  const Calibration one = on(4, 6, 1), three = on(4, 6, 3);
  EXPECT_EQ(one.loss(weights), three.loss(weights));
  EXPECT_EQ(one.second_moments(weights), three.second_moments(weights));
  EXPECT_EQ(one.second_moments(weights), one.second_moments(weights));
  EXPECT_NE(one.loss(weights), on(4, 5).loss(weights));
}

TEST_F(OnCalibration, BackendsAgree) {
  const std::vector<float> weights = trained();
  const Calibration cpu = on(4, 2), reference = on(4, 2, 1, Backend::reference);
  EXPECT_NEAR(cpu.loss(weights), reference.loss(weights), 1e-5);
  const auto a = cpu.second_moments(weights), b = reference.second_moments(weights);
  for (size_t layer = 0; layer < a.size(); ++layer)
    EXPECT_LE((a[layer] - b[layer]).cwiseAbs().maxCoeff(), 1e-4 * a[layer].cwiseAbs().maxCoeff());
}

TEST_F(OnCalibration, AMomentIsThatOfTheNormedInput) {
  const std::vector<float> weights = trained(1);
  const std::vector<MatrixXd> moments = on(4, 5).second_moments(weights);
  ASSERT_EQ(moments.size(), 2U);
  // The first layer reads the normed embeddings of the tokens, row by row.
  const Decoder decoder(shape(4));
  const ParameterLayout& layout = decoder.layout();
  const auto parameter = [&](const char* name) { return weights.data() + layout[layout.find(name)].offset; };
  const float *embedding = parameter("embed.weight"), *norm = parameter("blocks.0.attention_norm.weight");
  const int64 width = 32;
  MatrixXd expected = MatrixXd::Zero(width + 1, width + 1);
  Batch batch;
  dataset.train_batch(static_cast<uint64>(run.config.train.seed), 100, 5, 16, batch);
  for (const int32 token : batch.tokens) {
    Eigen::VectorXd row(width + 1);
    double squares = 0;
    for (int64 i = 0; i < width; ++i) {
      row(i) = static_cast<double>(embedding[token * width + i]);
      squares += row(i) * row(i);
    }
    for (int64 i = 0; i < width; ++i)
      row(i) *= static_cast<double>(norm[i]) / std::sqrt(squares / static_cast<double>(width) + 1e-5);
    row(width) = 1;
    expected += row * row.transpose() / static_cast<double>(batch.tokens.size());
  }
  EXPECT_LE((moments[0] - expected).cwiseAbs().maxCoeff(), 1e-4);
  EXPECT_NEAR(moments[1](width, width), 1, 1e-12);
  EXPECT_GT((moments[1] - moments[0]).cwiseAbs().maxCoeff(), 1e-3);
}

TEST_F(OnCalibration, SimilarIsNeverWorseThanAdjacent) {
  int changed = 0;
  for (const int64 seed : {1, 2, 3}) {
    run.config.train.seed = seed;
    const std::vector<float> weights = trained();
    const Decoder source(shape(4)), target(shape(2));
    const Calibration calibration = on(2);
    for (const std::string method : {"mean", "mean_scaled", "aligned", "aligned_activations"}) {
      const auto converted = [&](const std::string& word) {
        return convert_kv_heads(source, weights, target, {conversion_named(word), 0, &calibration});
      };
      const auto adjacent = converted(method), similar = converted(method + " similar");
      EXPECT_LE(calibration.loss(similar), calibration.loss(adjacent)) << method << " " << seed;
      changed += adjacent != similar;
    }
  }
  EXPECT_GT(changed, 0) << "no search found anything";
}

// Documents are packed as in training, and what they must not see they do not.
TEST_F(OnCalibration, DocumentsAreBounds) {
  run.config.data.documents = true;
  const Dataset bounded = run.dataset();
  const std::vector<float> weights = trained();
  const CalibrationEngine engine;
  const auto loss = [&](const Dataset& data) {
    return calibration_on({data, 0, 100, 4, 16}, shape(4), shape(4), engine).loss(weights);
  };
  const double with_bounds = loss(bounded);
  EXPECT_NE(with_bounds, loss(dataset));
  Trainer trainer(run.config, bounded, Backend::cpu, 1, 100);
  std::copy(weights.begin(), weights.end(), trainer.state().weights().data<float>());
  trainer.resume_at(0);
  EXPECT_NEAR(with_bounds, trainer.step().loss, 1e-6);
}

}  // namespace
}  // namespace fovea
