#pragma once

#include <Eigen/Dense>
#include <span>
#include <vector>

#include "model/shape.h"

namespace fovea {

/// Dimensions of a head that one rotation mixes.
struct RotationBlock {
  std::vector<int64> dims;
  bool plane = false;  ///< two dims, turned by a proper rotation (determinant +1); else any orthogonal matrix
};

/// What may be done to a key head, and likewise to the query heads that read it, without a change of any
/// score: each plane that RoPE turns may be turned by a further angle, which commutes with RoPE; the
/// dimensions that it leaves (all of them without RoPE) take any orthogonal matrix.
std::vector<RotationBlock> key_blocks(const DecoderShape& shape);
/// Values take any orthogonal matrix, which the output projection undoes.
std::vector<RotationBlock> value_blocks(const DecoderShape& shape);

/// Inner products of heads H (D, n) in a metric S (n, n): of(a, b) = H_a S H_b^T (D, D). With S = 1 they
/// compare weights; with the second moment of what the projections read, the activations that come of it.
struct HeadProducts {
  int64 head_dim = 0;
  Eigen::MatrixXd all;  ///< (G D, G D)

  int64 heads() const { return all.rows() / head_dim; }
  auto of(int64 a, int64 b) const { return all.block(a * head_dim, b * head_dim, head_dim, head_dim); }
};

/// rows (G D, n), head after head; metric empty: 1.
HeadProducts products_of(const Eigen::MatrixXd& rows, int64 head_dim, const Eigen::MatrixXd& metric);

/// Rotations R_a (D, D) of heads, and the error after each iteration: the sum over heads of
/// |R_a H_a - mean_b R_b H_b|^2, which never rises.
struct HeadAlignment {
  std::vector<Eigen::MatrixXd> rotations;
  std::vector<double> errors;
};

/// Generalised Procrustes analysis (Gower 1975): every head is rotated towards the first, then again and
/// again towards their mean, until the mean changes by less than 1e-6 of its norm.
HeadAlignment align_heads(const HeadProducts& products, std::span<const int64> members,
                          const std::vector<RotationBlock>& blocks);

/// The squared distance of heads a and b after the best rotation of one of them; without blocks, as they are.
double head_distance(const HeadProducts& products, int64 a, int64 b,
                     const std::vector<RotationBlock>& blocks);

}  // namespace fovea
