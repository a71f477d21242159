#pragma once

// What every kernel's tests share: cases (kernels/check/case.h) run on any backend with poisoned outputs,
// gaps and scratch, and held against the fp64 reference, against itself at other numbers of threads, and
// against finite differences.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "core/error.h"
#include "kernels/check/case.h"
#include "kernels/check/deviation.h"
#include "kernels/check/projection.h"

namespace fovea::harness {

using namespace check;

/// What the properties hold to the reference: cpu, or what FOVEA_TEST_BACKEND names (the same programs run
/// once more for the device).
inline Backend backend_under_test() {
  static const Backend backend = [] {
    const char* name = std::getenv("FOVEA_TEST_BACKEND");
    return name ? backend_named(name) : Backend::cpu;
  }();
  return backend;
}

/// Runs the case with poisoned outputs, gaps and scratch and returns all its operands as it leaves them;
/// inputs and gaps must be as they were.
inline std::vector<Tensor> run(const Case& c, Backend backend = backend_under_test(), int threads = 1,
                               Stream::Mode mode = Stream::Mode::immediate) {
  Outcome outcome = outcome_of(c, draw(c), backend, threads, mode);
  EXPECT_EQ(outcome.trespass, "");
  return std::move(outcome.operands);
}

/// For death tests of what a kernel itself finds wrong with its operands: runs the case and says what became
/// of it. A kernel on a device traps, which ends in an error, and in a device that this process cannot use
/// any more.
inline void run_to_its_end(const Case& c, Backend backend = backend_under_test()) {
  try {
    run(c, backend);
  } catch (const UserError& error) {
    fmt::print(stderr, "{}\n", error.what());
    std::_Exit(1);
  }
}

/// One operand, by index, that is the same memory as another.
struct Alias {
  size_t operand, other;
};
/// The operands of the case as a call leaves them in which some are others: results lie where `other` is.
inline std::vector<Tensor> run_in_place(const Case& c, const std::vector<Alias>& aliases) {
  Case in_place = c;
  in_place.call = [&](Stream& stream, const std::vector<View>& views) {
    std::vector<View> aliased = views;
    for (const Alias& alias : aliases) aliased[alias.operand] = views[alias.other];
    c.call(stream, aliased);
  };
  std::vector<Tensor> tensors = make_operands(c, backend_under_test());
  Stream stream(backend_under_test());
  stream.poison_scratch(true);
  call_on(stream, in_place, tensors);
  return tensors;
}

inline void expect_close(const Tensor& actual, const Tensor& expected, Tolerance tolerance,
                         const std::string& name) {
  ASSERT_EQ(actual.elements(), expected.elements()) << name;
  const Deviation found = deviation(actual, expected, tolerance);
  EXPECT_TRUE(found.allowed()) << name << found.text;
}

/// Every output of the backend against the fp64 reference on the same (rounded) inputs: what differs
/// most, or nothing. For properties, which then shrink: RC_ASSERT(mismatch(...) == "").
inline std::string mismatch(const Case& c, Tolerance tolerance = {}, int threads = 1,
                            Backend backend = backend_under_test()) {
  const std::vector<Tensor> expected = run(c, Backend::reference);
  const std::vector<Tensor> actual = run(c, backend, threads);
  for (size_t i = 0; i < c.operands.size(); ++i) {
    if (c.operands[i].role == Role::in || c.operands[i].shape.empty()) continue;
    const Deviation found = deviation(actual[i], expected[i], tolerance);
    if (!found.allowed()) return c.operands[i].name + found.text;
  }
  return {};
}

/// The same as an expectation.
inline void expect_matches_reference(const Case& c, Tolerance tolerance = {}, int threads = 1,
                                     Backend backend = backend_under_test()) {
  EXPECT_EQ(mismatch(c, tolerance, threads, backend), "");
}

/// The same bits at 1, 2 and 3 threads, and on a stream that runs only when it is synchronised.
inline void expect_same_bits_at_any_threads(const Case& c, Backend backend = backend_under_test()) {
  const std::vector<Tensor> one = run(c, backend, 1);
  const auto compare = [&](const std::vector<Tensor>& other, const std::string& how) {
    for (size_t i = 0; i < one.size(); ++i)
      EXPECT_TRUE(one[i].bits() == other[i].bits()) << c.operands[i].name << " has other bits " << how;
  };
  compare(run(c, backend, 2), "with 2 threads");
  compare(run(c, backend, 3), "with 3 threads");
  compare(run(c, backend, 1, Stream::Mode::deferred), "on a deferred stream");
}

/// A random projection of an operand onto a number: the loss of gradient checks.
inline double project(const Tensor& tensor, uint64 seed) {
  double sum = 0;
  for (int64 i = 0; i < tensor.elements(); ++i) sum += projection(seed, i) * tensor.get(i);
  return sum;
}

/// Holds gradient[i] = dloss/dx[i] (all f64) against central differences of fourth order, relative to the
/// largest gradient (or 1), for at most `most` elements spread over x. `loss` computes anew from x.
inline void expect_gradient(Tensor& x, const Tensor& gradient, const std::function<double()>& loss,
                            const std::string& name, double tolerance = 1e-7, int64 most = 64) {
  ASSERT_EQ(x.elements(), gradient.elements()) << name;
  double largest = 1;
  for (int64 i = 0; i < x.elements(); ++i) largest = std::max(largest, std::abs(gradient.get(i)));
  const int64 step = std::max<int64>(1, x.elements() / most);
  for (int64 i = 0; i < x.elements(); i += step) {
    const double at = x.get(i), h = 1e-3;
    const auto value = [&](double offset) {
      x.set(i, at + offset);
      return loss();
    };
    const double slope = (8 * (value(h) - value(-h)) - (value(2 * h) - value(-2 * h))) / (12 * h);
    x.set(i, at);
    ASSERT_NEAR(gradient.get(i), slope, tolerance * largest) << name << "[" << i << "]";
  }
}

}  // namespace fovea::harness
