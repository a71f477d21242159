#include "kernels/rope/case.h"

#include <algorithm>
#include <cmath>

namespace fovea::check {

Case rope_case(const RopeProblem& o) {
  const auto angle = [planes = std::max<int64>(1, o.planes)](int64 i) {
    const int64 position = i / planes;
    return static_cast<double>(position) *
           std::pow(100.0, -static_cast<double>(i % planes) / static_cast<double>(planes));
  };
  return {
      .operands =
          {{"x", o.dtype, {o.N, o.H, o.D()}, Role::in, nullptr, o.layout},
           {"positions", DType::i32, {o.N}, Role::in, [](int64 n) { return (11 * n + 3) % kRopePositions; }},
           {"cosine",
            DType::f32,
            {kRopePositions, o.planes},
            Role::in,
            [=](int64 i) { return std::cos(angle(i)); }},
           {"sine",
            DType::f32,
            {kRopePositions, o.planes},
            Role::in,
            [=](int64 i) { return std::sin(angle(i)); }},
           {"y", o.dtype, {o.N, o.H, o.D()}, Role::out, nullptr, o.layout}},
      .call = [interleaved = o.interleaved, inverse = o.inverse](Stream& stream, const std::vector<View>& v) {
        rope(stream, {.x = v[0],
                      .positions = v[1],
                      .cosine = v[2],
                      .sine = v[3],
                      .y = v[4],
                      .interleaved = interleaved,
                      .inverse = inverse});
      }};
}

Case rope_table_case(int64 positions, int64 planes, double multiplier) {
  std::vector<double> frequencies;
  for (int64 i = 0; i < planes; ++i)
    frequencies.push_back(std::pow(500000.0, -static_cast<double>(i) / static_cast<double>(planes)));
  return {.operands = {{"cosine", DType::f32, {positions, planes}, Role::out},
                       {"sine", DType::f32, {positions, planes}, Role::out}},
          .call = [frequencies, multiplier](Stream& stream, const std::vector<View>& v) {
            rope_table(stream,
                       {.cosine = v[0], .sine = v[1], .frequencies = frequencies, .multiplier = multiplier});
          }};
}

}  // namespace fovea::check
