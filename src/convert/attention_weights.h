#pragma once

#include <Eigen/Dense>
#include <array>
#include <span>
#include <vector>

#include "model/decoder.h"

namespace fovea {

/// The attention projections of one layer within a model's flat parameters, and what can be done to its KV
/// heads together with the query heads that read them so that the model computes the same. A bias is one
/// more column of its head.
class AttentionWeights {
 public:
  AttentionWeights(const Decoder& decoder, std::span<float> parameters, int64 layer);

  int64 kv_heads() const { return kv_heads_; }
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
  using Rows = Eigen::Map<Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>>;
  struct Projection {
    Rows weight;
    Rows bias;  // (out, 1), or (0, 0) where there is none
  };
  static Projection projection(const Decoder& decoder, std::span<float> parameters, const std::string& name);
  static Eigen::MatrixXd rows_of(const Projection& projection);
  static void rotate_rows(Projection& projection, int64 first, const Eigen::MatrixXd& rotation);
  static void reorder_rows(Projection& projection, const std::vector<int64>& order, int64 rows);

  int64 head_dim_, kv_heads_, group_;  // group_: query heads of a KV head
  Projection q_, k_, v_, out_;
};

}  // namespace fovea
