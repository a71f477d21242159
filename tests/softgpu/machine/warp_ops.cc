// What lanes of a warp do together: shfl, vote, match, redux, activemask (PTX ISA 9.7.9.6, 9.7.13).

#include <fmt/format.h>

#include <string>

#include "machine/forms.h"
#include "machine/machine.h"

namespace softgpu {
namespace {

enum class Shuffle : uint8_t { up, down, butterfly, index };

// shfl.sync d|p, a, b, c, membermask: c has the clamp in bits 0 to 4 and the segment mask in bits 8 to 12.
template <Shuffle How>
void shuffle(Machine& m, const Op& op, uint32_t mask) {
  const uint32_t* a = m.reg<uint32_t>(op.r[2]);
  const uint32_t* b = m.reg<uint32_t>(op.r[3]);
  const uint32_t* c = m.reg<uint32_t>(op.r[4]);
  uint32_t value[kLanes];
  uint32_t valid = 0;
  for_lanes(mask, [&](int lane) {
    const int amount = static_cast<int>(b[lane] & 31);
    const int clamp = static_cast<int>(c[lane] & 31);
    const int segment = static_cast<int>((c[lane] >> 8) & 31);
    const int most = (lane & segment) | (clamp & ~segment);
    const int least = lane & segment;
    int from = lane;
    bool inside = false;
    switch (How) {
      case Shuffle::up:
        from = lane - amount;
        inside = from >= most;
        break;
      case Shuffle::down:
        from = lane + amount;
        inside = from <= most;
        break;
      case Shuffle::butterfly:
        from = lane ^ amount;
        inside = from <= most;
        break;
      case Shuffle::index:
        from = least | (amount & ~segment);
        inside = from <= most;
        break;
    }
    if (!inside) from = lane;
    if (!has(mask, from)) {
      m.fault(op, lane, "inactive lane",
              fmt::format("it takes the value of lane {}, which does not take part", from));
    }
    value[lane] = a[from];
    if (inside) valid |= 1U << lane;
  });
  for_lanes(mask, [&](int lane) { m.reg<uint32_t>(op.r[0])[lane] = value[lane]; });
  m.set_predicate(op.r[1], mask, valid);
}

enum class Vote : uint8_t { ballot, all, any, uniform };

template <Vote How>
void vote(Machine& m, const Op& op, uint32_t mask) {
  const uint32_t flags = m.predicate(op.r[1]) & mask;
  if (How == Vote::ballot) {
    each_lane(m.reg<uint32_t>(op.r[0]), mask, [=](int) { return flags; });
    return;
  }
  const bool yes = How == Vote::all   ? flags == mask
                   : How == Vote::any ? flags != 0
                                      : flags == mask || flags == 0;
  m.set_predicate(op.r[0], mask, yes ? kAllLanes : 0);
}

// match.any.sync d, a, membermask: the lanes whose a is the same.
template <class T>
void match_any(Machine& m, const Op& op, uint32_t mask) {
  const T* a = m.reg<T>(op.r[1]);
  uint32_t same[kLanes] = {};
  for_lanes(mask, [&](int lane) {
    for_lanes(mask, [&](int other) { same[lane] |= a[other] == a[lane] ? 1U << other : 0; });
  });
  each_lane(m.reg<uint32_t>(op.r[0]), mask, [&](int lane) { return same[lane]; });
}
// match.all.sync d|p, a, membermask: all of them if a is the same in all, else 0.
template <class T>
void match_all(Machine& m, const Op& op, uint32_t mask) {
  const T* a = m.reg<T>(op.r[2]);
  const T first = a[__builtin_ctz(mask)];
  bool same = true;
  for_lanes(mask, [&](int lane) { same = same && a[lane] == first; });
  each_lane(m.reg<uint32_t>(op.r[0]), mask, [=](int) { return same ? mask : 0; });
  m.set_predicate(op.r[1], mask, same ? kAllLanes : 0);
}

struct Add {
  template <class T>
  T operator()(T a, T b) const {
    return a + b;
  }
};
struct Min {
  template <class T>
  T operator()(T a, T b) const {
    return a < b ? a : b;
  }
};
struct Max {
  template <class T>
  T operator()(T a, T b) const {
    return a > b ? a : b;
  }
};
struct And {
  template <class T>
  T operator()(T a, T b) const {
    return a & b;
  }
};
struct Or {
  template <class T>
  T operator()(T a, T b) const {
    return a | b;
  }
};
struct Xor {
  template <class T>
  T operator()(T a, T b) const {
    return a ^ b;
  }
};

template <class F, class T>
void reduce(Machine& m, const Op& op, uint32_t mask) {
  const T* a = m.reg<T>(op.r[1]);
  const int first = __builtin_ctz(mask);
  T value = a[first];
  for_lanes(mask & (mask - 1), [&](int lane) { value = F()(value, a[lane]); });
  each_lane(m.reg<T>(op.r[0]), mask, [=](int) { return value; });
}

void active_mask(Machine& m, const Op& op, uint32_t mask) {
  each_lane(m.reg<uint32_t>(op.r[0]), mask, [=](int) { return mask; });
}
// elect.sync d|p, membermask: the lowest lane.
void elect(Machine& m, const Op& op, uint32_t mask) {
  const uint32_t leader = __builtin_ctz(mask);
  each_lane(m.reg<uint32_t>(op.r[0]), mask, [=](int) { return leader; });
  m.set_predicate(op.r[1], mask, 1U << leader);
}
void nothing(Machine& /*m*/, const Op& /*op*/, uint32_t /*mask*/) {}

}  // namespace

void add_warp_forms(Forms& forms) {
  // The last operand of all of them is the member mask.
  auto add = [&](const std::string& name, Handler run, const std::string& operands,
                 Kind kind = Kind::shuffle) {
    forms[name] = {run, operands, kind, Control::converge};
  };
  add("shfl.sync.up.b32", shuffle<Shuffle::up>, "w?p:wwww");
  add("shfl.sync.down.b32", shuffle<Shuffle::down>, "w?p:wwww");
  add("shfl.sync.bfly.b32", shuffle<Shuffle::butterfly>, "w?p:wwww");
  add("shfl.sync.idx.b32", shuffle<Shuffle::index>, "w?p:wwww");
  add("vote.sync.ballot.b32", vote<Vote::ballot>, "w:pw");
  add("vote.sync.all.pred", vote<Vote::all>, "p:pw");
  add("vote.sync.any.pred", vote<Vote::any>, "p:pw");
  add("vote.sync.uni.pred", vote<Vote::uniform>, "p:pw");
  add("match.any.sync.b32", match_any<uint32_t>, "w:ww");
  add("match.any.sync.b64", match_any<uint64_t>, "w:dw");
  add("match.all.sync.b32", match_all<uint32_t>, "w?p:ww");
  add("match.all.sync.b64", match_all<uint64_t>, "w?p:dw");
  add("redux.sync.add.u32", reduce<Add, uint32_t>, "w:ww");
  add("redux.sync.add.s32", reduce<Add, uint32_t>, "w:ww");
  add("redux.sync.min.u32", reduce<Min, uint32_t>, "w:ww");
  add("redux.sync.min.s32", reduce<Min, int32_t>, "w:ww");
  add("redux.sync.max.u32", reduce<Max, uint32_t>, "w:ww");
  add("redux.sync.max.s32", reduce<Max, int32_t>, "w:ww");
  add("redux.sync.and.b32", reduce<And, uint32_t>, "w:ww");
  add("redux.sync.or.b32", reduce<Or, uint32_t>, "w:ww");
  add("redux.sync.xor.b32", reduce<Xor, uint32_t>, "w:ww");
  add("elect.sync", elect, "w?p:w");
  add("bar.warp.sync", nothing, ":w", Kind::barrier);
  forms["activemask.b32"] = {active_mask, "w:", Kind::shuffle, Control::plain};
}

}  // namespace softgpu
