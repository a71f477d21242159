#include "kernels/bench/limits.h"

#include "core/error.h"
#include "kernels/peak/peak.h"
#include "kernels/peak/product.h"
#include "kernels/simd/instruction_set.h"

namespace fovea {
std::vector<std::string> limit_names() {
  std::vector<std::string> names = {"limit/fma", "limit/matmul_2048/f32", "limit/matmul_2048/bf16",
                                    "limit/read"};
  if (find_device().device)
    names.insert(names.end(),
                 {"limit/cuda/product_8192/f32", "limit/cuda/product_8192/bf16", "limit/cuda/copy"});
  if (has_bf16_dot()) names.insert(names.begin() + 1, "limit/bf16_dot");
  return names;
}

double measured_limit(std::string_view name, int threads) {
  if (name == "limit/fma") return measured_peak_flops(DType::f32, threads);
  if (name == "limit/bf16_dot" && has_bf16_dot()) return measured_peak_flops(DType::bf16, threads);
  if (name == "limit/matmul_2048/f32") return measured_product_flops(DType::f32, threads);
  if (name == "limit/matmul_2048/bf16") return measured_product_flops(DType::bf16, threads);
  if (name == "limit/cuda/product_8192/f32") return measured_device_product_flops(DType::f32);
  if (name == "limit/cuda/product_8192/bf16") return measured_device_product_flops(DType::bf16);
  if (name == "limit/cuda/copy") return measured_device_bandwidth();
  if (name == "limit/read") return measured_read_bandwidth(threads);
  fail_usage("there is no {} on this machine; fovea-bench --benchmark_list_tests=true lists what there is",
             name);
}

double measured_peak_flops(Backend backend, DType dtype, int threads) {
  if (device_of(backend) == Device::cpu) return measured_peak_flops(dtype, threads);
  // cuBLASLt has no product of f16 here, and the tensor cores take it as fast as bf16.
  return measured_device_product_flops(dtype == DType::f16 ? DType::bf16 : dtype);
}

}  // namespace fovea
