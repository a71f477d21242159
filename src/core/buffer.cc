#include "core/buffer.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <new>

#include "core/device.h"
#include "core/error.h"

namespace fovea {
namespace {

constexpr std::align_val_t kAlignment{64};
// Large buffers lie on large pages: rows of different heads lie a small page or more apart, and a processor
// that looks up each page anew reads them at half its speed.
constexpr int64 kLargePage = int64{2} << 20;

// The address sanitizer sees the ends of what operator new gives, and of nothing else.
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FOVEA_ASAN
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(FOVEA_ASAN)
constexpr bool is_mapped(int64) { return false; }
#else
constexpr bool is_mapped(int64 bytes) { return bytes >= 2 * kLargePage; }
#endif

int64 whole_pages(int64 bytes) {
  static const int64 page = ::sysconf(_SC_PAGESIZE);
  return round_up(bytes, page);
}

std::byte* map(int64 bytes) {
  const int64 wanted = whole_pages(bytes), taken = wanted + kLargePage;
  void* p =
      ::mmap(nullptr, static_cast<size_t>(taken), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) throw std::bad_alloc();
  auto* begin = static_cast<std::byte*>(p);
  const int64 before = -reinterpret_cast<intptr_t>(begin) & (kLargePage - 1);
  if (before > 0) ::munmap(begin, static_cast<size_t>(before));
  begin += before;
  if (before < kLargePage) ::munmap(begin + wanted, static_cast<size_t>(kLargePage - before));
  // Where the system has no large page to give, small ones serve.
  ::madvise(begin, static_cast<size_t>(wanted), MADV_HUGEPAGE);
  return begin;
}

std::byte* take(int64 bytes, Device device) {
  FOVEA_CHECK(bytes >= 0, "a buffer of {} bytes", bytes);
  if (device == Device::cuda) return static_cast<std::byte*>(device::allocate(bytes));
  if (is_mapped(bytes)) return map(bytes);
  return static_cast<std::byte*>(
      ::operator new[](static_cast<size_t>(round_up(bytes, static_cast<int64>(kAlignment))), kAlignment));
}

int64 bytes_of(DType dtype, std::initializer_list<int64> shape) {
  int64 bytes = size_of(dtype);
  for (int64 n : shape) bytes *= n;
  return bytes;
}
}  // namespace

void Buffer::Free::operator()(std::byte* p) const {
  if (device == Device::cuda)
    device::free(p);
  else if (is_mapped(bytes))
    ::munmap(p, static_cast<size_t>(whole_pages(bytes)));
  else
    ::operator delete[](p, kAlignment);
}

Buffer::Buffer(int64 bytes, Device device) : data_(take(bytes, device), Free{bytes, device}) {
  // What is mapped is zero: its pages come when they are first written, by the thread that writes them.
  if (device == Device::cpu && !is_mapped(bytes)) std::memset(data_.get(), 0, static_cast<size_t>(bytes));
}

Buffer::Buffer(DType dtype, std::initializer_list<int64> shape, Device device)
    : Buffer(bytes_of(dtype, shape), device) {
  view_ = View(data_.get(), dtype, shape, device);
}

}  // namespace fovea
