#include "convert/gqa.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <memory>
#include <numeric>
#include <optional>
#include <string>

#include "convert/attention_weights.h"
#include "convert/head_alignment.h"
#include "convert/head_grouping.h"
#include "core/error.h"
#include "core/thread_pool.h"

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

// N of blocks.N.attention.*, -1 for any other.
int64 layer_of_attention(std::string_view name) {
  constexpr std::string_view kBlocks = "blocks.";
  const size_t attention = name.find(".attention.");
  if (!name.starts_with(kBlocks) || attention == name.npos) return -1;
  int64 layer = -1;
  std::from_chars(name.data() + kBlocks.size(), name.data() + attention, layer);
  return layer;
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

// One layer's heads, as they are compared: all of them to find groups, those of a group to align it.
class LayerHeads {
 public:
  LayerHeads(const AttentionWeights& weights, const DecoderShape& shape, const Conversion& how,
             const std::vector<MatrixXd>& moments, int64 layer)
      : head_dim_(shape.head_dim),
        keys_(weights.keys()),
        values_(weights.values()),
        key_metric_(metric_for(keys_, moments, layer)),
        value_metric_(metric_for(values_, moments, layer)) {
    if (!how.aligns()) return;
    key_blocks_ = key_blocks(shape);
    value_blocks_ = value_blocks(shape);
  }

  /// (G, G): of keys and values together, each as a part of its heads' mean squared norm.
  MatrixXd distances() const {
    const HeadProducts keys = products_of(keys_, head_dim_, key_metric_),
                       values = products_of(values_, head_dim_, value_metric_);
    const int64 heads = keys.heads();
    const auto unit = [&](const HeadProducts& products) {
      const double square = products.all.trace() / static_cast<double>(heads);
      return square > 0 ? square : 1;
    };
    MatrixXd distances = MatrixXd::Zero(heads, heads);
    for (int64 a = 0; a < heads; ++a)
      for (int64 b = 0; b < a; ++b)
        distances(a, b) = distances(b, a) = head_distance(keys, a, b, key_blocks_) / unit(keys) +
                                            head_distance(values, a, b, value_blocks_) / unit(values);
    return distances;
  }
  /// Of a group's members among themselves.
  struct Aligned {
    HeadAlignment keys, values;
  };
  Aligned aligned(const std::vector<int64>& members) const {
    std::vector<int64> among(members.size());  // their numbers among themselves
    std::iota(among.begin(), among.end(), 0);
    return {
        align_heads(products_of(rows_of(keys_, members), head_dim_, key_metric_), among, key_blocks_),
        align_heads(products_of(rows_of(values_, members), head_dim_, value_metric_), among, value_blocks_)};
  }

 private:
  MatrixXd rows_of(const MatrixXd& heads, const std::vector<int64>& members) const {
    MatrixXd rows(static_cast<int64>(members.size()) * head_dim_, heads.cols());
    for (size_t i = 0; i < members.size(); ++i)
      rows.middleRows(static_cast<int64>(i) * head_dim_, head_dim_) =
          heads.middleRows(members[i] * head_dim_, head_dim_);
    return rows;
  }

  int64 head_dim_;
  MatrixXd keys_, values_;  // (G D, C), or (G D, C + 1) with biases
  MatrixXd key_metric_, value_metric_;
  std::vector<RotationBlock> key_blocks_, value_blocks_;  // empty: heads are compared as they are
};

std::vector<MatrixXd> moments_for(std::span<const float> parameters, const GqaConversion& conversion) {
  if (!conversion.how.reads_activations()) return {};
  FOVEA_CHECK(conversion.calibration && conversion.calibration->second_moments, "{} without calibration",
              name_of(conversion.how));
  return conversion.calibration->second_moments(parameters);
}

// What is done to one layer.
struct LayerConversion {
  const Decoder &source, &target;
  int64 layer = 0;
  Conversion how;
  uint64 seed = 0;
  int threads = 1;
  const std::vector<MatrixXd>& moments;  // of each layer, or none

  int64 group() const { return merged_heads(source.shape(), target.shape(), layer); }
};

// Groups have nothing to do with one another: each is aligned by one thread.
void rotate_groups(const LayerHeads& heads, const HeadGroups& groups, int threads,
                   AttentionWeights& weights) {
  std::vector<LayerHeads::Aligned> aligned(groups.size());
  ThreadPool pool(std::min(threads, static_cast<int>(groups.size())));
  pool.run(static_cast<int64>(groups.size()), [&](int64 group, int) {
    aligned[static_cast<size_t>(group)] = heads.aligned(groups[static_cast<size_t>(group)]);
  });
  for (size_t group = 0; group < groups.size(); ++group)
    for (size_t i = 0; i < groups[group].size(); ++i) {
      weights.rotate_keys(groups[group][i], aligned[group].keys.rotations[i]);
      weights.rotate_values(groups[group][i], aligned[group].values.rotations[i]);
    }
}

// The same attention, with the heads of each group near one another.
void align_layer(const LayerConversion& conversion, AttentionWeights& weights) {
  const Conversion& how = conversion.how;
  const int64 size = conversion.group();
  if (size == 1 || (!how.aligns() && !how.searches())) return;
  const DecoderShape& shape = conversion.source.shape();
  if (how.aligns() && shape.qk_norm)
    fail_usage(
        "init.conversion = \"{}\": keys under QK-norm cannot be rotated: choose mean, mean_scaled, first or "
        "random",
        name_of(how));
  Eigen::setNbThreads(1);  // bits must not depend on how many there are
  const LayerHeads heads(weights, shape, how, conversion.moments, conversion.layer);
  const HeadGroups groups =
      how.searches() ? similar_groups(heads.distances(), size) : adjacent_groups(weights.kv_heads(), size);
  if (how.aligns()) rotate_groups(heads, groups, conversion.threads, weights);
  std::vector<int64> order;
  for (const std::vector<int64>& members : groups) order.insert(order.end(), members.begin(), members.end());
  weights.reorder(order);
}

// One projection's heads as they become fewer: `group` of `from`, (G1, elements), become one of `to`.
struct MergedPart {
  const float* from;
  float* to;
  int64 elements;  // of a head
};

double mean_of(const float* members, int64 stride, int64 group) {
  double sum = 0;
  for (int64 member = 0; member < group; ++member) sum += static_cast<double>(members[member * stride]);
  return sum / static_cast<double>(group);
}

// The mean norm of the heads of group g over the norm of their mean.
double norm_ratio(const std::vector<MergedPart>& parts, int64 g, int64 group) {
  std::vector<double> squares(static_cast<size_t>(group), 0.0);
  double square_of_mean = 0;
  for (const MergedPart& part : parts)
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

void merge(const std::vector<MergedPart>& parts, int64 heads, int64 group, const Conversion& how) {
  for (int64 g = 0; g < heads; ++g) {
    const double scale = how.scales() ? norm_ratio(parts, g, group) : 1;
    for (const MergedPart& part : parts)
      for (int64 i = 0; i < part.elements; ++i) {
        const float* members = part.from + g * group * part.elements + i;
        part.to[g * part.elements + i] =
            how.method == ConversionMethod::first
                ? members[0]
                : static_cast<float>(mean_of(members, part.elements, group) * scale);
      }
  }
}

// Weights and biases of K, or of V.
AttentionWeights::Projection merged(const LayerConversion& conversion,
                                    const AttentionWeights::Projection& from, const char* which) {
  const int64 group = conversion.group(),
              heads = conversion.target.shape().kv_heads[static_cast<size_t>(conversion.layer)];
  AttentionWeights::Projection to{AttentionWeights::Rows(from.weight.rows() / group, from.weight.cols()),
                                  AttentionWeights::Rows(from.bias.rows() / group, from.bias.cols())};
  if (conversion.how.method == ConversionMethod::random) {
    const ParameterLayout& layout = conversion.target.layout();
    const auto draw = [&](const char* what, AttentionWeights::Rows& rows) {
      const ParameterId id =
          layout.find(fmt::format("blocks.{}.attention.{}.{}", conversion.layer, which, what));
      if (id == kNoParameter) return;
      initialise(layout[id],
                 layout[id].vector ? View(rows.data(), DType::f32, {rows.size()})
                                   : View(rows.data(), DType::f32, {rows.rows(), rows.cols()}),
                 conversion.seed);
    };
    draw("weight", to.weight);
    draw("bias", to.bias);
    return to;
  }
  std::vector<MergedPart> parts{{from.weight.data(), to.weight.data(), to.weight.size() / heads}};
  if (from.bias.size() > 0) parts.push_back({from.bias.data(), to.bias.data(), to.bias.size() / heads});
  merge(parts, heads, group, conversion.how);
  return to;
}

AttentionWeights converted_layer(const LayerConversion& conversion, AttentionWeights weights) {
  if (conversion.group() == 1) return weights;
  align_layer(conversion, weights);
  weights.replace(merged(conversion, weights.k(), "k"), merged(conversion, weights.v(), "v"));
  return weights;
}

// All layers, and what is no attention as it is.
std::vector<float> convert_all(const Decoder& source, std::span<const float> parameters,
                               const Decoder& target, const GqaConversion& conversion, const Conversion& how,
                               const std::vector<MatrixXd>& moments) {
  std::vector<float> result(static_cast<size_t>(target.layout().elements()), 0.0f);
  for (const Parameter& to : target.layout().parameters()) {
    const Parameter& from = counterpart(source.layout(), to);
    if (from.elements() == to.elements())
      std::copy_n(parameters.data() + from.offset, to.elements(), result.data() + to.offset);
  }
  for (int64 layer = 0; layer < target.shape().layers; ++layer)
    converted_layer({source, target, layer, how, conversion.seed, conversion.threads, moments},
                    AttentionWeights(source, parameters, layer))
        .store(target, result, layer);
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
                                  const Decoder& target, const GqaConversion& conversion) {
  const std::vector<MatrixXd> moments = moments_for(parameters, conversion);
  std::vector<float> result(parameters.begin(), parameters.end());
  for (int64 layer = 0; layer < source.shape().layers; ++layer) {
    AttentionWeights weights(source, parameters, layer);
    align_layer({source, target, layer, conversion.how, conversion.seed, conversion.threads, moments},
                weights);
    weights.store(source, result, layer);
  }
  return result;
}

std::vector<float> convert_kv_heads(const Decoder& source, std::span<const float> parameters,
                                    const Decoder& target, const GqaConversion& conversion) {
  FOVEA_CHECK(static_cast<int64>(parameters.size()) == source.layout().elements(),
              "{} parameters for a layout of {}", parameters.size(), source.layout().elements());
  expect_convertible(source, target);
  if (source.shape().kv_heads == target.shape().kv_heads) return {parameters.begin(), parameters.end()};
  const std::vector<MatrixXd> moments = moments_for(parameters, conversion);
  const auto converted = [&](HeadGrouping grouping) {
    return convert_all(source, parameters, target, conversion, {conversion.how.method, grouping}, moments);
  };
  std::vector<float> adjacent = converted(HeadGrouping::adjacent);
  if (!conversion.how.searches()) return adjacent;
  FOVEA_CHECK(conversion.calibration && conversion.calibration->loss, "{} without calibration",
              name_of(conversion.how));
  return lower_by_layer(target, std::move(adjacent), converted(HeadGrouping::similar),
                        *conversion.calibration);
}

ParameterSource convert_kv_heads(const Decoder& source, ParameterSource parameters, const Decoder& target,
                                 const GqaConversion& conversion) {
  FOVEA_CHECK(conversion.how.is_local(), "{} looks at the whole model", name_of(conversion.how));
  expect_convertible(source, target);
  struct Converted {
    int64 layer = -1;
    std::optional<AttentionWeights> weights;
  };
  const auto last = std::make_shared<Converted>();  // the layer that was converted last
  const auto counterpart_of = [&source, &target](ParameterId id) {
    return source.layout().find(target.layout()[id].name);
  };
  // Of the layer whose heads become fewer; -1: the parameter stays as it is.
  const auto layer_of = [&source, &target](ParameterId id) {
    const int64 layer = layer_of_attention(target.layout()[id].name);
    const bool same = layer < 0 || target.layout()[id].name.find("_norm.") != std::string::npos ||
                      merged_heads(source.shape(), target.shape(), layer) == 1;
    return same ? -1 : layer;
  };
  const auto read = [=, &source, &target](ParameterId id, const View& to) {
    const int64 layer = layer_of(id);
    if (layer < 0) return parameters.read(counterpart_of(id), to);
    if (last->layer != layer) {
      const std::vector<MatrixXd> none;
      last->weights =
          converted_layer({source, target, layer, conversion.how, conversion.seed, conversion.threads, none},
                          AttentionWeights(source, parameters, layer));
      last->layer = layer;
    }
    const std::string& name = target.layout()[id].name;
    const AttentionWeights::Rows* rows = last->weights->find(name.substr(name.find(".attention.") + 11));
    FOVEA_CHECK(rows, "attention has no {}", name);
    convert_elements(reinterpret_cast<const std::byte*>(rows->data()), DType::f32, to);
  };
  const auto mapped = [=](ParameterId id) {
    const bool same = layer_of(id) < 0 && parameters.mapped;
    return same ? parameters.mapped(counterpart_of(id)) : std::span<const std::byte>();
  };
  return {[=](ParameterId id) { return parameters.dtype(counterpart_of(id)); }, read, mapped};
}

}  // namespace fovea
