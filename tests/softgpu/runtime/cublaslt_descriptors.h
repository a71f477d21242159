#pragma once

// cublasLt's opaque descriptors, as this library fills them.

#include <cublasLt.h>

#include <cstdint>
#include <cstring>
#include <optional>
#include <string>

#include "runtime/product.h"

namespace softgpu::cublaslt {

/// One word per attribute; the names are those of cublasLtMatrixLayoutAttribute_t.
struct Layout {
  uint32_t type = 0;
  int32_t order = CUBLASLT_ORDER_COL;
  uint64_t rows = 0, cols = 0;
  int64_t ld = 0;
  int32_t batch_count = 1;
  uint32_t batch_mode = 0;
  int64_t strided_batch_offset = 0;
};

struct Description {
  int32_t compute_type = CUBLAS_COMPUTE_32F;
  int32_t scale_type = CUDA_R_32F;
  int32_t pointer_mode = CUBLASLT_POINTER_MODE_HOST;
  int32_t transa = CUBLAS_OP_N, transb = CUBLAS_OP_N;
  uint32_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
  uint64_t bias_pointer = 0;
  int64_t bias_batch_stride = 0;
  int32_t bias_data_type = -1;  // as D
  int32_t sm_count_target = 0;
};

struct Preference {
  uint32_t search_mode = CUBLASLT_SEARCH_BEST_FIT;
  uint32_t reduction_scheme_mask = CUBLASLT_REDUCTION_SCHEME_MASK;
  uint64_t max_workspace_bytes = 0;
  uint32_t min_alignment_a_bytes = 256, min_alignment_b_bytes = 256;
  uint32_t min_alignment_c_bytes = 256, min_alignment_d_bytes = 256;
  float max_waves_count = 0;
};

/// What an algorithm was chosen for: a call that is something else does not fit it.
struct Algorithm {
  static constexpr uint64_t kMark = 0x736F6674677075;
  uint64_t mark = kMark;
  uint64_t problem = 0;  // types, operations, orders, epilogue, sizes
  uint64_t workspace_bytes = 0;
  uint32_t alignment[4] = {};  // of A, B, C, D
};

template <class Value, class Opaque>
Value get(const Opaque* opaque) {
  static_assert(sizeof(Value) <= sizeof(Opaque));
  Value value;
  std::memcpy(static_cast<void*>(&value), opaque, sizeof value);
  return value;
}
template <class Value, class Opaque>
void put(const Value& value, Opaque* opaque) {
  static_assert(sizeof(Value) <= sizeof(Opaque));
  std::memcpy(static_cast<void*>(opaque), &value, sizeof value);
}

/// A line on stderr, and the status.
cublasStatus_t refuse(cublasStatus_t status, const std::string& why);

/// Everything that a product is asked for with, before addresses.
struct Request {
  Description description;
  Layout a, b, c, d;
};
/// The product without its addresses and factors; nothing, and a refusal, if it is none that this library
/// knows or if sizes do not fit.
std::optional<Product> product_of(const Request& request, cublasStatus_t& status);
/// A number for what an algorithm depends on.
uint64_t problem_of(const Request& request);

}  // namespace softgpu::cublaslt
