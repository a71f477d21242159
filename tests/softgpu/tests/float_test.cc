// f32 and f64 instructions against the semantics and the stated errors of the PTX ISA, chapters 9.7.3
// and 9.7.6.

#include <cmath>
#include <functional>

#include "tests/typed_case.h"

namespace softgpu {
namespace {

constexpr double kPi = 3.14159265358979323846;

using Float1 = std::function<float(float)>;
using Float2 = std::function<float(float, float)>;
using Float3 = std::function<float(float, float, float)>;

float flush(float value) { return to_float(flushed(from_float(value), kF32)); }
// Positive and negative zero are in [0, 1] as +0, NaN is +0.
float saturated(float value) { return value > 0 ? std::fmin(value, 1.0f) : 0.0f; }

struct Direction {
  const char* name;
  Rounding rounding;
};
constexpr Direction kDirections[] = {
    {"rn", Rounding::nearest}, {"rz", Rounding::zero}, {"rm", Rounding::down}, {"rp", Rounding::up}};

// An instruction as it is, with .ftz, with .sat and with both.
Cases with_ftz_and_sat(const std::string& stem, const Float2& oracle) {
  using Type = float(float, float);
  return {typed<Type>(stem + ".f32", oracle),
          typed<Type>(stem + ".ftz.f32", [=](float a, float b) { return flush(oracle(flush(a), flush(b))); }),
          typed<Type>(stem + ".sat.f32", [=](float a, float b) { return saturated(oracle(a, b)); }),
          typed<Type>(stem + ".ftz.sat.f32",
                      [=](float a, float b) { return saturated(flush(oracle(flush(a), flush(b)))); })};
}

Cases arithmetic() {
  Cases cases;
  for (const Direction& d : kDirections) {
    const std::string r = d.name;
    const Rounding way = d.rounding;
    append(cases, with_ftz_and_sat("add." + r, [=](float a, float b) { return rounded_add(a, b, way); }));
    append(cases, with_ftz_and_sat("sub." + r, [=](float a, float b) { return rounded_add(a, -b, way); }));
    append(cases, with_ftz_and_sat("mul." + r, [=](float a, float b) { return rounded_mul(a, b, way); }));
    cases.push_back(typed<float(float, float, float)>(
        "fma." + r + ".f32", [=](float a, float b, float c) { return rounded_fma(a, b, c, way); }));
    cases.push_back(typed<float(float, float, float)>(
        "fma." + r + ".ftz.f32",
        [=](float a, float b, float c) { return flush(rounded_fma(flush(a), flush(b), flush(c), way)); }));
    cases.push_back(typed<float(float, float)>("div." + r + ".f32",
                                               [=](float a, float b) { return rounded_div(a, b, way); }));
    cases.push_back(
        typed<float(float)>("rcp." + r + ".f32", [=](float a) { return rounded_div(1.0f, a, way); }));
    cases.push_back(typed<float(float)>("sqrt." + r + ".f32", [=](float a) { return rounded_sqrt(a, way); }));
    cases.push_back(typed<double(double, double)>(
        "add." + r + ".f64", [=](double a, double b) { return rounded_add(a, b, way); }));
    cases.push_back(typed<double(double, double)>(
        "mul." + r + ".f64", [=](double a, double b) { return rounded_mul(a, b, way); }));
    cases.push_back(typed<double(double, double, double)>(
        "fma." + r + ".f64", [=](double a, double b, double c) { return rounded_fma(a, b, c, way); }));
    cases.push_back(typed<double(double, double)>(
        "div." + r + ".f64", [=](double a, double b) { return rounded_div(a, b, way); }));
    cases.push_back(
        typed<double(double)>("rcp." + r + ".f64", [=](double a) { return rounded_div(1.0, a, way); }));
    cases.push_back(
        typed<double(double)>("sqrt." + r + ".f64", [=](double a) { return rounded_sqrt(a, way); }));
  }
  // Without a direction: to nearest.
  append(cases, with_ftz_and_sat("add", [](float a, float b) { return a + b; }));
  append(cases, with_ftz_and_sat("sub", [](float a, float b) { return a - b; }));
  append(cases, with_ftz_and_sat("mul", [](float a, float b) { return a * b; }));
  cases.push_back(typed<double(double, double)>("sub.f64", [](double a, double b) { return a - b; }));
  cases.push_back(typed<float(float, float, float)>(
      "fma.rn.sat.f32", [](float a, float b, float c) { return saturated(std::fma(a, b, c)); }));
  return cases;
}

// If one is NaN, the other; +0 is more than -0.
template <class T>
T smaller(T a, T b) {
  if (std::isnan(a)) return b;
  if (std::isnan(b)) return a;
  if (a == b) return std::signbit(a) ? a : b;
  return a < b ? a : b;
}
template <class T>
T larger(T a, T b) {
  return -smaller<T>(-a, -b);
}

Cases choices() {
  const auto or_nan = [](auto oracle) {
    return [=](float a, float b) { return std::isnan(a) || std::isnan(b) ? std::nanf("") : oracle(a, b); };
  };
  using F2 = float(float, float);
  using D2 = double(double, double);
  return {
      typed<F2>("min.f32", smaller<float>),
      typed<F2>("max.f32", larger<float>),
      typed<F2>("min.NaN.f32", or_nan(smaller<float>)),
      typed<F2>("max.NaN.f32", or_nan(larger<float>)),
      typed<F2>("min.ftz.f32", [](float a, float b) { return smaller(flush(a), flush(b)); }),
      typed<F2>("max.ftz.f32", [](float a, float b) { return larger(flush(a), flush(b)); }),
      typed<D2>("min.f64", smaller<double>),
      typed<D2>("max.f64", larger<double>),
      typed<float(float)>("abs.f32", [](float a) { return std::fabs(a); }),
      typed<float(float)>("abs.ftz.f32", [](float a) { return std::fabs(flush(a)); }),
      typed<float(float)>("neg.f32", [](float a) { return -a; }),
      typed<float(float)>("neg.ftz.f32", [](float a) { return -flush(a); }),
      typed<double(double)>("abs.f64", [](double a) { return std::fabs(a); }),
      typed<double(double)>("neg.f64", [](double a) { return -a; }),
      typed<F2>("copysign.f32", [](float a, float b) { return std::copysign(b, a); }),
      typed<D2>("copysign.f64", [](double a, double b) { return std::copysign(b, a); }),
      typed<float(float, float, bool)>("selp.f32", [](float a, float b, bool p) { return p ? a : b; }),
  };
}

Cases comparisons() {
  struct Comparison {
    const char* name;
    bool (*holds)(double, double);
  };
  // Ordered ones are false where there is a NaN, unordered ones are true.
  static constexpr Comparison comparisons[] = {
      {"eq", [](double a, double b) { return a == b; }},
      {"ne", [](double a, double b) { return a < b || a > b; }},
      {"lt", [](double a, double b) { return a < b; }},
      {"le", [](double a, double b) { return a <= b; }},
      {"gt", [](double a, double b) { return a > b; }},
      {"ge", [](double a, double b) { return a >= b; }},
      {"equ", [](double a, double b) { return !(a < b || a > b); }},
      {"neu", [](double a, double b) { return !(a == b); }},
      {"ltu", [](double a, double b) { return !(a >= b); }},
      {"leu", [](double a, double b) { return !(a > b); }},
      {"gtu", [](double a, double b) { return !(a <= b); }},
      {"geu", [](double a, double b) { return !(a < b); }},
      {"num", [](double a, double b) { return !std::isnan(a) && !std::isnan(b); }},
      {"nan", [](double a, double b) { return std::isnan(a) || std::isnan(b); }},
  };
  Cases cases;
  for (const Comparison& c : comparisons) {
    const std::string name = c.name;
    const auto holds = c.holds;
    cases.push_back(
        typed<bool(float, float)>("setp." + name + ".f32", [=](float a, float b) { return holds(a, b); }));
    cases.push_back(typed<bool(float, float)>("setp." + name + ".ftz.f32",
                                              [=](float a, float b) { return holds(flush(a), flush(b)); }));
    cases.push_back(typed<bool(double, double)>("setp." + name + ".f64", holds));
    cases.push_back(typed<float(float, float)>("set." + name + ".f32.f32",
                                               [=](float a, float b) { return holds(a, b) ? 1.0f : 0.0f; }));
  }
  return cases;
}

Cases tests_of_kind() {
  const auto kind = [](const char* name, bool (*holds)(float)) {
    return typed<bool(float)>(std::string("testp.") + name + ".f32", holds);
  };
  return {kind("finite", [](float a) { return std::isfinite(a); }),
          kind("infinite", [](float a) { return std::isinf(a); }),
          kind("number", [](float a) { return !std::isnan(a); }),
          kind("notanumber", [](float a) { return std::isnan(a); }),
          kind("normal", [](float a) { return std::isnormal(a) || a == 0; }),
          kind("subnormal", [](float a) { return std::fpclassify(a) == FP_SUBNORMAL; })};
}

// Approximations, with the errors that the manual allows them.
OpcodeCase approximate(const std::string& name, const std::function<double(double)>& exact, double relative,
                       double absolute, bool ftz) {
  OpcodeCase test = typed<float(float)>(name, [=](float a) {
    const auto value = static_cast<float>(exact(ftz ? flush(a) : a));
    return ftz ? flush(value) : value;
  });
  test.relative = relative;
  test.absolute = absolute;
  return test;
}

double rsqrt(double a) { return 1 / std::sqrt(a); }
double reciprocal(double a) { return 1 / a; }

Cases approximations() {
  Cases cases;
  for (const bool ftz : {false, true}) {
    const std::string f = ftz ? ".ftz.f32" : ".f32";
    cases.push_back(approximate("rcp.approx" + f, reciprocal, 0x1p-23, 0, ftz));
    cases.push_back(approximate(
        "sqrt.approx" + f, [](double a) { return std::sqrt(a); }, 0x1p-23, 0, ftz));
    cases.push_back(approximate("rsqrt.approx" + f, rsqrt, 0x1p-22, 0, ftz));
    cases.push_back(approximate(
        "ex2.approx" + f, [](double a) { return std::exp2(a); }, 0x1p-22, 0, ftz));
    cases.push_back(approximate(
        "lg2.approx" + f, [](double a) { return std::log2(a); }, 0x1p-22, 0x1p-22, ftz));
  }
  cases.push_back(approximate(
      "tanh.approx.f32", [](double a) { return std::tanh(a); }, 0x1p-11, 0, false));
  // Within [-pi, pi], for which the error is stated.
  const auto folded = [](const std::string& name, double (*exact)(double)) {
    OpcodeCase test = typed_text<float(float)>(
        "abs.f32 %a0, %a0; min.f32 %a0, %a0, 0f40490FDB; " + name + ".approx.f32 %d0, %a0;",
        [=](float a) { return static_cast<float>(exact(smaller(std::fabs(a), static_cast<float>(kPi)))); });
    test.absolute = 0x1p-20;
    return test;
  };
  cases.push_back(folded("sin", [](double a) { return std::sin(a); }));
  cases.push_back(folded("cos", [](double a) { return std::cos(a); }));
  // Divisors in the range for which the error is stated: 2^-126 to 2^126.
  for (const std::string name : {"div.approx", "div.full"}) {
    OpcodeCase test = typed_text<float(float, float)>(
        "abs.f32 %a1, %a1; max.f32 %a1, %a1, 0f00800000; min.f32 %a1, %a1, 0f7E800000; " + name +
            ".f32 %d0, %a0, %a1;",
        [](float a, float b) {
          return static_cast<float>(double{a} / smaller(larger(std::fabs(b), 0x1p-126f), 0x1p126f));
        });
    test.relative = 0x1p-22;
    cases.push_back(test);
  }
  return cases;
}

Cases float_cases() {
  Cases cases = arithmetic();
  append(cases, choices());
  append(cases, comparisons());
  append(cases, tests_of_kind());
  append(cases, approximations());
  return cases;
}

class FloatOpcode : public OpcodeTest {};
TEST_P(FloatOpcode, DoesWhatTheManualSays) { check_case(GetParam()); }
INSTANTIATE_TEST_SUITE_P(All, FloatOpcode, testing::ValuesIn(float_cases()), CaseName());

}  // namespace
}  // namespace softgpu
