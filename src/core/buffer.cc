#include "core/buffer.h"

#include <cstring>
#include <new>

namespace fovea {
namespace {
constexpr std::align_val_t kAlignment{64};

int64 bytes_of(DType dtype, std::initializer_list<int64> shape) {
  int64 bytes = size_of(dtype);
  for (int64 n : shape) bytes *= n;
  return bytes;
}
}  // namespace

void Buffer::Free::operator()(std::byte* p) const { ::operator delete[](p, kAlignment); }

Buffer::Buffer(int64 bytes)
    : data_(static_cast<std::byte*>(::operator new[](static_cast<size_t>(round_up(bytes, 64)), kAlignment))),
      bytes_(bytes) {
  std::memset(data_.get(), 0, static_cast<size_t>(bytes));
}

Buffer::Buffer(DType dtype, std::initializer_list<int64> shape) : Buffer(bytes_of(dtype, shape)) {
  view_ = View(data_.get(), dtype, shape);
}

}  // namespace fovea
