#include "train/optimizer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "direct.h"
#include "helpers.h"

namespace fovea {
namespace {

ParameterLayout small_layout() {
  ParameterLayout layout;
  layout.add_matrix("a", 3, 5, 0.02);
  layout.add_matrix("b", 7, 9, 0.02);
  layout.add_vector("c", 5, 1);
  layout.add_vector("d", 33, 1);
  layout.add_matrix("e", 2, 2, 0.02);
  return layout;
}

// Normal numbers in every parameter; the gaps stay zero.
void fill(const ParameterLayout& layout, const View& flat, uint32 stream, double scale = 1) {
  const RandomSequence random{11, RandomUse::synthetic, stream};
  for (const Parameter& parameter : layout.parameters())
    for (int64 i = parameter.offset; i < parameter.offset + parameter.elements(); ++i)
      store(flat, {i}, scale * random.normal(static_cast<uint64>(i)));
}

TEST(Optimizer, DecaysMatricesAndNothingElse) {
  const ParameterLayout layout = small_layout();
  OptimizerState state(layout, DType::f64, DType::f64);
  fill(layout, state.weights(), 0);
  const Buffer before(DType::f64, {layout.elements()}), zero(DType::f64, {layout.elements()});
  std::memcpy(before.data(), state.weights().data(), static_cast<size_t>(before.bytes()));
  TrainConfig config;
  config.weight_decay = 0.25;
  Stream stream(Backend::reference);
  state.update(stream, config, zero, 0.5, {}, 1);
  for (const Parameter& parameter : layout.parameters())
    for (int64 i = parameter.offset; i < parameter.offset + parameter.elements(); ++i)
      EXPECT_EQ(load(state.weights(), {i}), load(before, {i}) * (parameter.vector ? 1 : 1 - 0.5 * 0.25))
          << parameter.name << " " << i;
}

TEST(Optimizer, ScalesTheGradientByTheClipFactor) {
  const ParameterLayout layout = small_layout();
  OptimizerState scaled(layout, DType::f32, DType::f32), plain(layout, DType::f32, DType::f32);
  const Buffer gradient(DType::f32, {layout.elements()}), quarter(DType::f32, {layout.elements()});
  const Buffer factor(DType::f64, {1}), go(DType::i32, {1});
  store(factor, {0}, 0.25);
  go.view().data<int32>()[0] = 1;
  Stream stream(Backend::cpu);
  for (int64 step = 1; step <= 3; ++step) {
    fill(layout, gradient, static_cast<uint32>(step));
    fill(layout, quarter, static_cast<uint32>(step), 0.25);
    scaled.update(stream, {}, gradient, 1e-3, {.factor = factor, .go = go}, step);
    plain.update(stream, {}, quarter, 1e-3, {}, step);
  }
  EXPECT_EQ(bits(scaled.weights()), bits(plain.weights()));
  EXPECT_EQ(bits(scaled.moment1()), bits(plain.moment1()));
  EXPECT_EQ(bits(scaled.moment2()), bits(plain.moment2()));
}

void expect_rounded_copies(const OptimizerState& state) {
  for (int64 i = 0; i < state.weights().elements(); ++i)
    ASSERT_EQ(state.compute_weights().data<bf16>()[i].bits, bf16(state.weights().data<float>()[i]).bits) << i;
}

TEST(Optimizer, KeepsRoundedCopiesOfTheMasters) {
  const ParameterLayout layout = small_layout();
  OptimizerState state(layout, DType::f32, DType::bf16);
  ASSERT_EQ(state.compute_weights().dtype(), DType::bf16);
  Stream stream(Backend::cpu);
  fill(layout, state.weights(), 0);
  state.refresh_compute_weights(stream);
  expect_rounded_copies(state);
  const Buffer gradient(DType::f32, {layout.elements()});
  for (int64 step = 1; step <= 3; ++step) {
    const std::string before = bits(state.compute_weights());
    fill(layout, gradient, static_cast<uint32>(step));
    state.update(stream, {}, gradient, 0.1, {}, step);
    expect_rounded_copies(state);
    EXPECT_NE(bits(state.compute_weights()), before);
  }
}

TEST(Optimizer, LeavesTheGapsBetweenParametersZero) {
  const ParameterLayout layout = small_layout();
  OptimizerState state(layout, DType::f32, DType::bf16);
  fill(layout, state.weights(), 0);
  const Buffer gradient(DType::f32, {layout.elements()});
  fill(layout, gradient, 1);
  Stream stream(Backend::cpu);
  for (int64 step = 1; step <= 3; ++step) state.update(stream, {}, gradient, 0.1, {}, step);
  int64 at = 0;
  for (const Parameter& parameter : layout.parameters()) {
    for (; at < parameter.offset; ++at) EXPECT_EQ(load(state.weights(), {at}), 0) << at;
    at = parameter.offset + parameter.elements();
  }
}

TEST(Optimizer, SaysHowManyBytesItTakes) {
  const ParameterLayout layout = small_layout();
  for (const auto& [wide, compute] : {std::pair{DType::f32, DType::f32}, std::pair{DType::f32, DType::bf16},
                                      std::pair{DType::f64, DType::f64}}) {
    const OptimizerState state(layout, wide, compute);
    int64 bytes = state.weights().bytes() + state.moment1().bytes() + state.moment2().bytes();
    if (compute != wide) bytes += state.compute_weights().bytes();
    EXPECT_EQ(OptimizerState::bytes(layout, wide, compute), bytes);
  }
}

// AdamW as written down by Loshchilov & Hutter, with the gradient of the whole batch at once.
class PlainAdamW {
 public:
  explicit PlainAdamW(int64 n) : m_(static_cast<size_t>(n)), v_(static_cast<size_t>(n)) {}
  void step(const ParameterLayout& layout, const TrainConfig& config, const View& gradient, double lr,
            double* weights, int t) {
    double squares = 0;
    for (int64 i = 0; i < gradient.elements(); ++i) squares += load(gradient, {i}) * load(gradient, {i});
    const double clip = std::min(1.0, config.clip / (std::sqrt(squares) + 1e-6));
    for (const Parameter& parameter : layout.parameters())
      for (int64 k = 0; k < parameter.elements(); ++k) {
        const auto i = static_cast<size_t>(parameter.offset + k);
        const double g = load(gradient, {parameter.offset + k}) * clip;
        m_[i] += (1 - config.beta1) * (g - m_[i]);
        v_[i] += (1 - config.beta2) * (g * g - v_[i]);
        const double m_hat = m_[i] / (1 - std::pow(config.beta1, t));
        const double v_hat = v_[i] / (1 - std::pow(config.beta2, t));
        if (parameter.rows > 1) weights[i] -= lr * config.weight_decay * weights[i];
        weights[i] -= lr * m_hat / (std::sqrt(v_hat) + config.epsilon);
      }
  }

