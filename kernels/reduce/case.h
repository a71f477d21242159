#pragma once

#include "kernels/check/case.h"
#include "kernels/reduce/reduce.h"

namespace fovea::check {

using Value = std::function<double(int64)>;

/// Operands: x (n) | the sum of its squares, and its sum.
Case sums_case(DType dtype, int64 n, const Value& value = nullptr, Layout layout = {});
/// Operands: y, to which x is added, and x.
Case add_into_case(DType dtype, int64 n);
/// Operands: y, which moves towards x, and x.
Case move_towards_case(DType dtype, int64 n, double rate);
/// Operands: y, which becomes x, and x.
Case convert_case(DType to, DType from, int64 n);
/// Operands: y.
Case fill_zero_case(DType dtype, int64 n);
/// The same of ones, of which these ranges are zeroed.
Case fill_zero_case(DType dtype, int64 n, const Ranges& ranges);

}  // namespace fovea::check
