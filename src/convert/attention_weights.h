#pragma once

#include <Eigen/Dense>
#include <span>
#include <string_view>
#include <vector>

#include "convert/parameter_source.h"
#include "model/decoder.h"

namespace fovea {

/// The attention projections of one layer, and what can be done to its KV heads together with the query heads
/// that read them so that the model computes the same. A bias is one more column of its head.
class AttentionWeights {
 public:
  using Rows = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  struct Projection {
    Rows weight;  ///< (out, in)
    Rows bias;    ///< (out, 1), or (0, 0) where there is none
  };

  AttentionWeights(const Decoder& decoder, const ParameterSource& parameters, int64 layer);
  /// Of flat parameters in the decoder's layout.
  AttentionWeights(const Decoder& decoder, std::span<const float> parameters, int64 layer)
      : AttentionWeights(decoder, source_of(decoder.layout(), parameters), layer) {}

  /// Into the parameters (layout.elements()) of a decoder with these sizes.
  void store(const Decoder& decoder, std::span<float> parameters, int64 layer) const;
  /// The matrix of blocks.N.attention.NAME, empty for any other name: "q.weight", "out.bias".
  const Rows* find(std::string_view name) const;

  int64 kv_heads() const { return kv_heads_; }
  const Projection& k() const { return k_; }
  const Projection& v() const { return v_; }
  /// Other keys and values, of as many heads as they have rows for.
  void replace(Projection k, Projection v);
  /// [W_K b_K] and [W_V b_V]: (G D, C), or (G D, C + 1) with biases.
  Eigen::MatrixXd keys() const { return rows_of(k_); }
  Eigen::MatrixXd values() const { return rows_of(v_); }

  /// KV head i becomes the one that was order[i], with its query heads and their part of W_O.
  void reorder(const std::vector<int64>& order);
  /// W_K, b_K of the head and W_Q, b_Q of its query heads are multiplied by R (D, D): scores q . k stay if R
  /// is orthogonal and commutes with RoPE.
  void rotate_keys(int64 head, const Eigen::MatrixXd& rotation);
  /// W_V, b_V of the head are multiplied by R (D, D), and W_O's columns of its query heads by its transpose.
  void rotate_values(int64 head, const Eigen::MatrixXd& rotation);

 private:
  static Eigen::MatrixXd rows_of(const Projection& projection);
  static void rotate_rows(Projection& projection, int64 first, const Eigen::MatrixXd& rotation);
  static void reorder_rows(Projection& projection, const std::vector<int64>& order, int64 rows);

  int64 head_dim_, kv_heads_, group_;  // group_: query heads of a KV head
  Projection q_, k_, v_, out_;
};

}  // namespace fovea
