#pragma once

#include "machine/machine.h"

namespace softgpu {

// Handlers that do F lane by lane. F is a stateless functor; D, A, B, C are what registers are read and
// written as.
template <class F, class D, class A = D>
void unary(Machine& m, const Op& op, uint32_t mask) {
  const A* a = m.reg<A>(op.r[1]);
  each_lane(m.reg<D>(op.r[0]), mask, [=](int i) { return static_cast<D>(F()(a[i])); });
}

template <class F, class D, class A = D, class B = A>
void binary(Machine& m, const Op& op, uint32_t mask) {
  const A* a = m.reg<A>(op.r[1]);
  const B* b = m.reg<B>(op.r[2]);
  each_lane(m.reg<D>(op.r[0]), mask, [=](int i) { return static_cast<D>(F()(a[i], b[i])); });
}

template <class F, class D, class A = D, class B = A, class C = D>
void ternary(Machine& m, const Op& op, uint32_t mask) {
  const A* a = m.reg<A>(op.r[1]);
  const B* b = m.reg<B>(op.r[2]);
  const C* c = m.reg<C>(op.r[3]);
  each_lane(m.reg<D>(op.r[0]), mask, [=](int i) { return static_cast<D>(F()(a[i], b[i], c[i])); });
}

}  // namespace softgpu
