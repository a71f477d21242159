#include <Eigen/Dense>

#include "core/error.h"
#include "kernels/matmul/gemm.h"

namespace fovea {
namespace {

using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
template <class M>
using Rows = Eigen::Map<M, 0, Eigen::OuterStride<>>;

// The operand as it is stored, whose product takes it (rows, columns).
Rows<const Matrix> stored(const GemmOperand& x, int64 rows, int64 columns) {
  FOVEA_CHECK(x.dtype == DType::f32, "a plain product of {}", name_of(x.dtype));
  if (x.transposed) std::swap(rows, columns);
  return {static_cast<const float*>(x.data), rows, columns, Eigen::OuterStride<>(x.stride)};
}

}  // namespace

int64 gemm_scratch(const Gemm&) { return 0; }

void gemm(const Gemm& g, float*) {
  const Rows<const Matrix> a = stored(g.a, g.M, g.K), b = stored(g.b, g.K, g.N);
  Rows<Matrix> c(g.c, g.M, g.N, Eigen::OuterStride<>(g.c_stride));
  if (g.beta == 0)
    c.setZero();
  else
    c *= g.beta;
  const auto add = [&](const auto& left, const auto& right) { c.noalias() += g.alpha * (left * right); };
  const auto add_left = [&](const auto& left) {
    if (g.b.transposed)
      add(left, b.transpose());
    else
      add(left, b);
  };
  if (g.a.transposed)
    add_left(a.transpose());
  else
    add_left(a);
}

}  // namespace fovea
