#pragma once

#include <array>
#include <initializer_list>
#include <string>
#include <string_view>

#include "core/dtype.h"
#include "core/types.h"

namespace fovea {

enum class Device { cpu, cuda };

/// Names memory and owns nothing. Up to four axes, row-major by default, strides in elements (64 bit); the
/// innermost stride is 1, so that a slice of a packed buffer is a view. A default view is empty: an absent
/// operand.
class View {
 public:
  static constexpr int kMaxRank = 4;

  View() = default;
  /// Contiguous memory of this shape.
  View(void* data, DType dtype, std::initializer_list<int64> shape, Device device = Device::cpu);
  View(void* data, DType dtype, std::initializer_list<int64> shape, std::initializer_list<int64> strides,
       Device device = Device::cpu);

  explicit operator bool() const { return rank_ > 0; }
  Device device() const { return device_; }
  DType dtype() const { return dtype_; }
  int rank() const { return rank_; }
  int64 size(int axis) const { return shape_[static_cast<size_t>(axis)]; }
  int64 stride(int axis) const { return strides_[static_cast<size_t>(axis)]; }
  int64 elements() const;
  /// Bytes of the elements (not of the gaps between strided rows).
  int64 bytes() const { return elements() * size_of(dtype_); }
  bool contiguous() const;
  bool has_shape(std::initializer_list<int64> shape) const;

  void* data() const { return data_; }
  template <class T>
  T* data() const {
    FOVEA_CHECK(dtype_of<T>::value == dtype_, "view of {} read as {}", name_of(dtype_),
                name_of(dtype_of<T>::value));
    return static_cast<T*>(data_);
  }
  /// The first element of row i (of the last axis) of a rank-2 view.
  template <class T>
  T* row(int64 i) const {
    return data<T>() + i * strides_[0];
  }
  /// Address of the element at these indices, one per axis.
  void* at(std::initializer_list<int64> index) const;

  /// The same contiguous memory in another shape of as many elements.
  View reshape(std::initializer_list<int64> shape) const;
  /// The same shape and strides over other memory.
  View on(void* data, Device device) const;
  /// Rows [begin, end) of the first axis.
  View slice(Range rows) const;
  std::string describe() const;  ///< "f32 (4, 128, 8, 32)"

 private:
  void* data_ = nullptr;
  DType dtype_ = DType::f32;
  Device device_ = Device::cpu;
  int rank_ = 0;
  std::array<int64, kMaxRank> shape_{}, strides_{};
};

/// Bytes of all of these operands, absent ones none.
template <class... Views>
int64 bytes_of(const Views&... views) {
  return (int64{0} + ... + (views ? views.bytes() : 0));
}

/// Aborts unless the view is there with this shape; `name` is the operand's, as "rms_norm: y".
void expect(const View& view, std::string_view name, std::initializer_list<int64> shape);
void expect(const View& view, std::string_view name, std::initializer_list<int64> shape, DType dtype);
/// The same for an operand that may be absent.
void expect_optional(const View& view, std::string_view name, std::initializer_list<int64> shape);

/// Reads or writes one element of any floating-point dtype as double: for oracles and tests, not for speed.
double load(const View& view, std::initializer_list<int64> index);
void store(const View& view, std::initializer_list<int64> index, double value);

}  // namespace fovea
