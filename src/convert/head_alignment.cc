#include "convert/head_alignment.h"

#include <cmath>

#include "core/error.h"

namespace fovea {
namespace {

using Eigen::MatrixXd;

constexpr double kTolerance = 1e-6;
constexpr int kMostIterations = 1000;

MatrixXd part_of(const MatrixXd& matrix, const RotationBlock& block) {
  return matrix(block.dims, block.dims);
}

// The rotation R that brings R H nearest to a target T, from n = H S T^T: it maximises tr(R n), block by
// block.
MatrixXd best_rotation(const MatrixXd& n, const std::vector<RotationBlock>& blocks) {
  MatrixXd rotation = MatrixXd::Zero(n.rows(), n.cols());
  for (const RotationBlock& block : blocks) {
    const MatrixXd part = part_of(n, block);
    if (block.plane) {
      // tr(R n) = cos (n00 + n11) + sin (n01 - n10) for R = [cos -sin; sin cos]
      const double angle = std::atan2(part(0, 1) - part(1, 0), part(0, 0) + part(1, 1));
      const double c = std::cos(angle), s = std::sin(angle);
      rotation(block.dims[0], block.dims[0]) = rotation(block.dims[1], block.dims[1]) = c;
      rotation(block.dims[0], block.dims[1]) = -s;
      rotation(block.dims[1], block.dims[0]) = s;
    } else {
      const Eigen::BDCSVD<MatrixXd> svd(part, Eigen::ComputeFullU | Eigen::ComputeFullV);
      rotation(block.dims, block.dims) = svd.matrixV() * svd.matrixU().transpose();
    }
  }
  return rotation;
}

// max over R of tr(R n).
double best_product(const MatrixXd& n, const std::vector<RotationBlock>& blocks) {
  if (blocks.empty()) return n.trace();
  double sum = 0;
  for (const RotationBlock& block : blocks) {
    const MatrixXd part = part_of(n, block);
    sum += block.plane ? std::hypot(part(0, 0) + part(1, 1), part(0, 1) - part(1, 0))
                       : Eigen::BDCSVD<MatrixXd>(part).singularValues().sum();
  }
  return sum;
}

// The heads of one group and their rotations, known by their inner products alone.
class Group {
 public:
  Group(const HeadProducts& products, std::span<const int64> members,
        const std::vector<RotationBlock>& blocks)
      : d_(products.head_dim),
        size_(static_cast<int64>(members.size())),
        blocks_(blocks),
        products_(size_ * d_, size_ * d_),
        rotations_(d_, size_ * d_) {
    for (int64 a = 0; a < size_; ++a)
      for (int64 b = 0; b < size_; ++b)
        products_.block(a * d_, b * d_, d_, d_) =
            products.of(members[static_cast<size_t>(a)], members[static_cast<size_t>(b)]);
    rotations_.leftCols(d_) = MatrixXd::Identity(d_, d_);
    for (int64 a = 1; a < size_; ++a)
      rotations_.middleCols(a * d_, d_) = best_rotation(products_.block(a * d_, 0, d_, d_), blocks_);
  }

  /// Rotates every head towards the mean; returns how far that moved the mean, as a part of its norm.
  double iterate() {
    const MatrixXd to_mean = products_ * rotations_.transpose() / static_cast<double>(size_);
    MatrixXd next(d_, size_ * d_);
    for (int64 a = 0; a < size_; ++a)
      next.middleCols(a * d_, d_) = best_rotation(to_mean.middleRows(a * d_, d_), blocks_);
    const double moved = square_of_mean(next - rotations_), size = square_of_mean(next);
    rotations_ = next;
    return size > 0 ? std::sqrt(std::max(0.0, moved) / size) : 0;
  }
  double error() const { return products_.trace() - static_cast<double>(size_) * square_of_mean(rotations_); }
  std::vector<MatrixXd> rotations() const {
    std::vector<MatrixXd> list;
    for (int64 a = 0; a < size_; ++a) list.emplace_back(rotations_.middleCols(a * d_, d_));
    return list;
  }

 private:
  // |mean_a M_a H_a|^2 for matrices M_a side by side.
  double square_of_mean(const MatrixXd& matrices) const {
    const auto n = static_cast<double>(size_);
    return (matrices * products_).cwiseProduct(matrices).sum() / (n * n);
  }

  int64 d_, size_;
  const std::vector<RotationBlock>& blocks_;
  MatrixXd products_;   // (g D, g D)
  MatrixXd rotations_;  // (D, g D), side by side
};

}  // namespace

std::vector<RotationBlock> key_blocks(const DecoderShape& shape) {
  const RopeShape rope = shape.position == PositionKind::rope ? shape.rope : RopeShape{};
  std::vector<RotationBlock> blocks;
  RotationBlock rest;
  for (int64 i = 0; i < rope.dims / 2; ++i) {
    const int64 first = rope.interleaved ? 2 * i : i;
    const int64 second = rope.interleaved ? 2 * i + 1 : i + rope.dims / 2;
    if (i < rope.planes)
      blocks.push_back({{first, second}, true});
    else
      rest.dims.insert(rest.dims.end(), {first, second});
  }
  for (int64 i = rope.dims; i < shape.head_dim; ++i) rest.dims.push_back(i);
  if (!rest.dims.empty()) blocks.push_back(std::move(rest));
  return blocks;
}

std::vector<RotationBlock> value_blocks(const DecoderShape& shape) {
  RotationBlock all;
  for (int64 i = 0; i < shape.head_dim; ++i) all.dims.push_back(i);
  return {all};
}

HeadProducts products_of(const MatrixXd& rows, int64 head_dim, const MatrixXd& metric) {
  FOVEA_CHECK(rows.rows() % head_dim == 0, "{} rows in heads of {}", rows.rows(), head_dim);
  if (metric.size() == 0) return {head_dim, rows * rows.transpose()};
  return {head_dim, rows * metric * rows.transpose()};
}

HeadAlignment align_heads(const HeadProducts& products, std::span<const int64> members,
                          const std::vector<RotationBlock>& blocks) {
  Group group(products, members, blocks);
  HeadAlignment alignment{.rotations = {}, .errors = {group.error()}};
  for (int i = 0; i < kMostIterations; ++i) {
    const double moved = group.iterate();
    alignment.errors.push_back(group.error());
    if (moved < kTolerance) break;
  }
  alignment.rotations = group.rotations();
  return alignment;
}

double head_distance(const HeadProducts& products, int64 a, int64 b,
                     const std::vector<RotationBlock>& blocks) {
  // |R H_a - H_b|^2 = |H_a|^2 + |H_b|^2 - 2 tr(R H_a S H_b^T)
  return products.of(a, a).trace() + products.of(b, b).trace() - 2 * best_product(products.of(a, b), blocks);
}

}  // namespace fovea
