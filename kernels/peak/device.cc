#include <algorithm>
#include <array>

#include "core/host_copy.h"
#include "core/random.h"
#include "core/stream.h"
#include "kernels/matmul/matmul.h"
#include "kernels/peak/product.h"

namespace fovea {
namespace {

// Seconds of the only operation that `enqueue` puts on the stream, by the device's clock.
template <class F>
double median_seconds(Stream& stream, F enqueue) {
  enqueue();  // what is loaded when it is first used
  stream.synchronize();
  stream.profile(true);
  std::array<double, 5> seconds{};
  double before = 0;
  for (double& one : seconds) {
    enqueue();
    stream.synchronize();
    const double total = stream.operations().begin()->second.seconds;
    one = total - before;
    before = total;
  }
  std::nth_element(seconds.begin(), seconds.begin() + 2, seconds.end());
  return seconds[2];
}

}  // namespace

double measured_device_product_flops(DType dtype) {
  constexpr int64 kSize = 8192, kDrawn = int64{1} << 16;
  // Normal numbers: a product of zeros or ones takes less power, and a card may run it faster.
  const Buffer drawn(dtype, {kDrawn});
  const RandomSequence random{1, RandomUse::synthetic, 0};
  for (int64 i = 0; i < kDrawn; ++i) store(drawn, {i}, random.normal(static_cast<uint64>(i)));
  Stream stream(Backend::cuda);
  const Buffer a(dtype, {kSize, kSize}, Device::cuda), b(dtype, {kSize, kSize}, Device::cuda),
      c(dtype, {kSize, kSize}, Device::cuda);
  for (const Buffer* operand : {&a, &b})
    for (int64 at = 0; at < kSize * kSize; at += kDrawn)
      device::copy(operand->data() + at * size_of(dtype), drawn.data(), drawn.bytes());
  const double seconds = median_seconds(
      stream, [&] { matmul(stream, {.a = a, .b = b, .bias = {}, .c = c, .transpose_b = true}); });
  return 2.0 * kSize * kSize * kSize / seconds;
}

double measured_device_bandwidth() {
  constexpr int64 kBytes = int64{1} << 30;
  Stream stream(Backend::cuda);
  const Buffer from(DType::f32, {kBytes / 4}, Device::cuda), to(DType::f32, {kBytes / 4}, Device::cuda);
  return 2.0 * kBytes / median_seconds(stream, [&] { stream.copy(to, from); });
}

}  // namespace fovea