 private:
  std::vector<double> m_, v_;
};

TEST(Optimizer, TenStepsAreThoseOfAnIndependentAdamW) {
  SmallRun run;
  Config& config = run.config;
  config.model.width = 16;
  config.model.context = 8;
  config.train.precision = "f64";
  config.train.tokens = 10 * 4 * 8;
  config.train.clip = 0.5;
  const Dataset dataset = run.dataset();
  Trainer trainer(config, dataset, Backend::reference, 1);
  trainer.initialise_weights();
  const Decoder& decoder = trainer.decoder();
  const int64 n = decoder.layout().elements();
  const Buffer weights(DType::f64, {n});
  initialise(decoder.layout(), weights, static_cast<uint64>(config.train.seed));
  Direct direct(decoder, config, Backend::reference);
  PlainAdamW optimizer(n);
  for (int step = 0; step < 10; ++step) {
    Batch batch;
    dataset.train_batch(0, step * 4, 4, 8, batch);
    const double loss = direct.train(weights, batch, 1.0 / 32) / 32;
    // 10 steps: one of warm-up, then a cosine to a tenth.
    const double lr = config.train.lr * (0.1 + 0.45 * (1 + std::cos(M_PI * step / 10)));
    optimizer.step(decoder.layout(), config.train, direct.gradients(), lr, weights.view().data<double>(),
                   step + 1);
    const StepResult result = trainer.step();
    EXPECT_NEAR(result.loss, loss, 1e-12) << step;
    EXPECT_NEAR(result.lr, lr, 1e-15) << step;
    for (int64 i = 0; i < n; ++i)
      ASSERT_NEAR(load(trainer.state().weights(), {i}), load(weights, {i}), 1e-10) << step << " " << i;
  }
}

}  // namespace
}  // namespace fovea
