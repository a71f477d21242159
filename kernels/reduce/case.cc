#include "kernels/reduce/case.h"

namespace fovea::check {

Case sums_case(DType dtype, int64 n, const Value& value, Layout layout) {
  return {.operands = {{"x", dtype, {n}, Role::in, value, layout},
                       {"squares", DType::f64, {1}, Role::out},
                       {"plain", DType::f64, {1}, Role::out}},
          .call = [](Stream& stream, const std::vector<View>& v) {
            sum_of_squares(stream, v[0], v[1]);
            sum(stream, v[0], v[2]);
          }};
}

Case add_into_case(DType dtype, int64 n) {
  return {.operands = {{"y", dtype, {n}, Role::inout, nullptr, {0, 1}}, {"x", dtype, {n}}},
          .call = [](Stream& stream, const auto& v) { add_into(stream, v[0], v[1]); }};
}

Case move_towards_case(DType dtype, int64 n, double rate) {
  return {.operands = {{"y", dtype, {n}, Role::inout, nullptr, {0, 1}}, {"x", dtype, {n}}},
          .call = [rate](Stream& stream, const auto& v) { move_towards(stream, v[0], v[1], rate); }};
}

Case convert_case(DType to, DType from, int64 n) {
  return {.operands = {{"y", to, {n}, Role::out, nullptr, {0, 1}}, {"x", from, {n}}},
          .call = [](Stream& stream, const auto& v) { convert(stream, v[0], v[1]); }};
}

Case fill_zero_case(DType dtype, int64 n) {
  return {.operands = {{"y", dtype, {n}, Role::out, nullptr, {0, 3}}},
          .call = [](Stream& stream, const auto& v) { fill_zero(stream, v[0]); }};
}

Case fill_zero_case(DType dtype, int64 n, const Ranges& ranges) {
  return {.operands = {{"y", dtype, {n}, Role::inout, [](int64) { return 1.0; }, {0, 3}}},
          .call = [ranges](Stream& stream, const auto& v) { fill_zero(stream, v[0], ranges); }};
}

}  // namespace fovea::check
