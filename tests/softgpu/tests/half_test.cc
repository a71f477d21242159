// f16 and bf16 arithmetic, one value or two in a register, against the PTX ISA, chapter 9.7.4.

#include <cmath>
#include <functional>

#include "tests/typed_case.h"

namespace softgpu {
namespace {

struct Kind {
  const char* suffix;
  Meaning meaning;
  Format format;
  int parts;
};
constexpr Kind kF16One{"f16", Meaning::f16, kF16, 1}, kF16Two{"f16x2", Meaning::f16x2, kF16, 2};
constexpr Kind kBf16One{"bf16", Meaning::bf16, kBf16, 1}, kBf16Two{"bf16x2", Meaning::bf16x2, kBf16, 2};

// Each part on its own: from bits to bits.
using PartOracle = std::function<uint64_t(const Words&)>;

OpcodeCase by_parts(const std::string& opcode, const Kind& kind, size_t operands, const PartOracle& oracle) {
  OpcodeCase test{opcode + " %d0", std::vector<Meaning>(operands, kind.meaning), {kind.meaning}, nullptr};
  for (size_t i = 0; i < operands; ++i) test.text += ", %a" + std::to_string(i);
  test.text += ";";
  const int parts = kind.parts;
  test.oracle = [=](const Words& words) {
    uint64_t result = 0;
    for (int part = 0; part < parts; ++part) {
      Words ones;
      for (const uint64_t word : words) ones.push_back((word >> (16 * part)) & 0xFFFF);
      result |= oracle(ones) << (16 * part);
    }
    return Words{result};
  };
  return test;
}

using Value2 = double (*)(double, double);

double smaller(double a, double b) {
  if (std::isnan(a)) return b;
  if (std::isnan(b)) return a;
  if (a == b) return std::signbit(a) ? a : b;
  return a < b ? a : b;
}
double larger(double a, double b) { return -smaller(-a, -b); }
double nan_or_smaller(double a, double b) {
  return std::isnan(a) || std::isnan(b) ? std::nan("") : smaller(a, b);
}
double nan_or_larger(double a, double b) {
  return std::isnan(a) || std::isnan(b) ? std::nan("") : larger(a, b);
}

OpcodeCase two(const std::string& opcode, const Kind& kind, Value2 oracle) {
  const Format format = kind.format;
  return by_parts(opcode + "." + kind.suffix, kind, 2, [=](const Words& w) {
    return narrow(oracle(widen(w[0], format), widen(w[1], format)), format);
  });
}

OpcodeCase fused(const std::string& opcode, const Kind& kind, bool relu) {
  const Format format = kind.format;
  return by_parts(opcode + "." + kind.suffix, kind, 3, [=](const Words& w) -> uint64_t {
    const double value = odd_fma(widen(w[0], format), widen(w[1], format), widen(w[2], format));
    if (relu && !std::isnan(value) && (value < 0 || std::signbit(value))) return 0;
    return narrow(value, format);
  });
}

Cases common(const Kind& kind) {
  const Format format = kind.format;
  const uint64_t sign = uint64_t{1} << (format.width() - 1);
  return {
      fused("fma.rn", kind, false),
      fused("fma.rn.relu", kind, true),
      two("min", kind, smaller),
      two("max", kind, larger),
      two("min.NaN", kind, nan_or_smaller),
      two("max.NaN", kind, nan_or_larger),
      by_parts(std::string("neg.") + kind.suffix, kind, 1, [=](const Words& w) { return w[0] ^ sign; }),
      by_parts(std::string("abs.") + kind.suffix, kind, 1, [=](const Words& w) { return w[0] & ~sign; }),
  };
}

// add, sub and mul of sm_80 are those of f16 alone; nvcc makes fma of the others.
Cases f16_only(const Kind& kind) {
  return {
      two("add", kind, odd_add),    two("sub", kind, [](double a, double b) { return odd_add(a, -b); }),
      two("mul", kind, odd_mul),    two("add.rn", kind, odd_add),
      two("mul.rn", kind, odd_mul), two("sub.rn", kind, [](double a, double b) { return odd_add(a, -b); })};
}

Cases comparisons(const Kind& kind) {
  const Format format = kind.format;
  const auto compare = [=](const std::string& name, bool (*holds)(double, double)) {
    OpcodeCase test{
        "setp." + name + "." + kind.suffix + " %d0, %a0, %a1;", {2, kind.meaning}, {Meaning::pred}, nullptr};
    test.oracle = [=](const Words& w) {
      return Words{static_cast<uint64_t>(holds(widen(w[0], format), widen(w[1], format)))};
    };
    return test;
  };
  return {compare("lt", [](double a, double b) { return a < b; }),
          compare("eq", [](double a, double b) { return a == b; }),
          compare("ge", [](double a, double b) { return a >= b; }),
          compare("neu", [](double a, double b) { return !(a == b); }),
          compare("gtu", [](double a, double b) { return !(a <= b); }),
          compare("nan", [](double a, double b) { return std::isnan(a) || std::isnan(b); })};
}

Cases half_cases() {
  Cases cases = common(kF16One);
  append(cases, common(kF16Two));
  append(cases, common(kBf16One));
  append(cases, common(kBf16Two));
  append(cases, f16_only(kF16One));
  append(cases, f16_only(kF16Two));
  append(cases, comparisons(kF16One));
  append(cases, comparisons(kBf16One));
  return cases;
}

class HalfOpcode : public OpcodeTest {};
TEST_P(HalfOpcode, DoesWhatTheManualSays) { check_case(GetParam()); }
INSTANTIATE_TEST_SUITE_P(All, HalfOpcode, testing::ValuesIn(half_cases()), CaseName());

}  // namespace
}  // namespace softgpu
