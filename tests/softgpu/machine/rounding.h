#pragma once

#include <cfenv>
#include <cmath>
#include <cstdint>
#include <limits>

namespace softgpu {

/// A subnormal number becomes a zero of its sign (.ftz).
inline float flush(float x) {
  return std::fabs(x) < std::numeric_limits<float>::min() ? std::copysign(0.0F, x) : x;
}
template <bool Ftz>
inline float flush_if(float x) {
  return Ftz ? flush(x) : x;
}

/// Clamped to [0, 1]; NaN becomes 0 (.sat).
inline float saturate(float x) { return x > 0 ? (x < 1 ? x : 1.0F) : 0.0F; }
inline double saturate(double x) { return x > 0 ? (x < 1 ? x : 1.0) : 0.0; }

enum class Round : uint8_t { nearest, zero, down, up };

/// The processor rounds so while this lives. Operands of what is to be rounded go through opaque(), or the
/// compiler moves the operation out.
class Rounding {
 public:
  explicit Rounding(Round round) : before_(std::fegetround()) {
    std::fesetround(round == Round::zero   ? FE_TOWARDZERO
                    : round == Round::down ? FE_DOWNWARD
                    : round == Round::up   ? FE_UPWARD
                                           : FE_TONEAREST);
  }
  ~Rounding() { std::fesetround(before_); }
  Rounding(const Rounding&) = delete;
  Rounding& operator=(const Rounding&) = delete;

 private:
  int before_;
};

template <class T>
inline T opaque(T x) {
  volatile T copy = x;
  return copy;
}

}  // namespace softgpu
