#include "machine/move.h"

#include "machine/elementwise.h"
#include "machine/forms.h"

namespace softgpu {
namespace {

struct Same {
  template <class T>
  T operator()(T a) const {
    return a;
  }
};

template <class T, class P, int Count>
void pack(Machine& m, const Op& op, uint32_t mask) {
  const P* part[Count];
  for (int k = 0; k < Count; ++k) part[k] = m.reg<P>(op.r[1 + k]);
  each_lane(m.reg<T>(op.r[0]), mask, [&](int i) {
    T value = 0;
    for (int k = 0; k < Count; ++k)
      value |= static_cast<T>(static_cast<T>(part[k][i]) << (8 * sizeof(P) * k));
    return value;
  });
}

template <class T, class P, int Count>
void unpack(Machine& m, const Op& op, uint32_t mask) {
  T value[kLanes];
  const T* a = m.reg<T>(op.r[Count]);
  for (int i = 0; i < kLanes; ++i) value[i] = a[i];
  for (int k = 0; k < Count; ++k) {
    each_lane(m.reg<P>(op.r[k]), mask,
              [&](int i) { return static_cast<P>(value[i] >> (8 * sizeof(P) * k)); });
  }
}

template <class T>
void add_offset(Machine& m, const Op& op, uint32_t mask) {
  const T* a = m.reg<T>(op.r[1]);
  const T offset = static_cast<T>(op.imm);
  each_lane(m.reg<T>(op.r[0]), mask, [=](int i) { return a[i] + offset; });
}

void in_space(Machine& m, const Op& op, uint32_t mask) {
  const uint64_t* a = m.reg<uint64_t>(op.r[1]);
  auto space_of = [](uint64_t address) {
    if (address - kSharedWindow < kWindowBytes) return ptx::Space::shared;
    if (address - kLocalWindow < kWindowBytes) return ptx::Space::local;
    if (address - kParameterWindow < kWindowBytes) return ptx::Space::param;
    return ptx::Space::global;
  };
  m.set_predicate(op.r[0], mask, lanes_where([&](int i) { return space_of(a[i]) == op.space; }));
}

template <class T>
void clock(Machine& m, const Op& op, uint32_t mask) {
  uint64_t done = 0;
  for (const uint64_t count : m.program->warp_counts) done += count;
  each_lane(m.reg<T>(op.r[0]), mask, [=](int) { return static_cast<T>(done); });
}

}  // namespace

Handler move_handler(int bytes) {
  if (bytes == 2) return unary<Same, uint16_t>;
  return bytes == 4 ? unary<Same, uint32_t> : unary<Same, uint64_t>;
}

Handler pack_handler(int bytes, int parts) {
  if (bytes == 4 && parts == 2) return pack<uint32_t, uint16_t, 2>;
  if (bytes == 8 && parts == 2) return pack<uint64_t, uint32_t, 2>;
  return bytes == 8 && parts == 4 ? pack<uint64_t, uint16_t, 4> : nullptr;
}

Handler unpack_handler(int bytes, int parts) {
  if (bytes == 4 && parts == 2) return unpack<uint32_t, uint16_t, 2>;
  if (bytes == 8 && parts == 2) return unpack<uint64_t, uint32_t, 2>;
  return bytes == 8 && parts == 4 ? unpack<uint64_t, uint16_t, 4> : nullptr;
}

Handler offset_handler(int bytes) { return bytes == 4 ? add_offset<uint32_t> : add_offset<uint64_t>; }
Handler in_space_handler() { return in_space; }
Handler clock_handler(int bytes) { return bytes == 4 ? clock<uint32_t> : clock<uint64_t>; }

}  // namespace softgpu
