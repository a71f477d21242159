#include "convert/gqa.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "convert/attention_weights.h"
#include "convert/head_alignment.h"
#include "convert/head_grouping.h"
#include "core/error.h"

namespace fovea {
namespace {

using Eigen::MatrixXd;

std::string shape_of(const Parameter& p) {
  return p.vector ? fmt::format("({})", p.columns) : fmt::format("({}, {})", p.rows, p.columns);
}

const Parameter& counterpart(const ParameterLayout& source, const Parameter& target) {
  const ParameterId id = source.find(target.name);
  if (id == kNoParameter)
    fail_usage(
        "init.from: the model to convert has no parameter {}: let both models differ in model.kv_heads alone",
        target.name);
  return source[id];
}

void expect_same_shape(const Parameter& source, const Parameter& target) {
  if (source.vector == target.vector && source.rows == target.rows && source.columns == target.columns)
    return;
  fail_usage(
      "init.from: {} is {} in the model to convert and {} here: let both models differ in model.kv_heads "
      "alone",
      target.name, shape_of(source), shape_of(target));
}

// blocks.N.attention.{k,v}.{weight,bias}
bool is_key_or_value(std::string_view name) {
  for (const std::string_view ending :
       {".attention.k.weight", ".attention.v.weight", ".attention.k.bias", ".attention.v.bias"})
    if (name.starts_with("blocks.") && name.ends_with(ending)) return true;
  return false;
}

void expect_convertible(const Decoder& source, const Decoder& target) {
  for (const Parameter& parameter : source.layout().parameters())
    if (target.layout().find(parameter.name) == kNoParameter)
      fail_usage(
          "init.from: the model to convert has a parameter {} and this one has not: let both models differ "
          "in model.kv_heads alone",
          parameter.name);
  for (const Parameter& parameter : target.layout().parameters()) {
    Parameter from = counterpart(source.layout(), parameter);
    if (is_key_or_value(parameter.name) && from.vector == parameter.vector)  // as many heads as there are
      from.vector ? from.columns = parameter.columns : from.rows = parameter.rows;
    expect_same_shape(from, parameter);
  }
  const DecoderShape &from = source.shape(), &to = target.shape();
  FOVEA_CHECK(from.head_dim == to.head_dim && from.q_heads == to.q_heads, "heads of {} become heads of {}",
              from.head_dim, to.head_dim);
  for (size_t layer = 0; layer < to.kv_heads.size(); ++layer)
    if (from.kv_heads[layer] % to.kv_heads[layer] != 0)
      fail_usage("model.kv_heads: {} KV heads do not come from {}: choose a divisor of {}",
                 to.kv_heads[layer], from.kv_heads[layer], from.kv_heads[layer]);
}

// How many of the source's KV heads become one.
int64 merged_heads(const DecoderShape& source, const DecoderShape& target, int64 layer) {
  const auto l = static_cast<size_t>(layer);
  return source.kv_heads[l] / target.kv_heads[l];
}

// The rows and columns of a second moment that go with [W b], or with W alone.
MatrixXd metric_for(const MatrixXd& rows, const std::vector<MatrixXd>& moments, int64 layer) {
  if (moments.empty()) return {};
  const MatrixXd& moment = moments[static_cast<size_t>(layer)];
  FOVEA_CHECK(moment.rows() == moment.cols() && moment.rows() >= rows.cols(),
              "a second moment of {} for rows of {}", moment.rows(), rows.cols());
  return moment.topLeftCorner(rows.cols(), rows.cols());
}

// One layer's heads, as they are compared.
class LayerHeads {
 public:
  LayerHeads(const AttentionWeights& weights, const DecoderShape& shape, const Conversion& how,
             const std::vector<MatrixXd>& moments, int64 layer)
      : keys_(products_of(weights.keys(), shape.head_dim, metric_for(weights.keys(), moments, layer))),
        values_(products_of(weights.values(), shape.head_dim, metric_for(weights.values(), moments, layer))) {
    if (!how.aligns()) return;
    key_blocks_ = key_blocks(shape);
    value_blocks_ = value_blocks(shape);
  }

