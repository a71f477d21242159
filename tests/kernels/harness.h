#pragma once

// What every kernel's tests share: an operation as a list of operands and a call, run on any backend with
// poisoned outputs, gaps and scratch, and held against the fp64 reference, against itself at other numbers of
// threads, and against finite differences.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "core/random.h"
#include "core/stream.h"

namespace fovea::harness {

/// What the properties hold to the reference: cpu, or what FOVEA_TEST_BACKEND names (the same programs run
/// once more for the device).
inline Backend backend_under_test() {
  static const Backend backend = [] {
    const char* name = std::getenv("FOVEA_TEST_BACKEND");
    return name ? backend_named(name) : Backend::cpu;
  }();
  return backend;
}

/// A view of this shape, of any rank.
inline View make_view(void* data, DType dtype, const std::vector<int64>& shape,
                      const std::vector<int64>& strides) {
  const auto& s = shape;
  const auto& t = strides;
  switch (shape.size()) {
    case 0:
      return {};
    case 1:
      return {data, dtype, {s[0]}, {t[0]}};
    case 2:
      return {data, dtype, {s[0], s[1]}, {t[0], t[1]}};
    case 3:
      return {data, dtype, {s[0], s[1], s[2]}, {t[0], t[1], t[2]}};
    default:
      return {data, dtype, {s[0], s[1], s[2], s[3]}, {t[0], t[1], t[2], t[3]}};
  }
}

/// How a tensor lies in memory.
struct Layout {
  int64 gap = 0;     ///< elements between rows of the last axis
  int64 offset = 0;  ///< elements before the first: breaks the alignment
};

/// Owns memory in which a view of the shape lies; all of it, gaps and borders too, starts as 0xff bytes: NaN.
class Tensor {
 public:
  Tensor() = default;
  Tensor(DType dtype, std::vector<int64> shape, Layout layout = {}) : shape_(std::move(shape)) {
    std::vector<int64> strides(shape_.size(), 1);
    int64 stride = 1;
    for (size_t axis = shape_.size(); axis-- > 0;) {
      strides[axis] = stride;
      stride = stride * shape_[axis] + (axis + 1 == shape_.size() && axis > 0 ? layout.gap : 0);
    }
    memory_ = Buffer((layout.offset + stride + kBorder) * size_of(dtype));
    std::memset(memory_.data(), 0xff, static_cast<size_t>(memory_.bytes()));
    view_ = make_view(memory_.data() + layout.offset * size_of(dtype), dtype, shape_, strides);
  }

  const View& view() const { return view_; }
  operator const View&() const { return view_; }  // NOLINT(google-explicit-constructor)
  int64 elements() const { return view_.elements(); }
  DType dtype() const { return view_.dtype(); }

  /// The same layout on the device, with a copy of all of the memory.
  class OnDevice {
   public:
    explicit OnDevice(const Tensor& tensor) : tensor_(tensor), memory_(tensor.memory_.bytes(), Device::cuda) {
      device::copy(memory_.data(), tensor.memory_.data(), memory_.bytes());
    }
    View view() const {
      const View& host = tensor_.view_;
      if (!host) return {};
      return host.on(memory_.data() + (static_cast<std::byte*>(host.data()) - tensor_.memory_.data()),
                     Device::cuda);
    }
    void copy_back() const { device::copy(tensor_.memory_.data(), memory_.data(), memory_.bytes()); }

   private:
    const Tensor& tensor_;
    Buffer memory_;
  };

  double get(int64 i) const { return load(element(i), {0}); }
  void set(int64 i, double value) { store(element(i), {0}, value); }
  /// Its elements in order, without what lies between them.
  std::vector<std::byte> bits() const {
    std::vector<std::byte> bits;
    bits.reserve(static_cast<size_t>(view_.bytes()));
    for_each_row([&](std::byte* row, int64 bytes) { bits.insert(bits.end(), row, row + bytes); });
    return bits;
  }
  /// Whether everything around the elements still is poison.
  bool gaps_untouched() const {
    const auto poisoned = [](const std::byte* from, const std::byte* to) {
      return std::all_of(from, to, [](std::byte b) { return b == std::byte{0xff}; });
    };
    bool untouched = true;
    const std::byte* gap = memory_.data();
    for_each_row([&](std::byte* row, int64 bytes) {
      untouched = untouched && poisoned(gap, row);
      gap = row + bytes;
    });
    return untouched && (elements() == 0 || poisoned(gap, memory_.data() + memory_.bytes()));
  }

