#pragma once

#include <memory>

#include "core/view.h"

namespace fovea {

/// Owns 64-byte aligned host memory, zero-filled; on large pages where it is large and the system has them.
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(int64 bytes);
  Buffer(DType dtype, std::initializer_list<int64> shape);

  std::byte* data() const { return data_.get(); }
  int64 bytes() const { return bytes_; }
  /// The whole buffer in the shape it was made with.
  const View& view() const { return view_; }
  operator const View&() const { return view_; }  // NOLINT(google-explicit-constructor)

 private:
  struct Free {
    int64 bytes;
    void operator()(std::byte* p) const;
  };
  std::unique_ptr<std::byte[], Free> data_;
  int64 bytes_ = 0;
  View view_;
};

}  // namespace fovea
