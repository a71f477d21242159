// Integer, bit and comparison instructions against the semantics of the PTX ISA, chapters 9.7.1, 9.7.2, 9.7.6
// to 9.7.8.

#include <algorithm>
#include <bit>

#include "tests/typed_case.h"

namespace softgpu {
namespace {

template <class T>
std::string suffix() {
  return std::string(std::is_signed_v<T> ? "s" : "u") + std::to_string(8 * sizeof(T));
}
template <class T>
std::string bits_suffix() {
  return "b" + std::to_string(8 * sizeof(T));
}

template <class T>
using Wide = std::conditional_t<
    sizeof(T) == 8, std::conditional_t<std::is_signed_v<T>, Int128, Uint128>,
    std::conditional_t<sizeof(T) == 4, std::conditional_t<std::is_signed_v<T>, int64_t, uint64_t>,
                       std::conditional_t<std::is_signed_v<T>, int32_t, uint32_t>>>;

// Without the undefined overflow of C++.
template <class T>
T wrapped(Uint128 value) {
  return static_cast<T>(value);
}
template <class T>
Uint128 wide(T value) {
  return static_cast<Uint128>(static_cast<Int128>(value));
}

template <class T>
Cases arithmetic() {
  const std::string t = suffix<T>();
  constexpr int bits = 8 * sizeof(T);
  Cases cases{
      typed<T(T, T)>("add." + t, [](T a, T b) { return wrapped<T>(wide(a) + wide(b)); }),
      typed<T(T, T)>("sub." + t, [](T a, T b) { return wrapped<T>(wide(a) - wide(b)); }),
      typed<T(T, T)>("mul.lo." + t, [](T a, T b) { return wrapped<T>(wide(a) * wide(b)); }),
      typed<T(T, T)>("mul.hi." + t,
                     [](T a, T b) { return static_cast<T>((Wide<T>{a} * Wide<T>{b}) >> bits); }),
      typed<T(T, T, T)>("mad.lo." + t, [](T a, T b, T c) { return wrapped<T>(wide(a) * wide(b) + wide(c)); }),
      typed<T(T, T, T)>("mad.hi." + t,
                        [](T a, T b, T c) {
                          return wrapped<T>(wide(static_cast<T>((Wide<T>{a} * Wide<T>{b}) >> bits)) +
                                            wide(c));
                        }),
      typed<T(T, T)>("min." + t, [](T a, T b) { return b < a ? b : a; }),
      typed<T(T, T)>("max." + t, [](T a, T b) { return a < b ? b : a; }),
  };
  if constexpr (std::is_signed_v<T>) {
    cases.push_back(typed<T(T)>("neg." + t, [](T a) { return wrapped<T>(-wide(a)); }));
    cases.push_back(typed<T(T)>("abs." + t, [](T a) { return a < 0 ? wrapped<T>(-wide(a)) : a; }));
  }
  return cases;
}

// Division by zero gives a machine-dependent value: divisors are made odd. The smallest number by -1 wraps.
template <class T>
Cases divisions() {
  const std::string one = bits_suffix<T>(), t = suffix<T>();
  const auto divide = [](T a, T b) {
    return wrapped<T>(std::is_signed_v<T> && b == T(-1) ? -wide(a) : wide<T>(a / b));
  };
  const auto text = [&](const std::string& opcode) {
    return "or." + one + " %a1, %a1, 1; " + opcode + "." + t + " %d0, %a0, %a1;";
  };
  return {typed_text<T(T, T)>(text("div"), [=](T a, T b) { return divide(a, static_cast<T>(b | 1)); }),
          typed_text<T(T, T)>(text("rem"), [=](T a, T b) {
            const T odd = static_cast<T>(b | 1);
            return wrapped<T>(wide(a) - wide(divide(a, odd)) * wide(odd));
          })};
}

template <class T>
Cases widening() {
  const std::string t = suffix<T>();
  using W = Wide<T>;
  return {typed<W(T, T)>("mul.wide." + t, [](T a, T b) { return static_cast<W>(W{a} * W{b}); }),
          typed<W(T, T, W)>("mad.wide." + t,
                            [](T a, T b, W c) { return wrapped<W>(wide<W>(W{a} * W{b}) + wide<W>(c)); })};
}

template <class T>
Cases logic() {
  const std::string t = bits_suffix<T>();
  constexpr uint32_t bits = 8 * sizeof(T);
  return {
      typed<T(T, T)>("and." + t, [](T a, T b) { return static_cast<T>(a & b); }),
      typed<T(T, T)>("or." + t, [](T a, T b) { return static_cast<T>(a | b); }),
      typed<T(T, T)>("xor." + t, [](T a, T b) { return static_cast<T>(a ^ b); }),
      typed<T(T)>("not." + t, [](T a) { return static_cast<T>(~a); }),
      typed<T(T)>("cnot." + t, [](T a) { return static_cast<T>(a == 0 ? 1 : 0); }),
      // Shifts by more than the register's width are clamped to it.
      typed<T(T, Amount)>("shl." + t,
                          [](T a, Amount b) { return b.value < bits ? static_cast<T>(a << b.value) : T{0}; }),
      typed<T(T, Amount)>("shr.u" + std::to_string(bits),
                          [](T a, Amount b) { return b.value < bits ? static_cast<T>(a >> b.value) : T{0}; }),
      typed<T(T, Amount)>("shr.s" + std::to_string(bits),
                          [](T a, Amount b) {
                            using S = std::make_signed_t<T>;
                            return static_cast<T>(static_cast<S>(a) >> std::min(b.value, bits - 1));
                          }),
      typed<T(T, T, bool)>("selp." + t, [](T a, T b, bool p) { return p ? a : b; }),
  };
}

template <class T>
Cases bit_fields() {
  const std::string t = suffix<T>();
  constexpr uint32_t msb = 8 * sizeof(T) - 1;
  const auto bit = [](T a, uint32_t i) { return ((static_cast<uint64_t>(a) >> i) & 1) != 0; };
  const auto find = [=](T a, bool shift_amount) -> uint32_t {
    if (a < 0) a = static_cast<T>(~a);
    for (uint32_t i = msb + 1; i-- > 0;) {
      if (bit(a, i)) return shift_amount ? msb - i : i;
    }
    return 0xFFFFFFFF;
  };
  return {
      typed<T(T, Amount, Amount)>("bfe." + t,
                                  [=](T a, Amount b, Amount c) {
                                    const uint32_t position = b.value & 0xFF, length = c.value & 0xFF;
                                    const bool sign = std::is_signed_v<T> && length != 0 &&
                                                      bit(a, std::min(position + length - 1, msb));
                                    uint64_t d = 0;
                                    for (uint32_t i = 0; i <= msb; ++i) {
                                      const bool inside = i < length && position + i <= msb;
                                      d |= uint64_t{inside ? bit(a, position + i) : sign} << i;
                                    }
                                    return static_cast<T>(d);
                                  }),
      typed<uint32_t(T)>("bfind." + t, [=](T a) { return find(a, false); }),
      typed<uint32_t(T)>("bfind.shiftamt." + t, [=](T a) { return find(a, true); }),
  };
}

template <class T>
Cases bit_counts() {
  const std::string t = bits_suffix<T>();
  constexpr uint32_t msb = 8 * sizeof(T) - 1;
  return {typed<uint32_t(T)>("popc." + t, [](T a) { return std::popcount(a); }),
          typed<uint32_t(T)>("clz." + t, [](T a) { return std::countl_zero(a); }),
          typed<T(T)>("brev." + t,
                      [](T a) {
                        T d = 0;
                        for (uint32_t i = 0; i <= msb; ++i) d |= ((a >> i) & 1) << (msb - i);
                        return d;
                      }),
          typed<T(T, T, Amount, Amount)>("bfi." + t, [](T a, T b, Amount c, Amount d) {
            const uint32_t position = c.value & 0xFF, length = d.value & 0xFF;
            T f = b;
            for (uint32_t i = 0; i < length && position + i <= msb; ++i) {
              const T mask = T{1} << (position + i);
              f = (f & ~mask) | (((a >> i) & 1) != 0 ? mask : 0);
            }
            return f;
          })};
}

Cases permutations() {
  using U = uint32_t;
  const auto byte = [](uint64_t all, uint32_t i) { return static_cast<U>((all >> (8 * i)) & 0xFF); };
  const auto funnel = [](const std::string& name, bool left, bool clamp) {
    return typed<U(U, U, Amount)>("shf." + name + ".b32", [=](U a, U b, Amount c) {
      const U n = clamp ? std::min(c.value, U{32}) : c.value & 31;
      const uint64_t both = uint64_t{b} << 32 | a;
      if (!left) return static_cast<U>(n == 32 ? b : both >> n);
      return static_cast<U>(n == 32 ? a : (both << n) >> 32);
    });
  };
  return {
      typed<U(U, U, U)>("prmt.b32",
                        [=](U a, U b, U c) {
                          U d = 0;
                          for (U i = 0; i < 4; ++i) {
                            const U select = (c >> (4 * i)) & 0xF;
                            U value = byte(uint64_t{b} << 32 | a, select & 7);
                            if ((select & 8) != 0) value = (value & 0x80) != 0 ? 0xFF : 0;
                            d |= value << (8 * i);
                          }
                          return d;
                        }),
      funnel("l.clamp", true, true),
      funnel("l.wrap", true, false),
      funnel("r.clamp", false, true),
      funnel("r.wrap", false, false),
  };
}

Cases lookups() {
  using U = uint32_t;
  Cases cases;
  for (const U table : {0x00U, 0x40U, 0x80U, 0x96U, 0xE8U, 0xFEU, 0x1AU, 0xCAU, 0xFFU}) {
    cases.push_back(typed_text<U(U, U, U)>(
        "lop3.b32 %d0, %a0, %a1, %a2, " + std::to_string(table) + ";", [=](U a, U b, U c) {
          U d = 0;
          for (U i = 0; i < 32; ++i) {
            const U row = ((a >> i) & 1) << 2 | ((b >> i) & 1) << 1 | ((c >> i) & 1);
            d |= ((table >> row) & 1) << i;
          }
          return d;
        }));
  }
  return cases;
}

// Sums of more than a register: the carry goes from one instruction to the next.
Cases carries() {
  using U = uint32_t;
  const auto split = [](uint64_t value) { return Words{value & 0xFFFFFFFF, value >> 32}; };
  const auto two = [&](const std::string& text, auto oracle) {
    OpcodeCase test{text, {4, Meaning::word32}, {2, Meaning::word32}, nullptr};
    test.oracle = [=](const Words& w) { return split(oracle(w[0] | w[1] << 32, w[2] | w[3] << 32)); };
    return test;
  };
  return {
      two("add.cc.u32 %d0, %a0, %a2; addc.u32 %d1, %a1, %a3;", [](uint64_t a, uint64_t b) { return a + b; }),
      two("sub.cc.u32 %d0, %a0, %a2; subc.u32 %d1, %a1, %a3;", [](uint64_t a, uint64_t b) { return a - b; }),
      typed_text<U(U, U, U)>("add.cc.u32 %r0, %a0, %a1; addc.cc.u32 %r1, %a2, %a2; addc.u32 %d0, 0, 0;",
                             [](U a, U b, U c) {
                               const uint64_t carry = (uint64_t{a} + b) >> 32;
                               return static_cast<U>((uint64_t{c} + c + carry) >> 32);
                             }),
      typed_text<U(U, U, U)>("mad.lo.cc.u32 %r0, %a0, %a1, %a2; madc.hi.u32 %d0, %a0, %a1, 7;",
                             [](U a, U b, U c) {
                               const uint64_t product = uint64_t{a} * b;
                               const uint64_t carry = ((product & 0xFFFFFFFF) + c) >> 32;
                               return static_cast<U>((product >> 32) + 7 + carry);
                             })};
}

template <class T>
Cases comparisons() {
  const std::string t = suffix<T>();
  Cases cases;
  const auto add = [&](const std::string& name, auto compare) {
    cases.push_back(typed<bool(T, T)>("setp." + name + "." + t, compare));
    cases.push_back(typed<uint32_t(T, T)>("set." + name + ".u32." + t,
                                          [=](T a, T b) { return compare(a, b) ? 0xFFFFFFFFU : 0U; }));
  };
  add("eq", [](T a, T b) { return a == b; });
  add("ne", [](T a, T b) { return a != b; });
  add("lt", [](T a, T b) { return a < b; });
  add("le", [](T a, T b) { return a <= b; });
  add("gt", [](T a, T b) { return a > b; });
  add("ge", [](T a, T b) { return a >= b; });
  return cases;
}

Cases predicates() {
  using I = int32_t;
  const auto both = [](const std::string& text, auto first, auto second) {
    OpcodeCase test{
        text, {Meaning::word32, Meaning::word32, Meaning::pred}, {Meaning::pred, Meaning::pred}, nullptr};
    test.oracle = [=](const Words& w) {
      const bool less = static_cast<I>(w[0]) < static_cast<I>(w[1]);
      return Words{first(less, w[2] != 0), second(less, w[2] != 0)};
    };
    return test;
  };
  return {
      both(
          "setp.lt.and.s32 %d0|%d1, %a0, %a1, %a2;", [](bool t, bool c) { return t && c; },
          [](bool t, bool c) { return !t && c; }),
      both(
          "setp.lt.or.s32 %d0|%d1, %a0, %a1, %a2;", [](bool t, bool c) { return t || c; },
          [](bool t, bool c) { return !t || c; }),
      both(
          "setp.lt.xor.s32 %d0|%d1, %a0, %a1, !%a2;", [](bool t, bool c) { return t != !c; },
          [](bool t, bool c) { return !t != !c; }),
      typed<bool(bool, bool)>("and.pred", [](bool a, bool b) { return a && b; }),
      typed<bool(bool, bool)>("or.pred", [](bool a, bool b) { return a || b; }),
      typed<bool(bool, bool)>("xor.pred", [](bool a, bool b) { return a != b; }),
      typed<bool(bool)>("not.pred", [](bool a) { return !a; }),
      typed_text<I(I, bool)>("mov.u32 %d0, 5; @%a1 mov.u32 %d0, %a0;", [](I a, bool p) { return p ? a : 5; }),
      typed_text<I(I, bool)>("mov.u32 %d0, 5; @!%a1 mov.u32 %d0, %a0;",
                             [](I a, bool p) { return p ? 5 : a; }),
  };
}

Cases moves() {
  using U = uint32_t;
  using L = uint64_t;
  const auto halves = [](const std::string& text) {
    OpcodeCase test{text, {Meaning::word64}, {Meaning::word32, Meaning::word32}, nullptr};
    test.oracle = [](const Words& w) { return Words{w[0] & 0xFFFFFFFF, w[0] >> 32}; };
    return test;
  };
  return {halves("mov.b64 {%d0, %d1}, %a0;"),
          typed_text<L(U, U)>("mov.b64 %d0, {%a0, %a1};", [](U a, U b) { return L{b} << 32 | a; }),
          typed_text<U(uint16_t, uint16_t)>("mov.b32 %d0, {%a0, %a1};",
                                            [](uint16_t a, uint16_t b) { return U{b} << 16 | a; }),
          typed_text<U(U)>("{ .reg .b16 %h<2>; mov.b32 {%h0, %h1}, %a0; mov.b32 %d0, {%h1, %h0}; }",
                           [](U a) { return a >> 16 | a << 16; }),
          typed<U(U)>("mov.u32", [](U a) { return a; })};
}

Cases integer_cases() {
  Cases cases;
  append(cases, arithmetic<int16_t>());
  append(cases, arithmetic<uint16_t>());
  append(cases, arithmetic<int32_t>());
  append(cases, arithmetic<uint32_t>());
  append(cases, arithmetic<int64_t>());
  append(cases, arithmetic<uint64_t>());
  append(cases, divisions<int16_t>());
  append(cases, divisions<uint16_t>());
  append(cases, divisions<int32_t>());
  append(cases, divisions<uint32_t>());
  append(cases, divisions<int64_t>());
  append(cases, divisions<uint64_t>());
  append(cases, widening<int16_t>());
  append(cases, widening<uint16_t>());
  append(cases, widening<int32_t>());
  append(cases, widening<uint32_t>());
  append(cases, logic<uint16_t>());
  append(cases, logic<uint32_t>());
  append(cases, logic<uint64_t>());
  append(cases, bit_fields<int32_t>());
  append(cases, bit_fields<uint32_t>());
  append(cases, bit_fields<int64_t>());
  append(cases, bit_fields<uint64_t>());
  append(cases, bit_counts<uint32_t>());
  append(cases, bit_counts<uint64_t>());
  append(cases, comparisons<int16_t>());
  append(cases, comparisons<uint16_t>());
  append(cases, comparisons<int32_t>());
  append(cases, comparisons<uint32_t>());
  append(cases, comparisons<int64_t>());
  append(cases, comparisons<uint64_t>());
  append(cases, permutations());
  append(cases, lookups());
  append(cases, carries());
  append(cases, predicates());
  append(cases, moves());
  return cases;
}

class IntegerOpcode : public OpcodeTest {};
TEST_P(IntegerOpcode, DoesWhatTheManualSays) { check_case(GetParam()); }
INSTANTIATE_TEST_SUITE_P(All, IntegerOpcode, testing::ValuesIn(integer_cases()), CaseName());

}  // namespace
}  // namespace softgpu
