// atom and red (PTX ISA 9.7.13.3, 9.7.13.5): lanes one after another, in order.

#include <cstring>
#include <string>
#include <type_traits>
#include <unordered_map>

#include "machine/access.h"
#include "machine/half.h"
#include "machine/memory.h"
#include "machine/rounding.h"

namespace softgpu {
namespace {

struct Add {
  template <class T>
  T operator()(T old, T b, T) const {
    return old + b;
  }
};
struct Min {
  template <class T>
  T operator()(T old, T b, T) const {
    return old < b ? old : b;
  }
};
struct Max {
  template <class T>
  T operator()(T old, T b, T) const {
    return old > b ? old : b;
  }
};
struct And {
  template <class T>
  T operator()(T old, T b, T) const {
    return old & b;
  }
};
struct Or {
  template <class T>
  T operator()(T old, T b, T) const {
    return old | b;
  }
};
struct Xor {
  template <class T>
  T operator()(T old, T b, T) const {
    return old ^ b;
  }
};
struct Exchange {
  template <class T>
  T operator()(T, T b, T) const {
    return b;
  }
};
struct Increment {
  template <class T>
  T operator()(T old, T b, T) const {
    return old >= b ? T{0} : old + 1;
  }
};
struct Decrement {
  template <class T>
  T operator()(T old, T b, T) const {
    return old == 0 || old > b ? b : old - 1;
  }
};
struct Cas {
  template <class T>
  T operator()(T old, T b, T c) const {
    return old == b ? c : old;
  }
};

// A pair or one of 16-bit floats is added as such.
template <class H, int Count>
struct HalfAdd {
  template <class T>
  T operator()(T old, T b, T) const {
    T sum = 0;
    for (int k = 0; k < Count; ++k) {
      const H x{static_cast<uint16_t>(old >> (16 * k))};
      const H y{static_cast<uint16_t>(b >> (16 * k))};
      sum |= static_cast<T>(T{to_half<H>(to_float(x) + to_float(y)).bits} << (16 * k));
    }
    return sum;
  }
};

template <class F, class T, bool Returns, bool Third>
void atomic(Machine& m, const Op& op, uint32_t mask) {
  Access access;
  constexpr int address = Returns ? 1 : 0;
  addresses(m, op.r[address], op.wide_address, op.imm, access.address);
  locate(m, op, mask, Direction::both, access);
  const T* b = m.reg<T>(op.r[address + 1]);
  const T* c = Third ? m.reg<T>(op.r[address + 2]) : b;
  for_lanes(mask, [&](int i) {
    T old;
    std::memcpy(&old, access.at[i], sizeof old);
    const T made = F()(old, b[i], c[i]);
    std::memcpy(access.at[i], &made, sizeof made);
    if (Returns) m.reg<T>(op.r[0])[i] = old;
  });
}

using Table = std::unordered_map<std::string, std::pair<Handler, Handler>>;  // with a destination, without

template <class F, class T, bool Third = false>
void add(Table& table, const std::string& name) {
  table[name] = {atomic<F, T, true, Third>, atomic<F, T, false, Third>};
}

template <class T>
void add_bits(Table& table, const std::string& type) {
  add<And, T>(table, "and." + type);
  add<Or, T>(table, "or." + type);
  add<Xor, T>(table, "xor." + type);
  add<Exchange, T>(table, "exch." + type);
  add<Cas, T, true>(table, "cas." + type);
}

template <class T>
void add_order(Table& table, const std::string& type) {
  add<Min, T>(table, "min." + type);
  add<Max, T>(table, "max." + type);
}

Table make_table() {
  Table table;
  add_bits<uint16_t>(table, "b16");
  add_bits<uint32_t>(table, "b32");
  add_bits<uint64_t>(table, "b64");
  add_order<uint32_t>(table, "u32");
  add_order<int32_t>(table, "s32");
  add_order<uint64_t>(table, "u64");
  add_order<int64_t>(table, "s64");
  add<Add, uint32_t>(table, "add.u32");
  add<Add, uint32_t>(table, "add.s32");
  add<Add, uint64_t>(table, "add.u64");
  add<Add, float>(table, "add.f32");
  add<Add, double>(table, "add.f64");
  add<HalfAdd<Half, 1>, uint16_t>(table, "add.noftz.f16");
  add<HalfAdd<Bfloat, 1>, uint16_t>(table, "add.noftz.bf16");
  add<HalfAdd<Half, 2>, uint32_t>(table, "add.noftz.f16x2");
  add<HalfAdd<Bfloat, 2>, uint32_t>(table, "add.noftz.bf16x2");
  add<Increment, uint32_t>(table, "inc.u32");
  add<Decrement, uint32_t>(table, "dec.u32");
  return table;
}

}  // namespace

Handler atomic_handler(const std::string& operation, const std::string& type, bool returns) {
  static const Table table = make_table();
  const auto found = table.find(operation + "." + type);
  if (found == table.end()) return nullptr;
  return returns ? found->second.first : found->second.second;
}

}  // namespace softgpu
