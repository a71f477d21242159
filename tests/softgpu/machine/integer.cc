// add, sub, mul, mad, div, rem, min, max, abs, neg and their carries (PTX ISA 9.7.1, 9.7.2).

#include <algorithm>
#include <limits>
#include <type_traits>

#include "machine/elementwise.h"
#include "machine/forms.h"

namespace softgpu {
namespace {

template <class T>
struct Wide;
template <>
struct Wide<uint16_t> {
  using type = uint32_t;
};
template <>
struct Wide<int16_t> {
  using type = int32_t;
};
template <>
struct Wide<uint32_t> {
  using type = uint64_t;
};
template <>
struct Wide<int32_t> {
  using type = int64_t;
};
template <>
struct Wide<uint64_t> {
  __extension__ using type = unsigned __int128;
};
template <>
struct Wide<int64_t> {
  __extension__ using type = __int128;
};
template <class T>
using wide = typename Wide<T>::type;
// In which T's arithmetic wraps around.
template <class T>
using wrapping = std::conditional_t<sizeof(T) < 4, uint32_t, std::make_unsigned_t<T>>;

template <class T>
struct Add {
  T operator()(T a, T b) const { return static_cast<T>(wrapping<T>(a) + wrapping<T>(b)); }
};
template <class T>
struct Sub {
  T operator()(T a, T b) const { return static_cast<T>(wrapping<T>(a) - wrapping<T>(b)); }
};
template <class T>
struct MulLow {
  T operator()(T a, T b) const { return static_cast<T>(wrapping<T>(a) * wrapping<T>(b)); }
};
template <class T>
struct MulHigh {
  T operator()(T a, T b) const { return static_cast<T>((wide<T>(a) * wide<T>(b)) >> (8 * sizeof(T))); }
};
template <class T>
struct MulWide {
  wide<T> operator()(T a, T b) const { return wide<T>(a) * wide<T>(b); }
};
template <class T>
struct MadLow {
  T operator()(T a, T b, T c) const { return Add<T>()(MulLow<T>()(a, b), c); }
};
template <class T>
struct MadHigh {
  T operator()(T a, T b, T c) const { return Add<T>()(MulHigh<T>()(a, b), c); }
};
template <class T>
struct MadWide {
  wide<T> operator()(T a, T b, wide<T> c) const { return Add<wide<T>>()(MulWide<T>()(a, b), c); }
};
// A quotient by zero is unspecified; hardware gives all ones, and the remainder is then the dividend.
template <class T>
struct Div {
  T operator()(T a, T b) const {
    if (b == 0) return static_cast<T>(-1);
    if (std::is_signed_v<T> && b == static_cast<T>(-1)) return Sub<T>()(0, a);
    return static_cast<T>(a / b);
  }
};
template <class T>
struct Rem {
  T operator()(T a, T b) const { return Sub<T>()(a, b == 0 ? 0 : MulLow<T>()(Div<T>()(a, b), b)); }
};
template <class T>
struct Min {
  T operator()(T a, T b) const { return a < b ? a : b; }
};
template <class T>
struct Max {
  T operator()(T a, T b) const { return a > b ? a : b; }
};
template <class T>
struct Abs {
  T operator()(T a) const { return a < 0 ? Sub<T>()(0, a) : a; }
};
template <class T>
struct Neg {
  T operator()(T a) const { return Sub<T>()(0, a); }
};
template <class T>
struct Sad {
  T operator()(T a, T b, T c) const { return Add<T>()(c, a < b ? Sub<T>()(b, a) : Sub<T>()(a, b)); }
};
struct AddSat {
  int32_t operator()(int32_t a, int32_t b) const {
    return static_cast<int32_t>(std::clamp<int64_t>(int64_t{a} + b, INT32_MIN, INT32_MAX));
  }
};
struct SubSat {
  int32_t operator()(int32_t a, int32_t b) const {
    return static_cast<int32_t>(std::clamp<int64_t>(int64_t{a} - b, INT32_MIN, INT32_MAX));
  }
};

// add.cc, addc, sub.cc, subc: In reads the carry, Out writes it. A subtraction's carry is its borrow.
template <class T, bool Subtract, bool In, bool Out>
void add_carry(Machine& m, const Op& op, uint32_t mask) {
  T* d = m.reg<T>(op.r[0]);
  const T* a = m.reg<T>(op.r[1]);
  const T* b = m.reg<T>(op.r[2]);
  uint32_t carry = m.warp->carry;
  for_lanes(mask, [&](int i) {
    const wide<T> in = In && has(carry, i) ? 1 : 0;
    const wide<T> sum = Subtract ? wide<T>(a[i]) - b[i] - in : wide<T>(a[i]) + b[i] + in;
    d[i] = static_cast<T>(sum);
    const uint32_t out = ((sum >> (8 * sizeof(T))) & 1) != 0 ? 1U << i : 0;
    if (Out) carry = (carry & ~(1U << i)) | out;
  });
  m.warp->carry = carry;
}

// mad.lo.cc, madc.hi, ...
template <class T, bool High, bool In, bool Out>
void mad_carry(Machine& m, const Op& op, uint32_t mask) {
  T* d = m.reg<T>(op.r[0]);
  const T* a = m.reg<T>(op.r[1]);
  const T* b = m.reg<T>(op.r[2]);
  const T* c = m.reg<T>(op.r[3]);
  uint32_t carry = m.warp->carry;
  for_lanes(mask, [&](int i) {
    const T product = High ? MulHigh<T>()(a[i], b[i]) : MulLow<T>()(a[i], b[i]);
    const wide<T> sum = wide<T>(product) + c[i] + (In && has(carry, i) ? 1 : 0);
    d[i] = static_cast<T>(sum);
    const uint32_t out = (sum >> (8 * sizeof(T))) != 0 ? 1U << i : 0;
    if (Out) carry = (carry & ~(1U << i)) | out;
  });
  m.warp->carry = carry;
}

template <class T>
char letter() {
  return sizeof(T) == 2 ? 'h' : sizeof(T) == 4 ? 'w' : 'd';
}

template <class T>
void add_type(Forms& forms, const std::string& type) {
  const char l = letter<T>();
  const std::string two = {l, ':', l, l};
  const std::string three = {l, ':', l, l, l};
  auto add = [&](const std::string& name, Handler run, const std::string& operands) {
    forms[name + "." + type] = {run, operands, Kind::integer, Control::plain};
  };
  add("add", binary<Add<T>, T>, two);
  add("sub", binary<Sub<T>, T>, two);
  add("mul.lo", binary<MulLow<T>, T>, two);
  add("mul.hi", binary<MulHigh<T>, T>, two);
  add("mad.lo", ternary<MadLow<T>, T>, three);
  add("mad.hi", ternary<MadHigh<T>, T>, three);
  add("div", binary<Div<T>, T>, two);
  add("rem", binary<Rem<T>, T>, two);
  add("min", binary<Min<T>, T>, two);
  add("max", binary<Max<T>, T>, two);
  add("sad", ternary<Sad<T>, T>, three);
  if constexpr (std::is_signed_v<T>) {
    add("abs", unary<Abs<T>, T>, {l, ':', l});
    add("neg", unary<Neg<T>, T>, {l, ':', l});
  }
  if constexpr (sizeof(T) <= 4) {
    const char w = letter<wide<T>>();
    add("mul.wide", binary<MulWide<T>, wide<T>, T>, {w, ':', l, l});
    add("mad.wide", ternary<MadWide<T>, wide<T>, T, T, wide<T>>, {w, ':', l, l, w});
  }
}

template <class T>
void add_carries(Forms& forms, const std::string& type) {
  const char l = letter<T>();
  auto add = [&](const std::string& name, Handler run, int sources) {
    forms[name + "." + type] = {run, std::string{l, ':'} + std::string(sources, l), Kind::integer,
                                Control::plain};
  };
  add("add.cc", add_carry<T, false, false, true>, 2);
  add("addc", add_carry<T, false, true, false>, 2);
  add("addc.cc", add_carry<T, false, true, true>, 2);
  add("sub.cc", add_carry<T, true, false, true>, 2);
  add("subc", add_carry<T, true, true, false>, 2);
  add("subc.cc", add_carry<T, true, true, true>, 2);
}

void add_mad_carries(Forms& forms, const std::string& type) {
  auto add = [&](const std::string& name, Handler run) {
    forms[name + "." + type] = {run, "w:www", Kind::integer, Control::plain};
  };
  add("mad.lo.cc", mad_carry<uint32_t, false, false, true>);
  add("madc.lo", mad_carry<uint32_t, false, true, false>);
  add("madc.lo.cc", mad_carry<uint32_t, false, true, true>);
  if (type != "u32") return;
  add("mad.hi.cc", mad_carry<uint32_t, true, false, true>);
  add("madc.hi", mad_carry<uint32_t, true, true, false>);
  add("madc.hi.cc", mad_carry<uint32_t, true, true, true>);
}

}  // namespace

void add_integer_forms(Forms& forms) {
  add_type<uint16_t>(forms, "u16");
  add_type<int16_t>(forms, "s16");
  add_type<uint32_t>(forms, "u32");
  add_type<int32_t>(forms, "s32");
  add_type<uint64_t>(forms, "u64");
  add_type<int64_t>(forms, "s64");
  for (const char* type : {"u32", "s32", "b32"}) add_carries<uint32_t>(forms, type);
  for (const char* type : {"u64", "s64", "b64"}) add_carries<uint64_t>(forms, type);
  add_mad_carries(forms, "u32");
  add_mad_carries(forms, "s32");
  forms["add.sat.s32"] = {binary<AddSat, int32_t>, "w:ww", Kind::integer, Control::plain};
  forms["sub.sat.s32"] = {binary<SubSat, int32_t>, "w:ww", Kind::integer, Control::plain};
}

}  // namespace softgpu
