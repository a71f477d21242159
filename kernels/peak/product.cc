#include "kernels/peak/product.h"

#include <ctime>

#include <algorithm>

#include "core/stream.h"
#include "kernels/matmul/matmul.h"

namespace fovea {

double bench_seconds(int threads) {
  timespec t{};
  clock_gettime(threads == 1 ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

double measured_product_flops(DType dtype, int threads) {
  constexpr int64 kSize = 2048;
  constexpr int kAttempts = 5;
  const Buffer a(dtype, {kSize, kSize}), b(dtype, {kSize, kSize}), c(dtype, {kSize, kSize});
  for (const Buffer* operand : {&a, &b})  // ones: a product of zeros might be spared
    for (int64 i = 0; i < kSize * kSize; ++i) store(operand->view().reshape({kSize * kSize}), {i}, 1);
  Stream stream(Backend::cpu, threads);
  matmul(stream, {.a = a, .b = b, .bias = {}, .c = c});
  double best = 0;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    const double start = bench_seconds(threads);
    matmul(stream, {.a = a, .b = b, .bias = {}, .c = c});
    best = std::max(best, 2.0 * kSize * kSize * kSize / (bench_seconds(threads) - start));
  }
  return best;
}

}  // namespace fovea
