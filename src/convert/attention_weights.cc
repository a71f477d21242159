#include "convert/attention_weights.h"

#include <algorithm>
#include <string>
#include <utility>

#include "core/error.h"

namespace fovea {

using Eigen::MatrixXd;

namespace {

using Rows = AttentionWeights::Rows;

std::string prefix_of(int64 layer) { return fmt::format("blocks.{}.attention.", layer); }

Rows read_rows(const ParameterLayout& layout, const ParameterSource& parameters, const std::string& name) {
  const ParameterId id = layout.find(name);
  if (id == kNoParameter) return Rows(0, 0);
  const Parameter& p = layout[id];
  Rows rows = p.vector ? Rows(p.columns, 1) : Rows(p.rows, p.columns);
  parameters.read(id, View(rows.data(), DType::f32, {p.elements()}));
  return rows;
}

AttentionWeights::Projection read_projection(const ParameterLayout& layout, const ParameterSource& parameters,
                                             const std::string& name) {
  FOVEA_CHECK(layout.find(name + ".weight") != kNoParameter, "no parameter {}.weight", name);
  return {read_rows(layout, parameters, name + ".weight"), read_rows(layout, parameters, name + ".bias")};
}

}  // namespace

AttentionWeights::AttentionWeights(const Decoder& decoder, const ParameterSource& parameters, int64 layer)
    : head_dim_(decoder.shape().head_dim),
      kv_heads_(decoder.shape().kv_heads[static_cast<size_t>(layer)]),
      group_(decoder.shape().group(layer)),
      q_(read_projection(decoder.layout(), parameters, prefix_of(layer) + "q")),
      k_(read_projection(decoder.layout(), parameters, prefix_of(layer) + "k")),
      v_(read_projection(decoder.layout(), parameters, prefix_of(layer) + "v")),
      out_(read_projection(decoder.layout(), parameters, prefix_of(layer) + "out")) {}

const Rows* AttentionWeights::find(std::string_view name) const {
  struct Named {
    std::string_view name;
    const Projection& projection;
  };
  for (const Named& named : {Named{"q", q_}, {"k", k_}, {"v", v_}, {"out", out_}}) {
    if (name.substr(0, name.find('.')) != named.name) continue;
    if (name.ends_with(".weight")) return &named.projection.weight;
    if (name.ends_with(".bias")) return &named.projection.bias;
  }
  return nullptr;
}

void AttentionWeights::store(const Decoder& decoder, std::span<float> parameters, int64 layer) const {
  const std::string prefix = prefix_of(layer);
  for (const Parameter& p : decoder.layout().parameters()) {
    if (!p.name.starts_with(prefix)) continue;
    const Rows* rows = find(std::string_view(p.name).substr(prefix.size()));
    if (!rows) continue;  // a norm
    FOVEA_CHECK(rows->size() == p.elements(), "{} has {} elements, not {}", p.name, p.elements(),
                rows->size());
    std::copy_n(rows->data(), p.elements(), parameters.begin() + p.offset);
  }
}

void AttentionWeights::replace(Projection k, Projection v) {
  const int64 heads = k.weight.rows() / head_dim_;
  group_ = group_ * kv_heads_ / heads;
  kv_heads_ = heads;
  k_ = std::move(k);
  v_ = std::move(v);
}

MatrixXd AttentionWeights::rows_of(const Projection& p) {
  MatrixXd rows(p.weight.rows(), p.weight.cols() + p.bias.cols());
  rows.leftCols(p.weight.cols()) = p.weight.cast<double>();
  if (p.bias.size() > 0) rows.rightCols(1) = p.bias.cast<double>();
  return rows;
}

void AttentionWeights::rotate_rows(Projection& p, int64 first, const MatrixXd& rotation) {
  const auto rotate = [&](Rows& matrix) {
    if (matrix.size() == 0) return;
    auto rows = matrix.middleRows(first, rotation.rows());
    rows = (rotation * rows.cast<double>()).eval().cast<float>();
  };
  rotate(p.weight);
  rotate(p.bias);
}

void AttentionWeights::reorder_rows(Projection& p, const std::vector<int64>& order, int64 rows) {
  const auto reorder = [&](Rows& matrix) {
    if (matrix.size() == 0) return;
    const Eigen::MatrixXf before = matrix;
    for (size_t i = 0; i < order.size(); ++i)
      matrix.middleRows(static_cast<int64>(i) * rows, rows) = before.middleRows(order[i] * rows, rows);
  };
  reorder(p.weight);
  reorder(p.bias);
}

void AttentionWeights::reorder(const std::vector<int64>& order) {
  FOVEA_CHECK(static_cast<int64>(order.size()) == kv_heads_, "an order of {} heads for {}", order.size(),
              kv_heads_);
  const int64 query_rows = group_ * head_dim_;
  reorder_rows(k_, order, head_dim_);
  reorder_rows(v_, order, head_dim_);
  reorder_rows(q_, order, query_rows);
  const Eigen::MatrixXf before = out_.weight;  // (C, Hq D); its bias is no head's
  for (size_t i = 0; i < order.size(); ++i)
    out_.weight.middleCols(static_cast<int64>(i) * query_rows, query_rows) =
        before.middleCols(order[i] * query_rows, query_rows);
}

void AttentionWeights::rotate_keys(int64 head, const MatrixXd& rotation) {
  rotate_rows(k_, head * head_dim_, rotation);
  for (int64 query = head * group_; query < (head + 1) * group_; ++query)
    rotate_rows(q_, query * head_dim_, rotation);
}

void AttentionWeights::rotate_values(int64 head, const MatrixXd& rotation) {
  rotate_rows(v_, head * head_dim_, rotation);
  for (int64 query = head * group_; query < (head + 1) * group_; ++query) {
    auto columns = out_.weight.middleCols(query * head_dim_, head_dim_);
    columns = (columns.cast<double>() * rotation.transpose()).eval().cast<float>();
  }
}

}  // namespace fovea
