// Losses against a second decoder: one row at a time, in plain loops over double precision, without any
// operation of kernels/.

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

#include "core/random.h"
#include "tests/model/small_model.h"

namespace fovea {
namespace {

using Row = std::vector<double>;
using Rows = std::vector<Row>;

Row operator+(Row a, const Row& b) {
  for (size_t i = 0; i < a.size(); ++i) a[i] += b[i];
  return a;
}
double dot(const double* a, const double* b, size_t n) {
  double sum = 0;
  for (size_t i = 0; i < n; ++i) sum += a[i] * b[i];
  return sum;
}
double capped(double x, double cap) { return cap > 0 ? cap * std::tanh(x / cap) : x; }

double activated(ActivationKind kind, double x) {
  switch (kind) {
    case ActivationKind::silu:
      return x / (1 + std::exp(-x));
    case ActivationKind::relu:
      return std::max(x, 0.0);
    case ActivationKind::gelu:
      return x * 0.5 * std::erfc(-x / std::numbers::sqrt2);
    case ActivationKind::gelu_tanh:
      return 0.5 * x * (1 + std::tanh(std::sqrt(2 / std::numbers::pi) * (x + 0.044715 * x * x * x)));
  }
  return NAN;
}

class PlainDecoder {
 public:
  explicit PlainDecoder(const SmallModel& model) : model_(model), shape_(model.decoder().shape()) {}

  std::vector<double> losses() const {
    Rows x;
    for (int64 row = 0; row < model_.tokens().size(0); ++row) x.push_back(embedded(row));
    for (int64 layer = 0; layer < shape_.layers; ++layer) x = block(layer, x);
    std::vector<double> losses;
    const Rows head = matrix(shape_.tie_embeddings ? "embed.weight" : "head.weight");
    for (size_t row = 0; row < x.size(); ++row) {
      const Row hidden = normed(x[row], "final_norm", shape_.norm);
      const int32 target = model_.targets().data<int32>()[row];
      double sum = 0, wanted = 0;
      for (size_t v = 0; v < head.size(); ++v) {
        const double logit = capped(dot(hidden.data(), head[v].data(), hidden.size()), shape_.logit_softcap);
        sum += std::exp(logit);
        if (static_cast<int32>(v) == target) wanted = logit;
      }
      losses.push_back(target < 0 ? 0 : std::log(sum) - wanted);
    }
    return losses;
  }

