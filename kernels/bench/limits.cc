#include "kernels/bench/limits.h"

#include <algorithm>

#include "core/error.h"
#include "core/stream.h"
#include "kernels/bench/options.h"
#include "kernels/matmul/matmul.h"
#include "kernels/peak/peak.h"
#include "kernels/simd/instruction_set.h"

namespace fovea {
namespace {

/// FLOP/s of our product of two square matrices.
double product_rate(DType dtype, int threads) {
  constexpr int64 kSize = 2048;
  constexpr int kAttempts = 5;
  const Buffer a(dtype, {kSize, kSize}), b(dtype, {kSize, kSize}), c(DType::f32, {kSize, kSize});
  for (const Buffer* operand : {&a, &b})  // ones: a product of zeros might be spared
    for (int64 i = 0; i < kSize * kSize; ++i) store(operand->view().reshape({kSize * kSize}), {i}, 1);
  Stream stream(Backend::cpu, threads);
  matmul(stream, {.a = a, .b = b, .c = c});
  double best = 0;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    const double start = bench_seconds(threads);
    matmul(stream, {.a = a, .b = b, .c = c});
    best = std::max(best, 2.0 * kSize * kSize * kSize / (bench_seconds(threads) - start));
  }
  return best;
}

}  // namespace

std::vector<std::string> limit_names() {
  std::vector<std::string> names = {"limit/fma", "limit/matmul_2048/f32", "limit/matmul_2048/bf16",
                                    "limit/read"};
  if (has_bf16_dot()) names.insert(names.begin() + 1, "limit/bf16_dot");
  return names;
}

double measured_limit(std::string_view name, int threads) {
  if (name == "limit/fma") return measured_peak_flops(DType::f32, threads);
  if (name == "limit/bf16_dot" && has_bf16_dot()) return measured_peak_flops(DType::bf16, threads);
  if (name == "limit/matmul_2048/f32") return product_rate(DType::f32, threads);
  if (name == "limit/matmul_2048/bf16") return product_rate(DType::bf16, threads);
  if (name == "limit/read") return measured_read_bandwidth(threads);
  fail_usage("there is no {} on this machine; fovea-bench --benchmark_list_tests=true lists what there is",
             name);
}

}  // namespace fovea