 private:
  static constexpr int64 kBorder = 32;  // elements behind the last one

  /// f(first byte, bytes) of each row of the last axis, in the order of memory.
  void for_each_row(const std::function<void(std::byte*, int64)>& f) const {
    if (elements() == 0) return;
    const int64 columns = view_.size(view_.rank() - 1);
    for (int64 i = 0; i < elements(); i += columns)
      f(static_cast<std::byte*>(element(i).data()), columns * size_of(dtype()));
  }
  /// The i-th element in row-major order as a view of one.
  View element(int64 i) const {
    int64 offset = 0;
    for (int axis = view_.rank() - 1; axis >= 0; --axis) {
      offset += i % view_.size(axis) * view_.stride(axis);
      i /= view_.size(axis);
    }
    return {static_cast<std::byte*>(view_.data()) + offset * size_of(dtype()), dtype(), {1}};
  }

  std::vector<int64> shape_;
  Buffer memory_;
  View view_;
};

/// in: read, must stay as it is; out: starts as poison; inout: starts with values.
enum class Role { in, out, inout };

/// One operand of a case. Its values are a function of the seed and its place in the list, standard normal
/// unless `value` says otherwise; an empty shape is an absent operand.
struct Operand {
  std::string name;
  DType dtype = DType::f32;
  std::vector<int64> shape;
  Role role = Role::in;
  std::function<double(int64 element)> value = nullptr;
  Layout layout = {};
};

/// One call: `call` gets the operands' views in their order.
struct Case {
  std::vector<Operand> operands;
  std::function<void(Stream&, const std::vector<View>&)> call;
  uint64 seed = 1;
};

/// The operands of a case with their values rounded to their dtype; on the reference backend the same values
/// in f64, densely laid out.
inline std::vector<Tensor> make_operands(const Case& c, Backend backend) {
  std::vector<Tensor> tensors;
  for (size_t i = 0; i < c.operands.size(); ++i) {
    const Operand& operand = c.operands[i];
    if (operand.shape.empty()) {
      tensors.emplace_back();
      continue;
    }
    const bool wide = backend == Backend::reference && operand.dtype != DType::i32;
    Tensor rounded(operand.dtype, {1});
    Tensor tensor(wide ? DType::f64 : operand.dtype, operand.shape, wide ? Layout{} : operand.layout);
    const RandomSequence random{c.seed, RandomUse::synthetic, static_cast<uint32>(i)};
    if (operand.role != Role::out)
      for (int64 e = 0; e < tensor.elements(); ++e) {
        rounded.set(0, operand.value ? operand.value(e) : random.normal(static_cast<uint64>(e)));
        tensor.set(e, rounded.get(0));
      }
    tensors.push_back(std::move(tensor));
  }
  return tensors;
}

inline std::vector<View> views_of(const std::vector<Tensor>& tensors) {
  std::vector<View> views;
  for (const Tensor& tensor : tensors) views.push_back(tensor.view());
  return views;
}

/// Calls the case with these operands and waits, by way of copies where the stream is a device's.
inline void call_on(Stream& stream, const Case& c, const std::vector<Tensor>& tensors) {
  if (stream.device() == Device::cpu) {
    c.call(stream, views_of(tensors));
    return stream.synchronize();
  }
  std::vector<Tensor::OnDevice> copies;
  std::vector<View> views;
  copies.reserve(tensors.size());
  for (const Tensor& tensor : tensors) views.push_back(copies.emplace_back(tensor).view());
  c.call(stream, views);
  stream.synchronize();
  for (const Tensor::OnDevice& copy : copies) copy.copy_back();
}

/// Runs the case with poisoned outputs, gaps and scratch and returns all its operands as it leaves them;
/// inputs and gaps must be as they were.
inline std::vector<Tensor> run(const Case& c, Backend backend = backend_under_test(), int threads = 1,
                               Stream::Mode mode = Stream::Mode::immediate) {
  std::vector<Tensor> tensors = make_operands(c, backend);
  std::vector<std::vector<std::byte>> before;
  for (const Tensor& tensor : tensors) before.push_back(tensor.bits());
  Stream stream(backend, threads, mode);
  stream.poison_scratch(true);
  call_on(stream, c, tensors);
  for (size_t i = 0; i < tensors.size(); ++i) {
    if (c.operands[i].role == Role::in) {
      EXPECT_EQ(tensors[i].bits(), before[i]) << c.operands[i].name << " was written to";
    }
    EXPECT_TRUE(tensors[i].gaps_untouched()) << c.operands[i].name << ": written outside of its elements";
  }
  return tensors;
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

/// The spacing of numbers just above 1.
inline double epsilon_of(DType dtype) {
  switch (dtype) {
    case DType::bf16:
      return 0x1p-7;
    case DType::f16:
      return 0x1p-10;
    case DType::f32:
      return 0x1p-23;
    default:
      return 0x1p-52;
  }
}

/// The error rule: |actual - expected| <= roundings * epsilon(output's dtype) * |expected|
///                                        + sums * epsilon(f32) * the largest |expected| of the operand.
/// Infinities and NaN stand where the oracle has them.
struct Tolerance {
  double roundings = 1, sums = 32;
  double floor = 0;  ///< absolute error allowed where terms larger than the result cancel
};

/// What breaks the rule first, or nothing.
inline std::string difference(const Tensor& actual, const Tensor& expected, Tolerance tolerance) {
  double largest = 0;
  for (int64 i = 0; i < expected.elements(); ++i)
    if (std::isfinite(expected.get(i))) largest = std::max(largest, std::abs(expected.get(i)));
  const double absolute = tolerance.sums * epsilon_of(DType::f32) * largest + tolerance.floor;
  for (int64 i = 0; i < expected.elements(); ++i) {
    const double a = actual.get(i), e = expected.get(i);
    const double allowed = tolerance.roundings * epsilon_of(actual.dtype()) * std::abs(e) + absolute;
    const bool close = std::isnan(e) ? std::isnan(a) : std::isinf(e) ? a == e : std::abs(a - e) <= allowed;
    if (!close)
      return fmt::format("[{}] is {}, not {}: error {}, allowed {}", i, a, e, std::abs(a - e), allowed);
  }
  return {};
}

inline void expect_close(const Tensor& actual, const Tensor& expected, Tolerance tolerance,
                         const std::string& name) {
  ASSERT_EQ(actual.elements(), expected.elements()) << name;
  EXPECT_EQ(difference(actual, expected, tolerance), "") << name;
}

/// Every output of the backend against the fp64 reference on the same (rounded) inputs: what differs first,
/// or nothing. For properties, which then shrink: RC_ASSERT(mismatch(...) == "").
inline std::string mismatch(const Case& c, Tolerance tolerance = {}, int threads = 1,
                            Backend backend = backend_under_test()) {
  const std::vector<Tensor> expected = run(c, Backend::reference);
  const std::vector<Tensor> actual = run(c, backend, threads);
  for (size_t i = 0; i < c.operands.size(); ++i) {
    if (c.operands[i].role == Role::in || c.operands[i].shape.empty()) continue;
    const std::string found = difference(actual[i], expected[i], tolerance);
    if (!found.empty()) return c.operands[i].name + found;
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

/// A random projection of an operand onto a number: the loss of gradient checks, with dloss/doutput[i] =
/// projection(i).
inline double projection(uint64 seed, int64 i) {
  return RandomSequence{seed, RandomUse::synthetic, 1000}.normal(static_cast<uint64>(i));
}
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
