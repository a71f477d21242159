// Arithmetic of f32 and f64 (PTX ISA 9.7.3). The approximate functions are the double function rounded to
// f32: nobody may depend on their last bit.

#include <cmath>
#include <cstring>
#include <type_traits>

#include "machine/elementwise.h"
#include "machine/forms.h"
#include "machine/rounding.h"

namespace softgpu {
namespace {

// Operations on values, before flushing and saturation.
struct Add {
  template <class T>
  T operator()(T a, T b) const {
    return a + b;
  }
};
struct Sub {
  template <class T>
  T operator()(T a, T b) const {
    return a - b;
  }
};
struct Mul {
  template <class T>
  T operator()(T a, T b) const {
    return a * b;
  }
};
struct Div {
  template <class T>
  T operator()(T a, T b) const {
    return a / b;
  }
};
struct Fma {
  template <class T>
  T operator()(T a, T b, T c) const {
    return std::fma(a, b, c);
  }
};
struct Rcp {
  template <class T>
  T operator()(T a) const {
    return 1 / a;
  }
};
struct Sqrt {
  template <class T>
  T operator()(T a) const {
    return std::sqrt(a);
  }
};
struct Abs {
  template <class T>
  T operator()(T a) const {
    return std::fabs(a);
  }
};
struct Neg {
  template <class T>
  T operator()(T a) const {
    return -a;
  }
};
struct Rsqrt {
  template <class T>
  T operator()(T a) const {
    return static_cast<T>(1 / std::sqrt(static_cast<double>(a)));
  }
};
struct Ex2 {
  float operator()(float a) const { return static_cast<float>(std::exp2(static_cast<double>(a))); }
};
struct Lg2 {
  float operator()(float a) const { return static_cast<float>(std::log2(static_cast<double>(a))); }
};
struct Sin {
  float operator()(float a) const { return static_cast<float>(std::sin(static_cast<double>(a))); }
};
struct Cos {
  float operator()(float a) const { return static_cast<float>(std::cos(static_cast<double>(a))); }
};
struct Tanh {
  float operator()(float a) const { return static_cast<float>(std::tanh(static_cast<double>(a))); }
};
// The number where one operand is NaN, and -0 below +0.
template <bool PassNan>
struct Min {
  template <class T>
  T operator()(T a, T b) const {
    if (PassNan && (std::isnan(a) || std::isnan(b))) return std::numeric_limits<T>::quiet_NaN();
    if (std::isnan(a)) return b;
    if (std::isnan(b)) return a;
    return a == b ? (std::signbit(a) ? a : b) : (a < b ? a : b);
  }
};
template <bool PassNan>
struct Max {
  template <class T>
  T operator()(T a, T b) const {
    if (PassNan && (std::isnan(a) || std::isnan(b))) return std::numeric_limits<T>::quiet_NaN();
    if (std::isnan(a)) return b;
    if (std::isnan(b)) return a;
    return a == b ? (std::signbit(a) ? b : a) : (a > b ? a : b);
  }
};
// copysign d, a, b: the sign of a, the magnitude of b.
struct CopySign {
  template <class T>
  T operator()(T a, T b) const {
    return std::copysign(b, a);
  }
};

template <bool Ftz, class T>
T in(T x) {
  if constexpr (std::is_same_v<T, float>) return flush_if<Ftz>(x);
  return x;
}
// Shapes a result: flushed, then saturated.
template <bool Ftz, bool Sat, class T>
T out(T x) {
  if constexpr (Sat) return saturate(in<Ftz>(x));
  return in<Ftz>(x);
}

template <class F, class T, bool Ftz, bool Sat>
struct One {
  T operator()(T a) const { return out<Ftz, Sat>(F()(in<Ftz>(a))); }
};
template <class F, class T, bool Ftz, bool Sat>
struct Two {
  T operator()(T a, T b) const { return out<Ftz, Sat>(F()(in<Ftz>(a), in<Ftz>(b))); }
};
template <class F, class T, bool Ftz, bool Sat>
struct Three {
  T operator()(T a, T b, T c) const { return out<Ftz, Sat>(F()(in<Ftz>(a), in<Ftz>(b), in<Ftz>(c))); }
};

// In a rounding mode of its own, lane by lane.
template <class F, class T, Round R, bool Ftz, bool Sat, int Sources>
void rounded(Machine& m, const Op& op, uint32_t mask) {
  T* d = m.reg<T>(op.r[0]);
  const Rounding rounding(R);
  for_lanes(mask, [&](int i) {
    const T a = opaque(in<Ftz>(m.reg<T>(op.r[1])[i]));
    T value;
    if constexpr (Sources == 1) value = F()(a);
    if constexpr (Sources == 2) value = F()(a, opaque(in<Ftz>(m.reg<T>(op.r[2])[i])));
    if constexpr (Sources == 3) {
      value = F()(a, opaque(in<Ftz>(m.reg<T>(op.r[2])[i])), opaque(in<Ftz>(m.reg<T>(op.r[3])[i])));
    }
    d[i] = out<Ftz, Sat>(opaque(value));
  });
}

template <class F, class T, bool Ftz, bool Sat, int Sources>
Handler handler() {
  if constexpr (Sources == 1) return unary<One<F, T, Ftz, Sat>, T>;
  if constexpr (Sources == 2) return binary<Two<F, T, Ftz, Sat>, T>;
  if constexpr (Sources == 3) return ternary<Three<F, T, Ftz, Sat>, T>;
}

std::string operands(int sources, char l) { return std::string{l, ':'} + std::string(sources, l); }

// name{.ftz}{.sat}.f32, and name.f64 with neither.
template <class F, int Sources, bool HasSat = false, bool HasDouble = false>
void add_f32(Forms& forms, const std::string& name) {
  const std::string o = operands(Sources, 'w');
  auto add = [&](const std::string& modifiers, Handler run) {
    forms[name + modifiers + ".f32"] = {run, o, Kind::floating, Control::plain};
  };
  add("", handler<F, float, false, false, Sources>());
  add(".ftz", handler<F, float, true, false, Sources>());
  if constexpr (HasSat) {
    add(".sat", handler<F, float, false, true, Sources>());
    add(".ftz.sat", handler<F, float, true, true, Sources>());
  }
}
template <class F, int Sources>
void add_f64(Forms& forms, const std::string& name) {
  forms[name + ".f64"] = {handler<F, double, false, false, Sources>(), operands(Sources, 'd'), Kind::floating,
                          Control::plain};
}

template <class F, int Sources, Round R, bool HasSat>
void add_directed(Forms& forms, const std::string& name) {
  const std::string o = operands(Sources, 'w');
  forms[name + ".f32"] = {rounded<F, float, R, false, false, Sources>, o, Kind::floating, Control::plain};
  forms[name + ".ftz.f32"] = {rounded<F, float, R, true, false, Sources>, o, Kind::floating, Control::plain};
  if constexpr (HasSat) {
    forms[name + ".sat.f32"] = {rounded<F, float, R, false, true, Sources>, o, Kind::floating,
                                Control::plain};
    forms[name + ".ftz.sat.f32"] = {rounded<F, float, R, true, true, Sources>, o, Kind::floating,
                                    Control::plain};
  }
  forms[name + ".f64"] = {rounded<F, double, R, false, false, Sources>, operands(Sources, 'd'),
                          Kind::floating, Control::plain};
}

// An IEEE operation: .rn is also what is meant where no rounding is said of add, sub and mul.
template <class F, int Sources, bool HasSat>
void add_rounded(Forms& forms, const std::string& name) {
  add_f32<F, Sources, HasSat>(forms, name + ".rn");
  add_f64<F, Sources>(forms, name + ".rn");
  add_directed<F, Sources, Round::zero, HasSat>(forms, name + ".rz");
  add_directed<F, Sources, Round::down, HasSat>(forms, name + ".rm");
  add_directed<F, Sources, Round::up, HasSat>(forms, name + ".rp");
}

template <class F>
void add_sign(Forms& forms, const std::string& name) {
  add_f32<F, 1>(forms, name);
  add_f64<F, 1>(forms, name);
}

void add_min_max(Forms& forms) {
  add_f32<Min<false>, 2>(forms, "min");
  add_f32<Max<false>, 2>(forms, "max");
  add_f64<Min<false>, 2>(forms, "min");
  add_f64<Max<false>, 2>(forms, "max");
  const std::string two = operands(2, 'w');
  forms["min.NaN.f32"] = {handler<Min<true>, float, false, false, 2>(), two, Kind::floating, Control::plain};
  forms["max.NaN.f32"] = {handler<Max<true>, float, false, false, 2>(), two, Kind::floating, Control::plain};
  forms["min.ftz.NaN.f32"] = {handler<Min<true>, float, true, false, 2>(), two, Kind::floating,
                              Control::plain};
  forms["max.ftz.NaN.f32"] = {handler<Max<true>, float, true, false, 2>(), two, Kind::floating,
                              Control::plain};
}

// testp.notanumber and its like.
template <class T>
void add_tests(Forms& forms, const std::string& type, char l) {
  auto add = [&](const char* name, Handler run) {
    forms[std::string("testp.") + name + "." + type] = {run, {'p', ':', l}, Kind::compare, Control::plain};
  };
#define SOFTGPU_TEST(condition)                                                    \
  [](Machine& m, const Op& op, uint32_t mask) {                                    \
    const T* a = m.reg<T>(op.r[1]);                                                \
    m.set_predicate(op.r[0], mask, lanes_where([=](int i) { return condition; })); \
  }
  add("notanumber", SOFTGPU_TEST(std::isnan(a[i])));
  add("number", SOFTGPU_TEST(!std::isnan(a[i])));
  add("finite", SOFTGPU_TEST(std::isfinite(a[i])));
  add("infinite", SOFTGPU_TEST(std::isinf(a[i])));
  add("normal", SOFTGPU_TEST(std::isnormal(a[i]) || a[i] == 0));
  add("subnormal", SOFTGPU_TEST(std::fpclassify(a[i]) == FP_SUBNORMAL));
#undef SOFTGPU_TEST
}

}  // namespace

void add_float_forms(Forms& forms) {
  add_f32<Add, 2, true>(forms, "add");
  add_f32<Sub, 2, true>(forms, "sub");
  add_f32<Mul, 2, true>(forms, "mul");
  add_f64<Add, 2>(forms, "add");
  add_f64<Sub, 2>(forms, "sub");
  add_f64<Mul, 2>(forms, "mul");
  add_rounded<Add, 2, true>(forms, "add");
  add_rounded<Sub, 2, true>(forms, "sub");
  add_rounded<Mul, 2, true>(forms, "mul");
  add_rounded<Fma, 3, true>(forms, "fma");
  add_rounded<Div, 2, false>(forms, "div");
  add_rounded<Rcp, 1, false>(forms, "rcp");
  add_rounded<Sqrt, 1, false>(forms, "sqrt");
  add_f32<Div, 2>(forms, "div.approx");
  add_f32<Div, 2>(forms, "div.full");
  add_f32<Rcp, 1>(forms, "rcp.approx");
  add_f32<Sqrt, 1>(forms, "sqrt.approx");
  add_f32<Rsqrt, 1>(forms, "rsqrt.approx");
  add_f32<Ex2, 1>(forms, "ex2.approx");
  add_f32<Lg2, 1>(forms, "lg2.approx");
  add_f32<Sin, 1>(forms, "sin.approx");
  add_f32<Cos, 1>(forms, "cos.approx");
  add_f64<Rcp, 1>(forms, "rcp.approx.ftz");
  add_f64<Rsqrt, 1>(forms, "rsqrt.approx");
  add_f64<Rsqrt, 1>(forms, "rsqrt.approx.ftz");
  forms["tanh.approx.f32"] = {handler<Tanh, float, false, false, 1>(), "w:w", Kind::floating, Control::plain};
  add_sign<Abs>(forms, "abs");
  add_sign<Neg>(forms, "neg");
  add_min_max(forms);
  forms["copysign.f32"] = {binary<CopySign, float>, "w:ww", Kind::floating, Control::plain};
  forms["copysign.f64"] = {binary<CopySign, double>, "d:dd", Kind::floating, Control::plain};
  add_tests<float>(forms, "f32", 'w');
  add_tests<double>(forms, "f64", 'd');
}

}  // namespace softgpu
