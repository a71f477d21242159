#pragma once

#include <memory>
#include <utility>

#include "core/view.h"

namespace fovea {

/// Owns 64-byte aligned memory, zero-filled: the host's, on large pages where it is large and the system has
/// them, or the device's.
class Buffer {
 public:
  Buffer() = default;
  Buffer(Buffer&& other) noexcept
      : data_(std::move(other.data_)), view_(std::exchange(other.view_, View())) {}
  Buffer& operator=(Buffer&& other) noexcept {
    data_ = std::move(other.data_);
    view_ = std::exchange(other.view_, View());
    return *this;
  }
  explicit Buffer(int64 bytes, Device device = Device::cpu);
  Buffer(DType dtype, std::initializer_list<int64> shape, Device device = Device::cpu);

  std::byte* data() const { return data_.get(); }
  int64 bytes() const { return data_ ? data_.get_deleter().bytes : 0; }
  Device device() const { return data_ ? data_.get_deleter().device : Device::cpu; }
  /// The whole buffer in the shape it was made with.
  const View& view() const { return view_; }
  operator const View&() const { return view_; }  // NOLINT(google-explicit-constructor)

 private:
  struct Free {
    int64 bytes;
    Device device;
    void operator()(std::byte* p) const;
  };
  std::unique_ptr<std::byte[], Free> data_;
  View view_;
};

}  // namespace fovea