  /// (G, G): of keys and values together, each as a part of its heads' mean squared norm.
  MatrixXd distances() const {
    const int64 heads = keys_.heads();
    const auto unit = [&](const HeadProducts& products) {
      const double square = products.all.trace() / static_cast<double>(heads);
      return square > 0 ? square : 1;
    };
    MatrixXd distances = MatrixXd::Zero(heads, heads);
    for (int64 a = 0; a < heads; ++a)
      for (int64 b = 0; b < a; ++b)
        distances(a, b) = distances(b, a) = head_distance(keys_, a, b, key_blocks_) / unit(keys_) +
                                            head_distance(values_, a, b, value_blocks_) / unit(values_);
    return distances;
  }
  void align(const std::vector<int64>& members, AttentionWeights& weights) const {
    const HeadAlignment keys = align_heads(keys_, members, key_blocks_),
                        values = align_heads(values_, members, value_blocks_);
    for (size_t i = 0; i < members.size(); ++i) {
      weights.rotate_keys(members[i], keys.rotations[i]);
      weights.rotate_values(members[i], values.rotations[i]);
    }
  }

 private:
  HeadProducts keys_, values_;
  std::vector<RotationBlock> key_blocks_, value_blocks_;  // empty: heads are compared as they are
};

std::vector<MatrixXd> moments_for(std::span<const float> parameters, const GqaConversion& conversion) {
  if (!conversion.how.reads_activations()) return {};
  FOVEA_CHECK(conversion.calibration && conversion.calibration->second_moments, "{} without calibration",
              name_of(conversion.how));
  return conversion.calibration->second_moments(parameters);
}

std::vector<float> align(const Decoder& source, std::span<const float> parameters, const DecoderShape& target,
                         const Conversion& how, const std::vector<MatrixXd>& moments) {
  std::vector<float> result(parameters.begin(), parameters.end());
  if (!how.aligns() && !how.searches()) return result;
  Eigen::setNbThreads(1);  // bits must not depend on how many there are
  for (int64 layer = 0; layer < source.shape().layers; ++layer) {
    const int64 size = merged_heads(source.shape(), target, layer);
    if (size == 1) continue;
    if (how.aligns() && source.shape().qk_norm)
      fail_usage(
          "init.conversion = \"{}\": keys under QK-norm cannot be rotated: choose mean, mean_scaled, first "
          "or "
          "random",
          name_of(how));
    AttentionWeights weights(source, result, layer);
    const LayerHeads heads(weights, source.shape(), how, moments, layer);
    const HeadGroups groups =
        how.searches() ? similar_groups(heads.distances(), size) : adjacent_groups(weights.kv_heads(), size);
    std::vector<int64> order;
    for (const std::vector<int64>& members : groups) {
      if (how.aligns()) heads.align(members, weights);
      order.insert(order.end(), members.begin(), members.end());
    }
    weights.reorder(order);
  }
  return result;
}

// One projection's heads as they become fewer: `group` of `from`, (G1, elements), become one of `to`.
struct MergedParameter {
  const Parameter& target;
  const float* from;
  float* to;
  int64 elements;  // of a head
};

MergedParameter merged_parameter(const Decoder& source, const float* from, const Decoder& target, float* to,
                                 const std::string& name, int64 heads) {
  const Parameter& parameter = target.layout()[target.layout().find(name)];
  const Parameter& before = counterpart(source.layout(), parameter);
  return {parameter, from + before.offset, to + parameter.offset, parameter.elements() / heads};
}

double mean_of(const float* members, int64 stride, int64 group) {
  double sum = 0;
  for (int64 member = 0; member < group; ++member) sum += static_cast<double>(members[member * stride]);
  return sum / static_cast<double>(group);
}

// The mean norm of the heads of group g over the norm of their mean.
double norm_ratio(const std::vector<MergedParameter>& parts, int64 g, int64 group) {
  std::vector<double> squares(static_cast<size_t>(group), 0.0);
  double square_of_mean = 0;
  for (const MergedParameter& part : parts)
    for (int64 i = 0; i < part.elements; ++i) {
      const float* members = part.from + g * group * part.elements + i;
      for (int64 member = 0; member < group; ++member) {
        const auto value = static_cast<double>(members[member * part.elements]);
        squares[static_cast<size_t>(member)] += value * value;
      }
      const double mean = mean_of(members, part.elements, group);
      square_of_mean += mean * mean;
    }
  double norms = 0;
  for (const double square : squares) norms += std::sqrt(square);
  return square_of_mean > 0 ? norms / static_cast<double>(group) / std::sqrt(square_of_mean) : 1;
}

// Weights and biases of K, or of V, in one layer.
void merge(const std::vector<MergedParameter>& parts, int64 heads, int64 group,
           const GqaConversion& conversion) {
  const ConversionMethod method = conversion.how.method;
  for (const MergedParameter& part : parts)
    if (method == ConversionMethod::random) {
      const Parameter& p = part.target;
      initialise(
          p,
          p.vector ? View(part.to, DType::f32, {p.columns}) : View(part.to, DType::f32, {p.rows, p.columns}),
          conversion.seed);
    }
  if (method == ConversionMethod::random) return;
  for (int64 g = 0; g < heads; ++g) {
    const double scale = conversion.how.scales() ? norm_ratio(parts, g, group) : 1;
    for (const MergedParameter& part : parts)
      for (int64 i = 0; i < part.elements; ++i) {
        const float* members = part.from + g * group * part.elements + i;
        part.to[g * part.elements + i] =
            method == ConversionMethod::first
                ? members[0]
                : static_cast<float>(mean_of(members, part.elements, group) * scale);
      }
  }
}

std::vector<float> merge_all(const Decoder& source, const std::vector<float>& parameters,
                             const Decoder& target, const GqaConversion& conversion) {
  std::vector<float> result(static_cast<size_t>(target.layout().elements()), 0.0f);
  for (const Parameter& to : target.layout().parameters()) {
    const Parameter& from = counterpart(source.layout(), to);
    if (from.elements() == to.elements())
      std::copy_n(parameters.data() + from.offset, to.elements(), result.data() + to.offset);
  }
  for (int64 layer = 0; layer < target.shape().layers; ++layer) {
    const int64 heads = target.shape().kv_heads[static_cast<size_t>(layer)],
                group = merged_heads(source.shape(), target.shape(), layer);
    if (group == 1) continue;
    for (const char* which : {"k", "v"}) {
      std::vector<MergedParameter> parts;
      for (const char* what : {"weight", "bias"}) {
        const std::string name = fmt::format("blocks.{}.attention.{}.{}", layer, which, what);
        if (target.layout().find(name) != kNoParameter)
          parts.push_back(merged_parameter(source, parameters.data(), target, result.data(), name, heads));
      }
      merge(parts, heads, group, conversion);
    }
  }
  return result;
}

void copy_attention(const ParameterLayout& layout, int64 layer, const std::vector<float>& from,
                    std::vector<float>& to) {
  const std::string prefix = fmt::format("blocks.{}.attention.", layer);
  for (const Parameter& p : layout.parameters())
    if (p.name.starts_with(prefix)) std::copy_n(from.begin() + p.offset, p.elements(), to.begin() + p.offset);
}

// `adjacent` with the attention of `similar` in each layer where that lowers the loss.
std::vector<float> lower_by_layer(const Decoder& target, std::vector<float> adjacent,
                                  const std::vector<float>& similar, const Calibration& calibration) {
  double lowest = calibration.loss(adjacent);
  for (int64 layer = 0; layer < target.shape().layers; ++layer) {
    std::vector<float> candidate = adjacent;
    copy_attention(target.layout(), layer, similar, candidate);
    if (candidate == adjacent) continue;
    const double loss = calibration.loss(candidate);
    if (!(loss < lowest)) continue;  // nor where it is not a number
    lowest = loss;
    adjacent = std::move(candidate);
  }
  return adjacent;
}

}  // namespace

std::vector<float> align_kv_heads(const Decoder& source, std::span<const float> parameters,
                                  const DecoderShape& target, const GqaConversion& conversion) {
  return align(source, parameters, target, conversion.how, moments_for(parameters, conversion));
}

std::vector<float> convert_kv_heads(const Decoder& source, std::span<const float> parameters,
                                    const Decoder& target, const GqaConversion& conversion) {
  FOVEA_CHECK(static_cast<int64>(parameters.size()) == source.layout().elements(),
              "{} parameters for a layout of {}", parameters.size(), source.layout().elements());
  expect_convertible(source, target);
  if (source.shape().kv_heads == target.shape().kv_heads) return {parameters.begin(), parameters.end()};
  const std::vector<MatrixXd> moments = moments_for(parameters, conversion);
  const auto converted = [&](HeadGrouping grouping) {
    const Conversion how{conversion.how.method, grouping};
    return merge_all(source, align(source, parameters, target.shape(), how, moments), target, conversion);
  };
  std::vector<float> adjacent = converted(HeadGrouping::adjacent);
  if (!conversion.how.searches()) return adjacent;
  FOVEA_CHECK(conversion.calibration && conversion.calibration->loss, "{} without calibration",
              name_of(conversion.how));
  return lower_by_layer(target, std::move(adjacent), converted(HeadGrouping::similar),
                        *conversion.calibration);
}

}  // namespace fovea