 private:
  Rows matrix(const std::string& name) const {
    const View view = model_.parameter(model_.decoder().layout().find(name));
    Rows rows(static_cast<size_t>(view.size(0)), Row(static_cast<size_t>(view.size(1))));
    for (int64 i = 0; i < view.size(0); ++i)
      for (int64 j = 0; j < view.size(1); ++j)
        rows[static_cast<size_t>(i)][static_cast<size_t>(j)] = load(view, {i, j});
    return rows;
  }
  Row vector(const std::string& name, size_t size) const {
    const ParameterId id = model_.decoder().layout().find(name);
    Row values(size, 0.0);
    for (size_t i = 0; i < size && id != kNoParameter; ++i)
      values[i] = load(model_.parameter(id), {static_cast<int64>(i)});
    return values;
  }
  Row linear(const Row& x, const std::string& name, bool bias) const {
    const Rows weight = matrix(name + ".weight");
    EXPECT_EQ(model_.decoder().layout().find(name + ".bias") != kNoParameter, bias) << name;
    Row y = vector(name + ".bias", weight.size());
    for (size_t i = 0; i < y.size(); ++i) y[i] += dot(weight[i].data(), x.data(), x.size());
    return y;
  }
  Row normed(Row x, const std::string& name, const NormShape& norm) const {
    const Row weight = vector(name + ".weight", x.size()), bias = vector(name + ".bias", x.size());
    const auto n = static_cast<double>(x.size());
    double mean = 0, square = 0;
    if (norm.kind == NormKind::layer_norm)
      for (const double value : x) mean += value / n;
    for (const double value : x) square += (value - mean) * (value - mean) / n;
    for (size_t i = 0; i < x.size(); ++i)
      x[i] = (x[i] - mean) / std::sqrt(square + norm.epsilon) * (weight[i] + norm.weight_offset) + bias[i];
    return x;
  }
  // The numbers are those that kernels/residual/residual.h names.
  Row dropped(Row x, int64 row, int64 site) const {
    const double p = shape_.dropout;
    const RandomSequence random{SmallModel::kSeed, RandomUse::dropout, static_cast<uint32>(site)};
    const uint64 first = static_cast<uint64>(SmallModel::kFirstRow + row) * x.size();
    for (size_t i = 0; i < x.size(); ++i) {
      const uint64 e = first + i;
      const double u = (random.bits(e / 4)[e % 4] >> 8) * 0x1p-24;
      x[i] = u >= p ? x[i] / (1 - p) : 0;
    }
    return x;
  }
  Row embedded(int64 row) const {
    const auto token = static_cast<size_t>(model_.tokens().data<int32>()[row]);
    const auto position = static_cast<size_t>(model_.positions().data<int32>()[row]);
    Row x = matrix("embed.weight")[token];
    for (double& value : x) value *= shape_.embedding_scale;
    if (shape_.position == PositionKind::learned) x = x + matrix("position.weight")[position];
    return dropped(x, row, 0);
  }
  // The wavelength of plane i by itself, and what becomes of it in each type of RoPE.
  double wavelength(size_t i) const {
    const ModelConfig& config = model_.config();
    const std::string& type = config.rope_type;
    const auto d = static_cast<double>(shape_.rope.dims), plane = static_cast<double>(i);
    const double s = config.rope_factor, context = static_cast<double>(config.rope_original_context),
                 length = static_cast<double>(config.context);
    double base = config.rope_theta;
    if (type == "ntk") base *= std::pow(s, d / (d - 2));
    if (type == "dynamic") base *= std::pow(s * length / context - s + 1, d / (d - 2));
    const double wave = 2 * M_PI * std::pow(base, 2 * plane / d), turns = context / wave;
    if (type == "linear") return wave * s;
    if (type == "longrope") return wave * config.rope_long_factors[i];
    if (type == "proportional") return plane < d * config.rope_fraction / 2 ? wave * s : INFINITY;
    // Between the bounds YaRN goes by the number of the plane, Llama 3 by the turns.
    double kept = 1;
    if (type == "yarn") {
      const auto at = [&](double t) { return d / 2 * std::log(context / (2 * M_PI * t)) / std::log(base); };
      const double first = std::max(0.0, at(config.rope_beta_fast)), last = at(config.rope_beta_slow);
      kept = plane <= first ? 1 : plane >= last ? 0 : (last - plane) / (last - first);
    } else if (type == "llama3") {
      const double low = config.rope_low_freq_factor, high = config.rope_high_freq_factor;
      kept = turns >= high ? 1 : turns <= low ? 0 : (turns - low) / (high - low);
    }
    return 1 / (kept / wave + (1 - kept) / (wave * s));
  }
  double magnitude() const {
    const ModelConfig& config = model_.config();
    if (config.rope_type == "yarn") return 1 + std::log(config.rope_factor) / 10;
    if (config.rope_type != "longrope") return 1;
    return std::sqrt(1 + std::log(config.rope_factor) /
                             std::log(static_cast<double>(config.rope_original_context)));
  }
  void rotate(double* head, int32 position) const {
    if (shape_.position != PositionKind::rope) return;
    const auto dims = static_cast<size_t>(shape_.rope.dims);
    for (size_t i = 0; i < dims / 2; ++i) {
      const double angle = 2 * M_PI * position / wavelength(i);
      double& a = head[shape_.rope.interleaved ? 2 * i : i];
      double& b = head[shape_.rope.interleaved ? 2 * i + 1 : i + dims / 2];
      const double a0 = a, b0 = b;
      a = magnitude() * (a0 * std::cos(angle) - b0 * std::sin(angle));
      b = magnitude() * (b0 * std::cos(angle) + a0 * std::sin(angle));
    }
  }
  // Projected, normed and rotated heads of one row.
  Row heads(const Row& n, const std::string& name, int64 row) const {
    Row y = linear(n, name, shape_.qkv_bias);
    const auto d = static_cast<size_t>(shape_.head_dim);
    for (size_t begin = 0; begin < y.size(); begin += d) {
      if (shape_.qk_norm) {
        const Row head =
            normed(Row(y.begin() + static_cast<int64>(begin), y.begin() + static_cast<int64>(begin + d)),
                   name + "_norm", {NormKind::rms_norm, shape_.norm.epsilon, shape_.norm.weight_offset});
        std::copy(head.begin(), head.end(), y.begin() + static_cast<int64>(begin));
      }
      rotate(y.data() + begin, model_.positions().data<int32>()[row]);
    }
    return y;
  }
  // Keys that the row sees: of its sequence or document, not after it, within the layer's window.
  Range visible(int64 layer, int64 row) const {
    const int64 start = row - model_.positions().data<int32>()[row];
    const ModelConfig& config = model_.model_case().config;
    std::vector<std::string> kinds = config.attention;
    if (kinds.empty()) kinds = {config.sliding_window > 0 ? "window" : "full"};
    if (config.attention.empty() && config.family == "gemma2") kinds = {"window", "full"};
    const bool window = kinds[static_cast<size_t>(layer) % kinds.size()] == "window";
    return {window ? std::max(start, row - config.sliding_window + 1) : start, row + 1};
  }
  double scale() const {
    const double configured = model_.model_case().config.attention_scale;
    return configured > 0 ? configured : 1 / std::sqrt(static_cast<double>(shape_.head_dim));
  }
  Rows attended(int64 layer, const Rows& n, const std::string& name) const {
    const auto d = static_cast<size_t>(shape_.head_dim);
    Rows q, k, v, out;
    for (size_t row = 0; row < n.size(); ++row) {
      q.push_back(heads(n[row], name + ".q", static_cast<int64>(row)));
      k.push_back(heads(n[row], name + ".k", static_cast<int64>(row)));
      v.push_back(linear(n[row], name + ".v", shape_.qkv_bias));
    }
    for (size_t row = 0; row < n.size(); ++row) {
      Row concatenated(q[row].size(), 0.0);
      const Range keys = visible(layer, static_cast<int64>(row));
      for (size_t h = 0; h < static_cast<size_t>(shape_.q_heads); ++h) {
        const size_t kv = h / static_cast<size_t>(shape_.group(layer));
        double sum = 0;
        for (auto j = static_cast<size_t>(keys.begin); j < static_cast<size_t>(keys.end); ++j) {
          const double score = scale() * dot(&q[row][h * d], &k[j][kv * d], d);
          const double weight = std::exp(capped(score, shape_.attention_softcap));
          sum += weight;
          for (size_t i = 0; i < d; ++i) concatenated[h * d + i] += weight * v[j][kv * d + i];
        }
        for (size_t i = 0; i < d; ++i) concatenated[h * d + i] /= sum;
      }
      out.push_back(linear(concatenated, name + ".out", shape_.out_bias));
    }
    return out;
  }
  Row mlp(const Row& n, const std::string& name) const {
    Row inner = linear(n, name + (shape_.gated ? ".gate" : ".up"), shape_.mlp_bias);
    for (double& value : inner) value = activated(shape_.activation, value);
    if (shape_.gated) {
      const Row up = linear(n, name + ".up", shape_.mlp_bias);
      for (size_t i = 0; i < inner.size(); ++i) inner[i] *= up[i];
    }
    return linear(inner, name + ".down", shape_.mlp_bias);
  }
  Row branch(Row x, const std::string& post_norm, int64 row, int64 site) const {
    if (shape_.post_norms) x = normed(x, post_norm, shape_.norm);
    return dropped(x, row, site);
  }
  Rows block(int64 layer, const Rows& x) const {
    const std::string name = fmt::format("blocks.{}.", layer);
    Rows n;
    for (const Row& row : x) n.push_back(normed(row, name + "attention_norm", shape_.norm));
    const Rows attention = attended(layer, n, name + "attention");
    Rows y;
    for (size_t i = 0; i < x.size(); ++i) {
      const auto row = static_cast<int64>(i);
      const Row middle = x[i] + branch(attention[i], name + "attention_post_norm", row, 2 * layer + 1);
      const Row n2 = normed(shape_.parallel_residual ? x[i] : middle, name + "mlp_norm", shape_.norm);
      y.push_back(middle + branch(mlp(n2, name + "mlp"), name + "mlp_post_norm", row, 2 * layer + 2));
    }
    return y;
  }

  const SmallModel& model_;
  const DecoderShape& shape_;
};

class AgainstPlainLoops : public testing::TestWithParam<ModelCase> {};

TEST_P(AgainstPlainLoops, LossesAgree) {
  SmallModel model(GetParam(), {});
  const std::vector<double> losses = model.losses(), expected = PlainDecoder(model).losses();
  ASSERT_EQ(losses.size(), expected.size());
  // Constants (1 / sqrt(head_dim), sqrt(width)) are f32 in the model.
  for (size_t row = 0; row < losses.size(); ++row) EXPECT_NEAR(losses[row], expected[row], 2e-6) << row;
}

INSTANTIATE_TEST_SUITE_P(Cases, AgainstPlainLoops, testing::ValuesIn(model_cases()),
                         [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace fovea
