#include "convert/attention_weights.h"

#include "core/error.h"

namespace fovea {

using Eigen::MatrixXd;

AttentionWeights::Projection AttentionWeights::projection(const Decoder& decoder, std::span<float> parameters,
                                                          const std::string& name) {
  const ParameterLayout& layout = decoder.layout();
  const ParameterId weight_id = layout.find(name + ".weight"), bias_id = layout.find(name + ".bias");
  FOVEA_CHECK(weight_id != kNoParameter, "no parameter {}.weight", name);
  const Parameter& weight = layout[weight_id];
  const bool has_bias = bias_id != kNoParameter;
  return {Rows(parameters.data() + weight.offset, weight.rows, weight.columns),
          has_bias ? Rows(parameters.data() + layout[bias_id].offset, layout[bias_id].columns, 1)
                   : Rows(nullptr, 0, 0)};
}

AttentionWeights::AttentionWeights(const Decoder& decoder, std::span<float> parameters, int64 layer)
    : head_dim_(decoder.shape().head_dim),
      kv_heads_(decoder.shape().kv_heads[static_cast<size_t>(layer)]),
      group_(decoder.shape().group(layer)),
      q_(projection(decoder, parameters, fmt::format("blocks.{}.attention.q", layer))),
      k_(projection(decoder, parameters, fmt::format("blocks.{}.attention.k", layer))),
      v_(projection(decoder, parameters, fmt::format("blocks.{}.attention.v", layer))),
      out_(projection(decoder, parameters, fmt::format("blocks.{}.attention.out", layer))) {}

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
