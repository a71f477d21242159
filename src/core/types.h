#pragma once

#include <cstddef>
#include <cstdint>

namespace fovea {

using int32 = std::int32_t;
using int64 = std::int64_t;
using uint16 = std::uint16_t;
using uint32 = std::uint32_t;
using uint64 = std::uint64_t;

/// The half-open range [begin, end).
struct Range {
  int64 begin = 0, end = 0;
  int64 size() const { return end - begin; }
};

constexpr int64 ceil_div(int64 a, int64 b) { return (a + b - 1) / b; }
constexpr int64 round_up(int64 a, int64 b) { return ceil_div(a, b) * b; }

}  // namespace fovea
