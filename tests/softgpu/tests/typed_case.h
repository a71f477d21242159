#pragma once

// Oracles as functions of C++ types.

#include <cstdint>
#include <string>
#include <type_traits>
#include <utility>

#include "tests/cases.h"
#include "tests/numbers.h"

namespace softgpu {

__extension__ using Int128 = __int128;
__extension__ using Uint128 = unsigned __int128;

/// A position, a length or a shift.
struct Amount {
  uint32_t value;
};

template <class T>
constexpr Meaning meaning_of() {
  if constexpr (std::is_same_v<T, bool>) return Meaning::pred;
  if constexpr (std::is_same_v<T, Amount>) return Meaning::amount;
  if constexpr (std::is_same_v<T, float>) return Meaning::f32;
  if constexpr (std::is_same_v<T, double>) return Meaning::f64;
  if constexpr (sizeof(T) == 1) return Meaning::byte;
  if constexpr (sizeof(T) == 2) return Meaning::word16;
  return sizeof(T) == 4 ? Meaning::word32 : Meaning::word64;
}

template <class T>
T from_word(uint64_t word) {
  if constexpr (std::is_same_v<T, Amount>) {
    return {static_cast<uint32_t>(word)};
  } else if constexpr (std::is_same_v<T, float>) {
    return to_float(word);
  } else if constexpr (std::is_same_v<T, double>) {
    return to_double(word);
  } else {
    return static_cast<T>(word);
  }
}

template <class T>
uint64_t to_word(T value) {
  if constexpr (std::is_same_v<T, float>) {
    return from_float(value);
  } else if constexpr (std::is_same_v<T, double>) {
    return from_double(value);
  } else {
    return static_cast<uint64_t>(value);
  }
}

template <class Types>
struct Signature {};

template <class Result, class... Arguments, class Oracle, size_t... I>
OpcodeCase make_case(const std::string& text, const Oracle& oracle,
                     Signature<Result(Arguments...)> /*signature*/, std::index_sequence<I...> /*indices*/) {
  OpcodeCase test{text, {meaning_of<Arguments>()...}, {meaning_of<Result>()}, nullptr};
  test.oracle = [oracle](const Words& words) {
    return Words{to_word<Result>(oracle(from_word<Arguments>(words[I])...))};
  };
  return test;
}

/// "name %d0, %a0, %a1, ...;" with the oracle's types for registers: typed<int32_t(int32_t,
/// int32_t)>("add.s32", ...).
template <class Types>
struct Typed;
template <class Result, class... Arguments>
struct Typed<Result(Arguments...)> {
  template <class Oracle>
  static OpcodeCase instruction(const std::string& text, const Oracle& oracle) {
    return make_case(text, oracle, Signature<Result(Arguments...)>{},
                     std::index_sequence_for<Arguments...>{});
  }
  template <class Oracle>
  static OpcodeCase opcode(const std::string& name, const Oracle& oracle) {
    std::string text = name + " %d0";
    for (size_t i = 0; i < sizeof...(Arguments); ++i) text += ", %a" + std::to_string(i);
    return instruction(text + ";", oracle);
  }
};

template <class Types, class Oracle>
OpcodeCase typed(const std::string& name, const Oracle& oracle) {
  return Typed<Types>::opcode(name, oracle);
}
/// The same, with the whole text.
template <class Types, class Oracle>
OpcodeCase typed_text(const std::string& text, const Oracle& oracle) {
  return Typed<Types>::instruction(text, oracle);
}

using Cases = std::vector<OpcodeCase>;

inline void append(Cases& cases, const Cases& more) { cases.insert(cases.end(), more.begin(), more.end()); }

}  // namespace softgpu
