// setp and set (PTX ISA 9.7.6). An ordered comparison with a NaN is false, an unordered one (ltu, ...) true.

#include <cmath>
#include <string>
#include <type_traits>

#include "machine/elementwise.h"
#include "machine/forms.h"
#include "machine/half.h"
#include "machine/rounding.h"

namespace softgpu {
namespace {

struct Eq {
  template <class T>
  bool operator()(T a, T b) const {
    return a == b;
  }
};
struct Ne {
  template <class T>
  bool operator()(T a, T b) const {
    return a < b || a > b;
  }
};
struct Lt {
  template <class T>
  bool operator()(T a, T b) const {
    return a < b;
  }
};
struct Le {
  template <class T>
  bool operator()(T a, T b) const {
    return a <= b;
  }
};
struct Gt {
  template <class T>
  bool operator()(T a, T b) const {
    return a > b;
  }
};
struct Ge {
  template <class T>
  bool operator()(T a, T b) const {
    return a >= b;
  }
};
struct Equ {
  template <class T>
  bool operator()(T a, T b) const {
    return !(a < b || a > b);
  }
};
struct Neu {
  template <class T>
  bool operator()(T a, T b) const {
    return !(a == b);
  }
};
struct Ltu {
  template <class T>
  bool operator()(T a, T b) const {
    return !(a >= b);
  }
};
struct Leu {
  template <class T>
  bool operator()(T a, T b) const {
    return !(a > b);
  }
};
struct Gtu {
  template <class T>
  bool operator()(T a, T b) const {
    return !(a <= b);
  }
};
struct Geu {
  template <class T>
  bool operator()(T a, T b) const {
    return !(a < b);
  }
};
struct Num {
  template <class T>
  bool operator()(T a, T b) const {
    return a == a && b == b;
  }
};
struct Nan {
  template <class T>
  bool operator()(T a, T b) const {
    return a != a || b != b;
  }
};

// What a register of type T is compared as.
template <class T, bool Ftz>
auto value(T x) {
  if constexpr (std::is_same_v<T, Half> || std::is_same_v<T, Bfloat>)
    return to_float(x);
  else if constexpr (std::is_same_v<T, float>)
    return flush_if<Ftz>(x);
  else
    return x;
}

enum class Combine : uint8_t { alone, conjunction, disjunction, exclusive };

uint32_t combined(Combine how, uint32_t flags, uint32_t with) {
  switch (how) {
    case Combine::alone:
      return flags;
    case Combine::conjunction:
      return flags & with;
    case Combine::disjunction:
      return flags | with;
    case Combine::exclusive:
      return flags ^ with;
  }
  return flags;
}

// setp p|q, a, b{, c}: p = (a < b) and c, q = !(a < b) and c.
template <class F, class T, bool Ftz, Combine How>
void setp(Machine& m, const Op& op, uint32_t mask) {
  const T* a = m.reg<T>(op.r[2]);
  const T* b = m.reg<T>(op.r[3]);
  const uint32_t flags = lanes_where([=](int i) { return F()(value<T, Ftz>(a[i]), value<T, Ftz>(b[i])); });
  const uint32_t with = How == Combine::alone ? 0 : m.predicate(op.r[4]);
  m.set_predicate(op.r[1], mask, combined(How, ~flags, with));
  m.set_predicate(op.r[0], mask, combined(How, flags, with));
}

// set: all ones, or 1.0 where the destination is a float.
template <class F, class T, bool Ftz, bool Float>
void set(Machine& m, const Op& op, uint32_t mask) {
  const T* a = m.reg<T>(op.r[1]);
  const T* b = m.reg<T>(op.r[2]);
  each_lane(m.reg<uint32_t>(op.r[0]), mask, [=](int i) {
    return F()(value<T, Ftz>(a[i]), value<T, Ftz>(b[i])) ? (Float ? 0x3F800000U : 0xFFFFFFFFU) : 0U;
  });
}

template <class F, class T, bool Ftz>
void add(Forms& forms, const std::string& comparison, const std::string& type, char l) {
  const std::string two = {l, l};
  const std::string ftz = Ftz ? ".ftz" : "";
  auto add_setp = [&](const std::string& combine, Handler run, const std::string& third) {
    forms["setp." + comparison + combine + ftz + "." + type] = {run, "p?p:" + two + third, Kind::compare,
                                                                Control::plain};
  };
  add_setp("", setp<F, T, Ftz, Combine::alone>, "");
  add_setp(".and", setp<F, T, Ftz, Combine::conjunction>, "p");
  add_setp(".or", setp<F, T, Ftz, Combine::disjunction>, "p");
  add_setp(".xor", setp<F, T, Ftz, Combine::exclusive>, "p");
  for (const char* d : {"u32", "s32"}) {
    forms["set." + comparison + ftz + "." + d + "." + type] = {set<F, T, Ftz, false>, "w:" + two,
                                                               Kind::compare, Control::plain};
  }
  forms["set." + comparison + ftz + ".f32." + type] = {set<F, T, Ftz, true>, "w:" + two, Kind::compare,
                                                       Control::plain};
}

template <class T>
void add_integer(Forms& forms, const std::string& type, char l) {
  add<Eq, T, false>(forms, "eq", type, l);
  add<Ne, T, false>(forms, "ne", type, l);
  if (type[0] == 'b') return;
  add<Lt, T, false>(forms, "lt", type, l);
  add<Le, T, false>(forms, "le", type, l);
  add<Gt, T, false>(forms, "gt", type, l);
  add<Ge, T, false>(forms, "ge", type, l);
  if (type[0] == 's') return;
  add<Lt, T, false>(forms, "lo", type, l);
  add<Le, T, false>(forms, "ls", type, l);
  add<Gt, T, false>(forms, "hi", type, l);
  add<Ge, T, false>(forms, "hs", type, l);
}

template <class T, bool Ftz = false>
void add_real(Forms& forms, const std::string& type, char l) {
  add<Eq, T, Ftz>(forms, "eq", type, l);
  add<Ne, T, Ftz>(forms, "ne", type, l);
  add<Lt, T, Ftz>(forms, "lt", type, l);
  add<Le, T, Ftz>(forms, "le", type, l);
  add<Gt, T, Ftz>(forms, "gt", type, l);
  add<Ge, T, Ftz>(forms, "ge", type, l);
  add<Equ, T, Ftz>(forms, "equ", type, l);
  add<Neu, T, Ftz>(forms, "neu", type, l);
  add<Ltu, T, Ftz>(forms, "ltu", type, l);
  add<Leu, T, Ftz>(forms, "leu", type, l);
  add<Gtu, T, Ftz>(forms, "gtu", type, l);
  add<Geu, T, Ftz>(forms, "geu", type, l);
  add<Num, T, Ftz>(forms, "num", type, l);
  add<Nan, T, Ftz>(forms, "nan", type, l);
}

}  // namespace

void add_compare_forms(Forms& forms) {
  add_integer<uint16_t>(forms, "b16", 'h');
  add_integer<uint16_t>(forms, "u16", 'h');
  add_integer<int16_t>(forms, "s16", 'h');
  add_integer<uint32_t>(forms, "b32", 'w');
  add_integer<uint32_t>(forms, "u32", 'w');
  add_integer<int32_t>(forms, "s32", 'w');
  add_integer<uint64_t>(forms, "b64", 'd');
  add_integer<uint64_t>(forms, "u64", 'd');
  add_integer<int64_t>(forms, "s64", 'd');
  add_real<float>(forms, "f32", 'w');
  add_real<float, true>(forms, "f32", 'w');
  add_real<double>(forms, "f64", 'd');
  add_real<Half>(forms, "f16", 'h');
  add_real<Bfloat>(forms, "bf16", 'h');
}

}  // namespace softgpu
