// cvt against the PTX ISA, chapter 9.7.9 ("cvt").

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "tests/typed_case.h"

namespace softgpu {
namespace {

template <class T>
std::string suffix() {
  return std::string(std::is_signed_v<T> ? "s" : "u") + std::to_string(8 * sizeof(T));
}

// Between integers: cut off or extended; with .sat clamped to the destination's range.
template <class To, class From>
Cases integers() {
  const std::string types = suffix<To>() + "." + suffix<From>();
  const auto clamp = [](From a) {
    const auto least = static_cast<Int128>(std::numeric_limits<To>::min());
    const auto most = static_cast<Int128>(std::numeric_limits<To>::max());
    return static_cast<To>(std::clamp(static_cast<Int128>(a), least, most));
  };
  return {typed<To(From)>("cvt." + types, [](From a) { return static_cast<To>(a); }),
          typed<To(From)>("cvt.sat." + types, clamp)};
}

// A destination of 8 bits is a register of 16: the value is extended to it.
template <class To, class From>
Cases to_byte() {
  using Register = std::conditional_t<std::is_signed_v<To>, int16_t, uint16_t>;
  return {typed<Register(From)>("cvt." + suffix<To>() + "." + suffix<From>(),
                                [](From a) { return static_cast<Register>(static_cast<To>(a)); })};
}

double rounded_to_integer(double value, Rounding rounding) {
  switch (rounding) {
    case Rounding::nearest:
    case Rounding::away:
      break;
    case Rounding::zero:
      return std::trunc(value);
    case Rounding::down:
      return std::floor(value);
    case Rounding::up:
      return std::ceil(value);
  }
  return std::nearbyint(value);
}

struct Direction {
  const char* name;
  Rounding rounding;
};
constexpr Direction kToInteger[] = {
    {"rni", Rounding::nearest}, {"rzi", Rounding::zero}, {"rmi", Rounding::down}, {"rpi", Rounding::up}};
constexpr Direction kToFloat[] = {
    {"rn", Rounding::nearest}, {"rz", Rounding::zero}, {"rm", Rounding::down}, {"rp", Rounding::up}};

// To an integer: rounded, then clamped. NaN is 0, or the sign bit alone where a type of 64 bits takes part.
template <class To>
To to_integer(double value, Rounding rounding, bool wide_source) {
  if (std::isnan(value)) {
    return wide_source || sizeof(To) == 8 ? static_cast<To>(uint64_t{1} << (8 * sizeof(To) - 1)) : To{0};
  }
  const double whole = rounded_to_integer(value, rounding);
  if (whole <= static_cast<double>(std::numeric_limits<To>::min())) return std::numeric_limits<To>::min();
  if (whole >= std::ldexp(1.0, std::numeric_limits<To>::digits)) return std::numeric_limits<To>::max();
  return static_cast<To>(whole);
}

template <class To>
Cases floats_to_integer() {
  Cases cases;
  for (const Direction& d : kToInteger) {
    const auto way = d.rounding;
    const std::string stem = std::string("cvt.") + d.name;
    cases.push_back(typed<To(float)>(stem + "." + suffix<To>() + ".f32",
                                     [=](float a) { return to_integer<To>(a, way, false); }));
    cases.push_back(typed<To(double)>(stem + "." + suffix<To>() + ".f64",
                                      [=](double a) { return to_integer<To>(a, way, true); }));
  }
  cases.push_back(typed<To(float)>("cvt.rzi.ftz." + suffix<To>() + ".f32", [](float a) {
    return to_integer<To>(to_float(flushed(from_float(a), kF32)), Rounding::zero, false);
  }));
  return cases;
}

// A 64-bit integer in a double, rounded to odd: the nearest double towards zero, its last bit set if it is
// not exact.
template <class From>
double odd_double(From value) {
  const bool negative = std::is_signed_v<From> && value < From{0};
  const auto magnitude = negative ? uint64_t{0} - static_cast<uint64_t>(value) : static_cast<uint64_t>(value);
  const int spare = magnitude >> 53 != 0 ? 11 : 0;
  const uint64_t kept = magnitude >> spare, lost = magnitude & ((uint64_t{1} << spare) - 1);
  const double result = std::ldexp(static_cast<double>(kept | (lost != 0 ? 1 : 0)), spare);
  return negative ? -result : result;
}

template <class From>
Cases integer_to_floats() {
  Cases cases;
  for (const Direction& d : kToFloat) {
    const auto way = d.rounding;
    const std::string stem = std::string("cvt.") + d.name;
    cases.push_back(typed<float(From)>(stem + ".f32." + suffix<From>(),
                                       [=](From a) { return to_float(narrow(odd_double(a), kF32, way)); }));
  }
  cases.push_back(
      typed<double(From)>("cvt.rn.f64." + suffix<From>(), [](From a) { return static_cast<double>(a); }));
  return cases;
}

OpcodeCase from_bits(const std::string& text, Meaning from, Meaning to,
                     const std::function<uint64_t(uint64_t)>& oracle) {
  OpcodeCase test{text + " %d0, %a0;", {from}, {to}, nullptr};
  test.oracle = [=](const Words& w) { return Words{oracle(w[0])}; };
  return test;
}

Cases between_floats() {
  Cases cases;
  for (const Direction& d : kToFloat) {
    const auto way = d.rounding;
    const std::string stem = std::string("cvt.") + d.name;
    const auto to = [=](Format format) {
      return [=](uint64_t a) { return narrow(widen(a, kF32), format, way); };
    };
    cases.push_back(from_bits(stem + ".f32.f64", Meaning::f64, Meaning::f32,
                              [=](uint64_t a) { return narrow(to_double(a), kF32, way); }));
    if (way == Rounding::nearest || way == Rounding::zero) {
      cases.push_back(from_bits(stem + ".f16.f32", Meaning::f32, Meaning::f16, to(kF16)));
      cases.push_back(from_bits(stem + ".bf16.f32", Meaning::f32, Meaning::bf16, to(kBf16)));
    }
  }
  for (const Direction& d : kToInteger) {
    const auto way = d.rounding;
    const std::string stem = std::string("cvt.") + d.name;
    cases.push_back(typed<float(float)>(stem + ".f32.f32", [=](float a) {
      return std::copysign(static_cast<float>(rounded_to_integer(a, way)), a);
    }));
    cases.push_back(typed<double(double)>(
        stem + ".f64.f64", [=](double a) { return std::copysign(rounded_to_integer(a, way), a); }));
  }
  cases.push_back(
      typed<float(float)>("cvt.sat.f32.f32", [](float a) { return a > 0 ? std::fmin(a, 1.0f) : 0.0f; }));
  cases.push_back(
      typed<float(float)>("cvt.ftz.f32.f32", [](float a) { return to_float(flushed(from_float(a), kF32)); }));
  cases.push_back(typed<double(float)>("cvt.f64.f32", [](float a) { return double{a}; }));
  cases.push_back(from_bits("cvt.f32.f16", Meaning::f16, Meaning::f32,
                            [](uint64_t a) { return from_float(static_cast<float>(widen(a, kF16))); }));
  cases.push_back(from_bits("cvt.f32.bf16", Meaning::bf16, Meaning::f32,
                            [](uint64_t a) { return from_float(static_cast<float>(widen(a, kBf16))); }));
  // tf32 keeps 10 bits of mantissa; the 13 below do not count.
  cases.push_back(from_bits("cvt.rn.f16.f64", Meaning::f64, Meaning::f16,
                            [](uint64_t a) { return narrow(to_double(a), kF16); }));
  OpcodeCase tf32 = from_bits("cvt.rna.tf32.f32", Meaning::f32, Meaning::f32,
                              [](uint64_t a) { return narrow(widen(a, kF32), kTf32, Rounding::away) << 13; });
  tf32.text += " and.b32 %d0, %d0, 0xFFFFE000;";
  cases.push_back(tf32);
  return cases;
}

// Two at once: the first operand is the upper half.
Cases packed() {
  Cases cases;
  const auto pack = [&](const std::string& text, Meaning meaning, Format format, Rounding way, bool relu) {
    OpcodeCase test{text + " %d0, %a0, %a1;", {Meaning::f32, Meaning::f32}, {meaning}, nullptr};
    test.oracle = [=](const Words& w) {
      const auto one = [=](uint64_t a) {
        const double value = widen(a, kF32);
        return relu && !std::isnan(value) && std::signbit(value) ? 0 : narrow(value, format, way);
      };
      return Words{one(w[0]) << 16 | one(w[1])};
    };
    cases.push_back(test);
  };
  pack("cvt.rn.f16x2.f32", Meaning::f16x2, kF16, Rounding::nearest, false);
  pack("cvt.rz.f16x2.f32", Meaning::f16x2, kF16, Rounding::zero, false);
  pack("cvt.rn.bf16x2.f32", Meaning::bf16x2, kBf16, Rounding::nearest, false);
  pack("cvt.rz.bf16x2.f32", Meaning::bf16x2, kBf16, Rounding::zero, false);
  pack("cvt.rn.relu.bf16x2.f32", Meaning::bf16x2, kBf16, Rounding::nearest, true);
  pack("cvt.rn.relu.f16x2.f32", Meaning::f16x2, kF16, Rounding::nearest, true);
  return cases;
}

template <class From>
Cases all_integers_from() {
  Cases cases = integers<int16_t, From>();
  append(cases, integers<uint16_t, From>());
  append(cases, integers<int32_t, From>());
  append(cases, integers<uint32_t, From>());
  append(cases, integers<int64_t, From>());
  append(cases, integers<uint64_t, From>());
  append(cases, to_byte<int8_t, From>());
  append(cases, to_byte<uint8_t, From>());
  return cases;
}

Cases convert_cases() {
  Cases cases = all_integers_from<int16_t>();
  append(cases, all_integers_from<uint16_t>());
  append(cases, all_integers_from<int32_t>());
  append(cases, all_integers_from<uint32_t>());
  append(cases, all_integers_from<int64_t>());
  append(cases, all_integers_from<uint64_t>());
  append(cases, floats_to_integer<int16_t>());
  append(cases, floats_to_integer<uint16_t>());
  append(cases, floats_to_integer<int32_t>());
  append(cases, floats_to_integer<uint32_t>());
  append(cases, floats_to_integer<int64_t>());
  append(cases, floats_to_integer<uint64_t>());
  append(cases, integer_to_floats<int16_t>());
  append(cases, integer_to_floats<uint16_t>());
  append(cases, integer_to_floats<int32_t>());
  append(cases, integer_to_floats<uint32_t>());
  append(cases, integer_to_floats<int64_t>());
  append(cases, integer_to_floats<uint64_t>());
  append(cases, between_floats());
  append(cases, packed());
  return cases;
}

class ConvertOpcode : public OpcodeTest {};
TEST_P(ConvertOpcode, DoesWhatTheManualSays) { check_case(GetParam()); }
INSTANTIATE_TEST_SUITE_P(All, ConvertOpcode, testing::ValuesIn(convert_cases()), CaseName());

}  // namespace
}  // namespace softgpu
