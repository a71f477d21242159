#pragma once

#include <array>
#include <initializer_list>

#include "model/step_context.h"

namespace fovea {

/// The activations of a decoder block that its backward reads.
enum class Slot {
  norm1,             // y (N, C) compute; statistics (N) wide
  q_raw,             // (N, Hq D) compute: q before its norm, where there is one
  k_raw,             // (N, Hkv D)
  q,                 // (N, Hq D) compute, rotated; 1 / rms (N Hq) wide where q is normed
  k,                 // (N, Hkv D)
  v,                 // (N, Hkv D)
  attended,          // (N, Hq D) compute; lse (B, Hq, T) wide
  attention_branch,  // (N, C) compute: what post-norm 1 reads; statistics
  middle,            // (N, C) residual: x + attention
  norm2,             // as norm1
  gate,              // (N, F) compute
  up,                // (N, F) compute, gated MLPs alone
  product,           // (N, F) compute: f(gate) * up
  mlp_branch,        // (N, C) compute: what post-norm 2 reads; statistics
  count
};

inline constexpr size_t kSlots = static_cast<size_t>(Slot::count);
std::string_view name_of(Slot slot);

/// Which slots, as a value.
class SlotSet {
 public:
  constexpr SlotSet() = default;
  constexpr SlotSet(std::initializer_list<Slot> slots) {
    for (const Slot slot : slots) add(slot);
  }
  static constexpr SlotSet all() {
    SlotSet set;
    set.bits_ = (uint32{1} << kSlots) - 1;
    return set;
  }
  constexpr void add(Slot slot) { bits_ |= bit(slot); }
  constexpr bool contains(Slot slot) const { return (bits_ & bit(slot)) != 0; }
  constexpr bool empty() const { return bits_ == 0; }
  constexpr bool operator==(const SlotSet&) const = default;

 private:
  static_assert(kSlots < 32);
  static constexpr uint32 bit(Slot slot) { return uint32{1} << static_cast<uint32>(slot); }
  uint32 bits_ = 0;
};

/// What the slots hold: each up to three buffers that one computation makes. Forward code fills slots; a slot
/// that is still full is left as it is, so that running the same forward again after some were dropped is the
/// replay that brings exactly those back. Which to drop is a policy's choice; parts do not know of it.
class Saved {
 public:
  struct Spec {
    std::string_view name;
    DType dtype;
    std::initializer_list<int64> shape;
  };

  /// Runs compute() after the slot's buffers were taken from the arena, unless the slot is full.
  template <class F>
  void fill(const StepContext& context, Slot slot, std::initializer_list<Spec> specs, F compute) {
    if (slots_[index(slot)][0]) return;
    size_t part = 0;
    for (const Spec& spec : specs)
      slots_[index(slot)][part++] = context.take(spec.name, spec.dtype, spec.shape);
    compute();
  }
  /// The slot's buffers, an absent view where there is none.
  const View& operator()(Slot slot, size_t part = 0) const { return slots_[index(slot)][part].view(); }
  bool holds(Slot slot) const { return static_cast<bool>(slots_[index(slot)][0]); }
  int64 bytes(Slot slot) const {
    int64 bytes = 0;
    for (const Block& block : slots_[index(slot)])
      if (block) bytes += block.view().bytes();
    return bytes;
  }

  void drop(Slot slot) {
    for (Block& block : slots_[index(slot)]) block.release();
  }
  void drop(SlotSet slots) {
    for (size_t i = 0; i < kSlots; ++i)
      if (const auto slot = static_cast<Slot>(i); slots.contains(slot)) drop(slot);
  }

 private:
  static constexpr size_t index(Slot slot) { return static_cast<size_t>(slot); }
  std::array<std::array<Block, 3>, kSlots> slots_;
};

}  // namespace fovea
