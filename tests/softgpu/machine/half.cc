// Arithmetic of f16, bf16 and their pairs (PTX ISA 9.7.4). Sums and products are exact enough in f32 or f64
// that rounding to 16 bits is rounding once.

#include "machine/half.h"

#include <cmath>
#include <string>

#include "machine/elementwise.h"
#include "machine/forms.h"
#include "machine/rounding.h"

namespace softgpu {
namespace {

// An f32 has more than twice the bits of either type and two: rounding twice is rounding once.
struct Add {
  template <class H>
  H operator()(H a, H b) const {
    return to_half<H>(to_float(a) + to_float(b));
  }
};
struct Sub {
  template <class H>
  H operator()(H a, H b) const {
    return to_half<H>(to_float(a) - to_float(b));
  }
};
struct Mul {
  template <class H>
  H operator()(H a, H b) const {
    return to_half<H>(to_float(a) * to_float(b));
  }
};

// a b + c: the product is exact in f64; the sum is rounded to odd, so that rounding it further is rounding
// once.
template <class H>
H fused(H a, H b, H c) {
  const double product = static_cast<double>(to_float(a)) * to_float(b);
  const double with = to_float(c);
  double sum = product + with;
  if (std::isfinite(sum)) {
    const double b_part = sum - product;
    const double error = (product - (sum - b_part)) + (with - b_part);  // TwoSum, Knuth
    uint64_t bits;
    std::memcpy(&bits, &sum, sizeof bits);
    if (error != 0 && (bits & 1) == 0) bits += (error > 0) == (sum > 0) ? 1 : -1;
    std::memcpy(&sum, &bits, sizeof bits);
  }
  return to_half<H>(to_odd_float(sum));
}
struct Fma {
  template <class H>
  H operator()(H a, H b, H c) const {
    return fused(a, b, c);
  }
};
struct FmaRelu {
  template <class H>
  H operator()(H a, H b, H c) const {
    const H value = fused(a, b, c);
    return to_float(value) < 0 || value.bits == 0x8000 ? H{0} : value;
  }
};
struct Neg {
  template <class H>
  H operator()(H a) const {
    return {static_cast<uint16_t>(a.bits ^ 0x8000)};
  }
};
struct Abs {
  template <class H>
  H operator()(H a) const {
    return {static_cast<uint16_t>(a.bits & 0x7FFF)};
  }
};
template <bool Greater, bool PassNan>
struct Extreme {
  template <class H>
  H operator()(H a, H b) const {
    const float x = to_float(a);
    const float y = to_float(b);
    if (std::isnan(x) || std::isnan(y)) {
      if (PassNan || (std::isnan(x) && std::isnan(y))) return {0x7FFF};
      return std::isnan(x) ? b : a;
    }
    if (x == y) return ((a.bits >> 15) != 0) == Greater ? b : a;
    return (x < y) != Greater ? a : b;
  }
};
struct Ex2 {
  template <class H>
  H operator()(H a) const {
    return to_half<H>(to_odd_float(std::exp2(static_cast<double>(to_float(a)))));
  }
};
struct Tanh {
  template <class H>
  H operator()(H a) const {
    return to_half<H>(to_odd_float(std::tanh(static_cast<double>(to_float(a)))));
  }
};

// F on both halves of 32 bits.
template <class F, class H>
struct Pair {
  static H low(uint32_t x) { return {static_cast<uint16_t>(x)}; }
  static H high(uint32_t x) { return {static_cast<uint16_t>(x >> 16)}; }
  static uint32_t join(H l, H h) { return uint32_t{h.bits} << 16 | l.bits; }
  uint32_t operator()(uint32_t a) const { return join(F()(low(a)), F()(high(a))); }
  uint32_t operator()(uint32_t a, uint32_t b) const {
    return join(F()(low(a), low(b)), F()(high(a), high(b)));
  }
  uint32_t operator()(uint32_t a, uint32_t b, uint32_t c) const {
    return join(F()(low(a), low(b), low(c)), F()(high(a), high(b), high(c)));
  }
};

template <class F, class H, int Sources>
void add(Forms& forms, const std::string& name, const std::string& type) {
  Handler one, two;
  if constexpr (Sources == 1) one = unary<F, H>, two = unary<Pair<F, H>, uint32_t>;
  if constexpr (Sources == 2) one = binary<F, H>, two = binary<Pair<F, H>, uint32_t>;
  if constexpr (Sources == 3) one = ternary<F, H>, two = ternary<Pair<F, H>, uint32_t>;
  forms[name + "." + type] = {one, "h:" + std::string(Sources, 'h'), Kind::half, Control::plain};
  forms[name + "." + type + "x2"] = {two, "w:" + std::string(Sources, 'w'), Kind::half, Control::plain};
}

template <class H>
void add_type(Forms& forms, const std::string& type) {
  add<Add, H, 2>(forms, "add", type);
  add<Add, H, 2>(forms, "add.rn", type);
  add<Sub, H, 2>(forms, "sub", type);
  add<Sub, H, 2>(forms, "sub.rn", type);
  add<Mul, H, 2>(forms, "mul", type);
  add<Mul, H, 2>(forms, "mul.rn", type);
  add<Fma, H, 3>(forms, "fma.rn", type);
  add<FmaRelu, H, 3>(forms, "fma.rn.relu", type);
  add<Neg, H, 1>(forms, "neg", type);
  add<Abs, H, 1>(forms, "abs", type);
  add<Extreme<false, false>, H, 2>(forms, "min", type);
  add<Extreme<true, false>, H, 2>(forms, "max", type);
  add<Extreme<false, true>, H, 2>(forms, "min.NaN", type);
  add<Extreme<true, true>, H, 2>(forms, "max.NaN", type);
  add<Tanh, H, 1>(forms, "tanh.approx", type);
}

}  // namespace

void add_half_forms(Forms& forms) {
  add_type<Half>(forms, "f16");
  add_type<Bfloat>(forms, "bf16");
  add<Ex2, Half, 1>(forms, "ex2.approx", "f16");
  add<Ex2, Bfloat, 1>(forms, "ex2.approx.ftz", "bf16");
}

}  // namespace softgpu
