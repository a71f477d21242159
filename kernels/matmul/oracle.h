#pragma once

#include <Eigen/Dense>

#include "core/view.h"

namespace fovea::reference {

/// Matrices of the oracle: fp64, row-major as views are.
using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

/// A copy of a view (M, N) of any dtype.
inline Matrix to_matrix(const View& view) {
  const int64 M = view.size(0), N = view.size(1);
  Matrix matrix(M, N);
  for (int64 m = 0; m < M; ++m)
    for (int64 n = 0; n < N; ++n)
      matrix(m, n) = view.dtype() == DType::f64 ? view.row<double>(m)[n] : load(view, {m, n});
  return matrix;
}

}  // namespace fovea::reference
