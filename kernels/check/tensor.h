#pragma once

#include <cstddef>
#include <functional>
#include <vector>

#include "core/buffer.h"
#include "core/device.h"

namespace fovea::check {

/// How a tensor lies in memory.
struct Layout {
  int64 gap = 0;     ///< elements between rows of the last axis
  int64 offset = 0;  ///< elements before the first: breaks the alignment
};

/// A view of this shape, of any rank.
View make_view(void* data, DType dtype, const std::vector<int64>& shape, const std::vector<int64>& strides);

/// Owns memory in which a view of the shape lies; all of it, gaps and borders too, starts as 0xff bytes: NaN.
class Tensor {
 public:
  Tensor() = default;
  Tensor(DType dtype, std::vector<int64> shape, Layout layout = {});

  const View& view() const { return view_; }
  operator const View&() const { return view_; }  // NOLINT(google-explicit-constructor)
  int64 elements() const { return view_.elements(); }
  DType dtype() const { return view_.dtype(); }

  /// The same layout on the device, with a copy of all of the memory.
  class OnDevice {
   public:
    explicit OnDevice(const Tensor& tensor);
    View view() const;
    void copy_back() const;

   private:
    const Tensor& tensor_;
    Buffer memory_;
  };

  double get(int64 i) const { return load(element(i), {0}); }
  void set(int64 i, double value) { store(element(i), {0}, value); }
  /// Its elements in order, without what lies between them.
  std::vector<double> values() const;
  void fill(const std::vector<double>& values);
  std::vector<std::byte> bits() const;
  /// Whether everything around the elements still is poison.
  bool gaps_untouched() const;

 private:
  static constexpr int64 kBorder = 32;  // elements behind the last one

  /// f(row) of each row of the last axis, in the order of memory.
  void for_each_row(const std::function<void(const View&)>& f) const;
  /// The i-th element in row-major order as a view of one, and of those that follow it in its row.
  View element(int64 i, int64 count = 1) const;

  std::vector<int64> shape_;
  Buffer memory_;
  View view_;
};

}  // namespace fovea::check
