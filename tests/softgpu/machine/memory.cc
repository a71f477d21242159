// ld and st in every state space (PTX ISA 9.7.9).

#include "machine/memory.h"

#include <cstring>
#include <type_traits>

#include "machine/access.h"

namespace softgpu {
namespace {

// M: an element in memory; R: the register, which may be wider and is then extended by M's sign.
template <class M, class R, int Count>
void load(Machine& m, const Op& op, uint32_t mask) {
  Access access;
  addresses(m, op.r[Count], op.wide_address, op.imm, access.address);
  locate(m, op, mask, Direction::read, access);
  if constexpr (Count == 1 && sizeof(M) == sizeof(R)) {
    if (access.contiguous) {
      std::memcpy(m.reg<R>(op.r[0]), access.at[0], sizeof(R) * kLanes);
      return;
    }
  }
  R* d[Count];
  for (int k = 0; k < Count; ++k) d[k] = m.reg<R>(op.r[k]);
  for_lanes(mask, [&](int i) {
    M value[Count];
    std::memcpy(value, access.at[i], sizeof value);
    for (int k = 0; k < Count; ++k) d[k][i] = static_cast<R>(value[k]);
  });
}

template <class M, class R, int Count>
void store(Machine& m, const Op& op, uint32_t mask) {
  Access access;
  addresses(m, op.r[0], op.wide_address, op.imm, access.address);
  locate(m, op, mask, Direction::write, access);
  const R* s[Count];
  for (int k = 0; k < Count; ++k) s[k] = m.reg<R>(op.r[1 + k]);
  if constexpr (Count == 1 && sizeof(M) == sizeof(R)) {
    if (access.contiguous) {
      std::memcpy(access.at[0], s[0], sizeof(R) * kLanes);
      return;
    }
  }
  auto value_of = [&](int i, M(&value)[Count]) {
    for (int k = 0; k < Count; ++k) value[k] = static_cast<M>(s[k][i]);
  };
  for_lanes(mask, [&](int i) {
    M value[Count];
    value_of(i, value);
    std::memcpy(access.at[i], value, sizeof value);
  });
  // Lanes that wrote other values to one address: which stays is not said.
  for_lanes(mask, [&](int i) {
    M value[Count];
    value_of(i, value);
    if (std::memcmp(access.at[i], value, sizeof value) != 0) {
      m.fault(op, i, "race", "lanes of one warp write different values to one address in one instruction");
    }
  });
}

template <class M, class R, bool Load>
Handler by_count(int count) {
  switch (count) {
    case 1:
      return Load ? load<M, R, 1> : store<M, R, 1>;
    case 2:
      return Load ? load<M, R, 2> : store<M, R, 2>;
    case 4:
      return Load ? load<M, R, 4> : store<M, R, 4>;
    case 8:
      return sizeof(M) <= 4 ? (Load ? load<M, R, 8> : store<M, R, 8>) : nullptr;
    default:
      return nullptr;
  }
}

template <class M, bool Load>
Handler by_register(int count, int register_bytes) {
  if constexpr (sizeof(M) <= 2) {
    if (register_bytes == 2) return by_count<M, uint16_t, Load>(count);
  }
  if constexpr (sizeof(M) <= 4) {
    if (register_bytes == 4) return by_count<M, uint32_t, Load>(count);
  }
  return register_bytes == 8 ? by_count<M, uint64_t, Load>(count) : nullptr;
}

template <bool Load>
Handler by_element(ptx::Type element, int count, int register_bytes) {
  using ptx::Type;
  const bool sign = Load && (element == Type::s8 || element == Type::s16 || element == Type::s32);
  switch (ptx::bytes(element)) {
    case 1:
      return sign ? by_register<int8_t, Load>(count, register_bytes)
                  : by_register<uint8_t, Load>(count, register_bytes);
    case 2:
      return sign ? by_register<int16_t, Load>(count, register_bytes)
                  : by_register<uint16_t, Load>(count, register_bytes);
    case 4:
      return sign ? by_register<int32_t, Load>(count, register_bytes)
                  : by_register<uint32_t, Load>(count, register_bytes);
    case 8:
      return by_register<uint64_t, Load>(count, register_bytes);
    default:
      return nullptr;
  }
}

}  // namespace

Handler load_handler(ptx::Type element, int count, int register_bytes) {
  return by_element<true>(element, count, register_bytes);
}
Handler store_handler(ptx::Type element, int count, int register_bytes) {
  return by_element<false>(element, count, register_bytes);
}

}  // namespace softgpu
