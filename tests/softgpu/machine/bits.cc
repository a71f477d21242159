// Logic, shifts, bit fields, byte permutation (PTX ISA 9.7.1.13 to 9.7.1.24, 9.7.8) and selp.

#include <bit>
#include <type_traits>

#include "machine/elementwise.h"
#include "machine/forms.h"

namespace softgpu {
namespace {

struct And {
  template <class T>
  T operator()(T a, T b) const {
    return static_cast<T>(a & b);
  }
};
struct Or {
  template <class T>
  T operator()(T a, T b) const {
    return static_cast<T>(a | b);
  }
};
struct Xor {
  template <class T>
  T operator()(T a, T b) const {
    return static_cast<T>(a ^ b);
  }
};
struct Not {
  template <class T>
  T operator()(T a) const {
    return static_cast<T>(~a);
  }
};
struct CNot {
  template <class T>
  T operator()(T a) const {
    return a == 0 ? 1 : 0;
  }
};
// Shifts are by 32 bits' worth of amount, clamped to the width.
template <class T>
struct Shl {
  T operator()(T a, uint32_t n) const {
    return n >= 8 * sizeof(T) ? T{0} : static_cast<T>(a << (n & (8 * sizeof(T) - 1)));
  }
};
template <class T>
struct Shr {
  T operator()(T a, uint32_t n) const {
    constexpr uint32_t bits = 8 * sizeof(T);
    if constexpr (std::is_signed_v<T>) return static_cast<T>(a >> (n >= bits ? bits - 1 : n));
    return n >= bits ? T{0} : static_cast<T>(a >> (n & (bits - 1)));
  }
};
struct Popc {
  template <class T>
  uint32_t operator()(T a) const {
    return static_cast<uint32_t>(std::popcount(a));
  }
};
struct Clz {
  template <class T>
  uint32_t operator()(T a) const {
    return static_cast<uint32_t>(std::countl_zero(a));
  }
};
template <class T>
T reversed(T a) {
  T out = 0;
  for (size_t i = 0; i < 8 * sizeof(T); ++i) out |= ((a >> i) & 1) << (8 * sizeof(T) - 1 - i);
  return out;
}
struct Brev {
  template <class T>
  T operator()(T a) const {
    return reversed(a);
  }
};

// The most significant bit that differs from the sign, or its distance from the top.
template <class T, bool ShiftAmount>
struct Bfind {
  uint32_t operator()(T a) const {
    using U = std::make_unsigned_t<T>;
    const U bits = static_cast<U>(a < 0 ? ~a : a);
    if (bits == 0) return 0xFFFFFFFF;
    const auto zeros = static_cast<uint32_t>(std::countl_zero(bits));
    return ShiftAmount ? zeros : 8 * sizeof(T) - 1 - zeros;
  }
};

template <class T>
struct Bfe {
  T operator()(T a, uint32_t position, uint32_t length) const {
    constexpr uint32_t msb = 8 * sizeof(T) - 1;
    using U = std::make_unsigned_t<T>;
    const uint32_t p = position & 0xFF;
    const uint32_t n = length & 0xFF;
    if (n == 0) return 0;
    const uint32_t last = std::min(p + n - 1, msb);
    const bool sign = std::is_signed_v<T> && ((U(a) >> last) & 1) != 0;
    U value = p > msb ? U{0} : U(a) >> p;
    const uint32_t kept = p > msb ? 0 : std::min(n, msb - p + 1);
    const U low = kept > msb ? ~U{0} : (U{1} << kept) - 1;
    value &= low;
    return static_cast<T>(sign ? value | ~low : value);
  }
};

template <class T>
struct Bfi {
  T operator()(T a, T b, uint32_t position, uint32_t length) const {
    constexpr uint32_t width = 8 * sizeof(T);
    const uint32_t p = position & 0xFF;
    const uint32_t n = std::min(length & 0xFF, width);
    if (n == 0 || p >= width) return b;
    const T field = (n >= width ? ~T{0} : (T{1} << n) - 1) << p;
    return (b & ~field) | ((a << p) & field);
  }
};

template <class T>
void bit_field_insert(Machine& m, const Op& op, uint32_t mask) {
  const T* a = m.reg<T>(op.r[1]);
  const T* b = m.reg<T>(op.r[2]);
  const uint32_t* p = m.reg<uint32_t>(op.r[3]);
  const uint32_t* n = m.reg<uint32_t>(op.r[4]);
  each_lane(m.reg<T>(op.r[0]), mask, [=](int i) { return Bfi<T>()(a[i], b[i], p[i], n[i]); });
}

template <bool Left, bool Clamp>
struct Shf {
  uint32_t operator()(uint32_t low, uint32_t high, uint32_t amount) const {
    const uint32_t n = Clamp ? std::min(amount, 32U) : amount & 31;
    const uint64_t both = uint64_t{high} << 32 | low;
    return static_cast<uint32_t>(Left ? (both << n) >> 32 : both >> n);
  }
};

uint32_t permute(uint32_t a, uint32_t b, uint32_t selector) {
  const uint64_t bytes = uint64_t{b} << 32 | a;
  uint32_t out = 0;
  for (int i = 0; i < 4; ++i) {
    const uint32_t s = selector >> (4 * i);
    auto byte = static_cast<uint8_t>(bytes >> (8 * (s & 7)));
    if ((s & 8) != 0) byte = (byte & 0x80) != 0 ? 0xFF : 0;
    out |= uint32_t{byte} << (8 * i);
  }
  return out;
}
struct Prmt {
  uint32_t operator()(uint32_t a, uint32_t b, uint32_t s) const { return permute(a, b, s); }
};

void lop3(Machine& m, const Op& op, uint32_t mask) {
  const uint32_t* a = m.reg<uint32_t>(op.r[1]);
  const uint32_t* b = m.reg<uint32_t>(op.r[2]);
  const uint32_t* c = m.reg<uint32_t>(op.r[3]);
  uint32_t minterm[8];
  for (int i = 0; i < 8; ++i) minterm[i] = ((op.imm >> i) & 1) != 0 ? ~0U : 0U;
  each_lane(m.reg<uint32_t>(op.r[0]), mask, [=](int i) {
    const uint32_t x = a[i], y = b[i], z = c[i];
    return (~x & ~y & ~z & minterm[0]) | (~x & ~y & z & minterm[1]) | (~x & y & ~z & minterm[2]) |
           (~x & y & z & minterm[3]) | (x & ~y & ~z & minterm[4]) | (x & ~y & z & minterm[5]) |
           (x & y & ~z & minterm[6]) | (x & y & z & minterm[7]);
  });
}

template <class F>
void predicate_binary(Machine& m, const Op& op, uint32_t mask) {
  m.set_predicate(op.r[0], mask, F()(m.predicate(op.r[1]), m.predicate(op.r[2])));
}
void predicate_not(Machine& m, const Op& op, uint32_t mask) {
  m.set_predicate(op.r[0], mask, ~m.predicate(op.r[1]));
}
void predicate_move(Machine& m, const Op& op, uint32_t mask) {
  m.set_predicate(op.r[0], mask, m.predicate(op.r[1]));
}

template <class T>
void select(Machine& m, const Op& op, uint32_t mask) {
  const T* a = m.reg<T>(op.r[1]);
  const T* b = m.reg<T>(op.r[2]);
  const uint32_t flags = m.predicate(op.r[3]);
  each_lane(m.reg<T>(op.r[0]), mask, [=](int i) { return has(flags, i) ? a[i] : b[i]; });
}

template <class U, class S>
void add_width(Forms& forms, const std::string& width, char l) {
  auto add = [&](const std::string& name, Handler run, const std::string& operands) {
    forms[name + width] = {run, operands, Kind::integer, Control::plain};
  };
  const std::string one = {l, ':', l};
  const std::string two = {l, ':', l, l};
  const std::string shift = {l, ':', l, 'w'};
  add("and.b", binary<And, U>, two);
  add("or.b", binary<Or, U>, two);
  add("xor.b", binary<Xor, U>, two);
  add("not.b", unary<Not, U>, one);
  add("cnot.b", unary<CNot, U>, one);
  add("shl.b", binary<Shl<U>, U, U, uint32_t>, shift);
  add("shr.b", binary<Shr<U>, U, U, uint32_t>, shift);
  add("shr.u", binary<Shr<U>, U, U, uint32_t>, shift);
  add("shr.s", binary<Shr<S>, S, S, uint32_t>, shift);
  if constexpr (sizeof(U) >= 4) {
    add("popc.b", unary<Popc, uint32_t, U>, {'w', ':', l});
    add("clz.b", unary<Clz, uint32_t, U>, {'w', ':', l});
    add("brev.b", unary<Brev, U>, one);
    add("bfind.u", unary<Bfind<U, false>, uint32_t, U>, {'w', ':', l});
    add("bfind.s", unary<Bfind<S, false>, uint32_t, S>, {'w', ':', l});
    add("bfind.shiftamt.u", unary<Bfind<U, true>, uint32_t, U>, {'w', ':', l});
    add("bfind.shiftamt.s", unary<Bfind<S, true>, uint32_t, S>, {'w', ':', l});
    add("bfe.u", ternary<Bfe<U>, U, U, uint32_t, uint32_t>, {l, ':', l, 'w', 'w'});
    add("bfe.s", ternary<Bfe<S>, S, S, uint32_t, uint32_t>, {l, ':', l, 'w', 'w'});
    add("bfi.b", bit_field_insert<U>, {l, ':', l, l, 'w', 'w'});
  }
  for (const char* type : {"b", "u", "s", "f"}) {
    if (*type == 'f' && sizeof(U) < 4) continue;
    forms[std::string("selp.") + type + width] = {select<U>, {l, ':', l, l, 'p'}, Kind::move, Control::plain};
  }
}

}  // namespace

void add_bit_forms(Forms& forms) {
  add_width<uint16_t, int16_t>(forms, "16", 'h');
  add_width<uint32_t, int32_t>(forms, "32", 'w');
  add_width<uint64_t, int64_t>(forms, "64", 'd');
  forms["and.pred"] = {predicate_binary<And>, "p:pp", Kind::compare, Control::plain};
  forms["or.pred"] = {predicate_binary<Or>, "p:pp", Kind::compare, Control::plain};
  forms["xor.pred"] = {predicate_binary<Xor>, "p:pp", Kind::compare, Control::plain};
  forms["not.pred"] = {predicate_not, "p:p", Kind::compare, Control::plain};
  forms["mov.pred"] = {predicate_move, "p:p", Kind::compare, Control::plain};
  forms["prmt.b32"] = {ternary<Prmt, uint32_t>, "w:www", Kind::integer, Control::plain};
  forms["lop3.b32"] = {lop3, "w:wwwi", Kind::integer, Control::plain};
  forms["shf.l.wrap.b32"] = {ternary<Shf<true, false>, uint32_t>, "w:www", Kind::integer, Control::plain};
  forms["shf.l.clamp.b32"] = {ternary<Shf<true, true>, uint32_t>, "w:www", Kind::integer, Control::plain};
  forms["shf.r.wrap.b32"] = {ternary<Shf<false, false>, uint32_t>, "w:www", Kind::integer, Control::plain};
  forms["shf.r.clamp.b32"] = {ternary<Shf<false, true>, uint32_t>, "w:www", Kind::integer, Control::plain};
}

}  // namespace softgpu
