// cvt (PTX ISA 9.7.9.21): between integers any register width that holds the type; floats; packed 16-bit
// floats.

#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>

#include "machine/convert.h"
#include "machine/elementwise.h"
#include "machine/forms.h"
#include "machine/half.h"
#include "machine/rounding.h"

namespace softgpu {
namespace {

template <class T>
constexpr bool is_half = std::is_same_v<T, Half> || std::is_same_v<T, Bfloat>;

// --- integers ---

// From: the type read; To: the type written; R and S: the registers of both, as wide or wider.
template <class To, class From, class R, class S>
void integer_convert(Machine& m, const Op& op, uint32_t mask) {
  const S* a = m.reg<S>(op.r[1]);
  each_lane(m.reg<R>(op.r[0]), mask,
            [=](int i) { return static_cast<R>(static_cast<To>(static_cast<From>(a[i]))); });
}

template <class To, class From, class R, class S>
void integer_saturate(Machine& m, const Op& op, uint32_t mask) {
  __extension__ using Big = __int128;
  const S* a = m.reg<S>(op.r[1]);
  R* d = m.reg<R>(op.r[0]);
  for_lanes(mask, [&](int i) {
    const Big value = static_cast<From>(a[i]);
    const Big low = std::numeric_limits<To>::min();
    const Big high = std::numeric_limits<To>::max();
    d[i] = static_cast<R>(static_cast<To>(value < low ? low : value > high ? high : value));
  });
}

template <class To, class From, class R, class S>
Handler integer_handler(bool saturates) {
  return saturates ? integer_saturate<To, From, R, S> : integer_convert<To, From, R, S>;
}

template <class To, class From, class R>
Handler integer_from(int source_bytes, bool saturates) {
  if constexpr (sizeof(From) <= 2) {
    if (source_bytes == 2) return integer_handler<To, From, R, uint16_t>(saturates);
  }
  if constexpr (sizeof(From) <= 4) {
    if (source_bytes == 4) return integer_handler<To, From, R, uint32_t>(saturates);
  }
  return source_bytes == 8 ? integer_handler<To, From, R, uint64_t>(saturates) : nullptr;
}

template <class To, class From>
Handler integer_registers(int destination_bytes, int source_bytes, bool saturates) {
  if constexpr (sizeof(To) <= 2) {
    if (destination_bytes == 2) return integer_from<To, From, uint16_t>(source_bytes, saturates);
  }
  if constexpr (sizeof(To) <= 4) {
    if (destination_bytes == 4) return integer_from<To, From, uint32_t>(source_bytes, saturates);
  }
  return destination_bytes == 8 ? integer_from<To, From, uint64_t>(source_bytes, saturates) : nullptr;
}

// Calls f with a value of the type that `name` is.
template <class F>
Handler with_integer(const std::string& name, F f) {
  if (name == "u8" || name == "b8") return f(uint8_t{});
  if (name == "s8") return f(int8_t{});
  if (name == "u16" || name == "b16") return f(uint16_t{});
  if (name == "s16") return f(int16_t{});
  if (name == "u32" || name == "b32") return f(uint32_t{});
  if (name == "s32") return f(int32_t{});
  if (name == "u64" || name == "b64") return f(uint64_t{});
  if (name == "s64") return f(int64_t{});
  return nullptr;
}

// --- floats ---

template <class T>
auto widened(T x) {
  if constexpr (is_half<T>)
    return to_float(x);
  else
    return x;
}

double to_integral(double x, Round round) {
  switch (round) {
    case Round::nearest:
      return std::nearbyint(x);
    case Round::zero:
      return std::trunc(x);
    case Round::down:
      return std::floor(x);
    case Round::up:
      return std::ceil(x);
  }
  return x;
}

// Rounded, then clamped; NaN becomes 0, and where 64 bits take part the sign bit alone (PTX ISA, "cvt").
template <class To, class From>
To to_integer(From x, Round round) {
  const double value = to_integral(widened(x), round);
  if (std::isnan(value)) {
    return sizeof(To) == 8 || sizeof(From) == 8 ? static_cast<To>(uint64_t{1} << (8 * sizeof(To) - 1))
                                                : To{0};
  }
  constexpr auto low = static_cast<double>(std::numeric_limits<To>::min());
  constexpr auto high = static_cast<double>(std::numeric_limits<To>::max());
  if (value <= low) return std::numeric_limits<To>::min();
  if (value >= high) return std::numeric_limits<To>::max();
  return static_cast<To>(value);
}

template <class To, class From, Round R, bool Ftz>
struct ToInteger {
  To operator()(From x) const {
    if constexpr (std::is_same_v<From, float>)
      return to_integer<To>(flush_if<Ftz>(x), R);
    else
      return to_integer<To>(x, R);
  }
};
template <class To, class From>
struct FromInteger {
  To operator()(From x) const {
    if constexpr (is_half<To>)
      return to_half<To>(to_odd_float(static_cast<double>(x)));
    else
      return static_cast<To>(x);
  }
};
template <class To, class From, Round R>
void from_integer_rounded(Machine& m, const Op& op, uint32_t mask) {
  const Rounding rounding(R);
  To* d = m.reg<To>(op.r[0]);
  const From* a = m.reg<From>(op.r[1]);
  for_lanes(mask, [&](int i) { d[i] = opaque(static_cast<To>(opaque(a[i]))); });
}

template <bool Ftz, bool Sat, bool Relu, class To>
To shaped(float x) {
  x = flush_if<Ftz>(x);
  if (Sat) x = saturate(x);
  if (Relu) x = x > 0 || std::isnan(x) ? x : 0.0F;
  if constexpr (std::is_same_v<To, float>)
    return x;
  else if constexpr (std::is_same_v<To, double>)
    return x;
  else
    return to_half<To>(x);
}
// Between float types where the result is exact or rounded to nearest.
template <class To, class From, bool Ftz, bool Sat, bool Relu = false>
struct FloatToFloat {
  To operator()(From x) const {
    if constexpr (std::is_same_v<From, double>) {
      if constexpr (is_half<To>)
        return shaped<Ftz, Sat, Relu, To>(to_odd_float(x));
      else if constexpr (std::is_same_v<To, double>)
        return Sat ? saturate(x) : x;
      else
        return shaped<Ftz, Sat, Relu, To>(static_cast<float>(x));
    } else if constexpr (std::is_same_v<From, float>) {
      return shaped<Ftz, Sat, Relu, To>(flush_if<Ftz>(x));
    } else {
      return shaped<Ftz, Sat, Relu, To>(to_float(x));
    }
  }
};
template <class T, Round R, bool Ftz, bool Sat>
struct Integral {
  T operator()(T x) const {
    if constexpr (std::is_same_v<T, float>) {
      const auto rounded = static_cast<float>(to_integral(flush_if<Ftz>(x), R));
      return Sat ? saturate(rounded) : rounded;
    } else if constexpr (is_half<T>) {
      return to_half<T>(static_cast<float>(to_integral(to_float(x), R)));
    } else {
      return to_integral(x, R);
    }
  }
};
template <class To, bool Relu>
struct Truncated {
  To operator()(float x) const {
    To result;
    truncate_float(Relu && !(x > 0) && !std::isnan(x) ? 0.0F : x, result);
    return result;
  }
};
template <Round R, bool Ftz>
void narrow_rounded(Machine& m, const Op& op, uint32_t mask) {
  const Rounding rounding(R);
  auto* d = m.reg<float>(op.r[0]);
  const auto* a = m.reg<double>(op.r[1]);
  for_lanes(mask, [&](int i) { d[i] = flush_if<Ftz>(opaque(static_cast<float>(opaque(a[i])))); });
}

// cvt.rn.bf16x2.f32 d, a, b: a is the upper half.
template <class H, bool Truncate, bool Relu>
struct Pack {
  uint32_t operator()(float a, float b) const { return uint32_t{half(a)} << 16 | half(b); }
  static uint16_t half(float x) {
    if constexpr (Truncate)
      return Truncated<H, Relu>()(x).bits;
    else
      return FloatToFloat<H, float, false, false, Relu>()(x).bits;
  }
};

// cvt.rna.tf32.f32: to 10 bits of mantissa, ties away from zero.
struct Tf32 {
  uint32_t operator()(uint32_t bits) const {
    if ((bits & 0x7FFFFFFF) > 0x7F800000) return 0x7FFFFFFF;  // NaN
    const bool finite = (bits & 0x7F800000) != 0x7F800000;
    return finite ? (bits + 0x1000) & 0xFFFFE000 : bits;
  }
};

void put(Forms& forms, const std::string& name, Handler run, const std::string& operands) {
  forms["cvt." + name] = {run, operands, Kind::convert, Control::plain};
}

template <class To, class From>
void add_float_to_integer(Forms& forms, const std::string& pair, const std::string& operands) {
  put(forms, "rni." + pair, unary<ToInteger<To, From, Round::nearest, false>, To, From>, operands);
  put(forms, "rzi." + pair, unary<ToInteger<To, From, Round::zero, false>, To, From>, operands);
  put(forms, "rmi." + pair, unary<ToInteger<To, From, Round::down, false>, To, From>, operands);
  put(forms, "rpi." + pair, unary<ToInteger<To, From, Round::up, false>, To, From>, operands);
  if constexpr (std::is_same_v<From, float>) {
    put(forms, "rni.ftz." + pair, unary<ToInteger<To, From, Round::nearest, true>, To, From>, operands);
    put(forms, "rzi.ftz." + pair, unary<ToInteger<To, From, Round::zero, true>, To, From>, operands);
    put(forms, "rmi.ftz." + pair, unary<ToInteger<To, From, Round::down, true>, To, From>, operands);
    put(forms, "rpi.ftz." + pair, unary<ToInteger<To, From, Round::up, true>, To, From>, operands);
  }
}

template <class To, class From>
void add_integer_to_float(Forms& forms, const std::string& pair, const std::string& operands) {
  put(forms, "rn." + pair, unary<FromInteger<To, From>, To, From>, operands);
  if constexpr (!is_half<To>) {
    put(forms, "rz." + pair, from_integer_rounded<To, From, Round::zero>, operands);
    put(forms, "rm." + pair, from_integer_rounded<To, From, Round::down>, operands);
    put(forms, "rp." + pair, from_integer_rounded<To, From, Round::up>, operands);
  }
}

template <class I, class F>
void add_pair(Forms& forms, const std::string& integer, char i, const std::string& real, char f) {
  add_float_to_integer<I, F>(forms, integer + "." + real, {i, ':', f});
  add_integer_to_float<F, I>(forms, real + "." + integer, {f, ':', i});
}

template <class F>
void add_integers(Forms& forms, const std::string& real, char f) {
  add_pair<uint16_t, F>(forms, "u16", 'h', real, f);
  add_pair<int16_t, F>(forms, "s16", 'h', real, f);
  add_pair<uint32_t, F>(forms, "u32", 'w', real, f);
  add_pair<int32_t, F>(forms, "s32", 'w', real, f);
  add_pair<uint64_t, F>(forms, "u64", 'd', real, f);
  add_pair<int64_t, F>(forms, "s64", 'd', real, f);
}

template <class T, bool Ftz, bool Sat>
void add_integral(Forms& forms, const std::string& rest, char l) {
  const std::string operands = {l, ':', l};
  put(forms, "rni" + rest, unary<Integral<T, Round::nearest, Ftz, Sat>, T>, operands);
  put(forms, "rzi" + rest, unary<Integral<T, Round::zero, Ftz, Sat>, T>, operands);
  put(forms, "rmi" + rest, unary<Integral<T, Round::down, Ftz, Sat>, T>, operands);
  put(forms, "rpi" + rest, unary<Integral<T, Round::up, Ftz, Sat>, T>, operands);
}

template <class H>
void add_half(Forms& forms, const std::string& h) {
  put(forms, "rn." + h + ".f32", unary<FloatToFloat<H, float, false, false>, H, float>, "h:w");
  put(forms, "rn.relu." + h + ".f32", unary<FloatToFloat<H, float, false, false, true>, H, float>, "h:w");
  put(forms, "rz." + h + ".f32", unary<Truncated<H, false>, H, float>, "h:w");
  put(forms, "rz.relu." + h + ".f32", unary<Truncated<H, true>, H, float>, "h:w");
  put(forms, "rn." + h + ".f64", unary<FloatToFloat<H, double, false, false>, H, double>, "h:d");
  put(forms, "f32." + h, unary<FloatToFloat<float, H, false, false>, float, H>, "w:h");
  put(forms, "ftz.f32." + h, unary<FloatToFloat<float, H, true, false>, float, H>, "w:h");
  put(forms, "f64." + h, unary<FloatToFloat<double, H, false, false>, double, H>, "d:h");
  put(forms, "rn." + h + "x2.f32", binary<Pack<H, false, false>, uint32_t, float>, "w:ww");
  put(forms, "rn.relu." + h + "x2.f32", binary<Pack<H, false, true>, uint32_t, float>, "w:ww");
  put(forms, "rz." + h + "x2.f32", binary<Pack<H, true, false>, uint32_t, float>, "w:ww");
  put(forms, "rz.relu." + h + "x2.f32", binary<Pack<H, true, true>, uint32_t, float>, "w:ww");
}

}  // namespace

Handler integer_convert_handler(const std::string& to, const std::string& from, bool saturates,
                                int destination_bytes, int source_bytes) {
  return with_integer(to, [&](auto t) {
    return with_integer(from, [&](auto f) {
      return integer_registers<decltype(t), decltype(f)>(destination_bytes, source_bytes, saturates);
    });
  });
}

void add_convert_forms(Forms& forms) {
  add_integers<float>(forms, "f32", 'w');
  add_integers<double>(forms, "f64", 'd');
  add_integers<Half>(forms, "f16", 'h');
  add_integers<Bfloat>(forms, "bf16", 'h');
  add_half<Half>(forms, "f16");
  add_half<Bfloat>(forms, "bf16");
  put(forms, "f64.f32", unary<FloatToFloat<double, float, false, false>, double, float>, "d:w");
  put(forms, "ftz.f64.f32", unary<FloatToFloat<double, float, true, false>, double, float>, "d:w");
  put(forms, "rn.f32.f64", unary<FloatToFloat<float, double, false, false>, float, double>, "w:d");
  put(forms, "rn.ftz.f32.f64", unary<FloatToFloat<float, double, true, false>, float, double>, "w:d");
  put(forms, "rz.f32.f64", narrow_rounded<Round::zero, false>, "w:d");
  put(forms, "rm.f32.f64", narrow_rounded<Round::down, false>, "w:d");
  put(forms, "rp.f32.f64", narrow_rounded<Round::up, false>, "w:d");
  put(forms, "sat.f32.f32", unary<FloatToFloat<float, float, false, true>, float>, "w:w");
  put(forms, "ftz.sat.f32.f32", unary<FloatToFloat<float, float, true, true>, float>, "w:w");
  put(forms, "ftz.f32.f32", unary<FloatToFloat<float, float, true, false>, float>, "w:w");
  put(forms, "sat.f64.f64", unary<FloatToFloat<double, double, false, true>, double>, "d:d");
  add_integral<float, false, false>(forms, ".f32.f32", 'w');
  add_integral<float, true, false>(forms, ".ftz.f32.f32", 'w');
  add_integral<float, false, true>(forms, ".sat.f32.f32", 'w');
  add_integral<float, true, true>(forms, ".ftz.sat.f32.f32", 'w');
  add_integral<double, false, false>(forms, ".f64.f64", 'd');
  add_integral<Half, false, false>(forms, ".f16.f16", 'h');
  put(forms, "rna.tf32.f32", unary<Tf32, uint32_t>, "w:w");
}

}  // namespace softgpu
