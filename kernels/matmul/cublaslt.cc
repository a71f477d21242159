#include "kernels/matmul/cublaslt.h"

#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <mutex>

#include "core/cuda/check.h"
#include "kernels/matmul/cublaslt_library.h"

namespace fovea::cuda {
namespace {

std::string describe(const MatMul& op) {
  return fmt::format("c {} {}= {}{} {}{}{}", op.c.describe(), op.accumulate ? "+" : "", op.a.describe(),
                     op.transpose_a ? "^T" : "", op.b.describe(), op.transpose_b ? "^T" : "",
                     op.bias ? " + bias" : "");
}

std::string_view hint_for(cublasStatus_t status) {
  switch (status) {
    case CUBLAS_STATUS_NOT_INITIALIZED:
      return "is there a GPU, and a driver as new as the toolkit? nvidia-smi says";
    case CUBLAS_STATUS_ALLOC_FAILED:
      return "no memory is left: lower train.grain or train.sequence";
    case CUBLAS_STATUS_ARCH_MISMATCH:
    case CUBLAS_STATUS_NOT_SUPPORTED:
      return "this GPU has no algorithm for it: widths that are multiples of 8 have one";
    case CUBLAS_STATUS_EXECUTION_FAILED:
    case CUBLAS_STATUS_INTERNAL_ERROR:
      return "compute-sanitizer or another version of the library may tell why";
    default:
      return "this is a mistake of ours: please report it";
  }
}

void check(cublasStatus_t status, std::string_view call, const MatMul& op) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  // What the library cannot explain may be an error of a kernel before, which it was the first to see.
  if (status == CUBLAS_STATUS_EXECUTION_FAILED || status == CUBLAS_STATUS_INTERNAL_ERROR)
    fovea::cuda::check(cudaDeviceSynchronize(), call);
  const std::string line =
      fmt::format("{}: {} for {}: {}", call, cublaslt().status_name(status), describe(op), hint_for(status));
  const bool unable = status == CUBLAS_STATUS_NOT_SUPPORTED || status == CUBLAS_STATUS_ARCH_MISMATCH ||
                      status == CUBLAS_STATUS_NOT_INITIALIZED;
  throw UserError(unable ? ExitCode::unavailable : ExitCode::failed, line);
}

struct Destroy {
  void operator()(cublasLtMatmulDesc_t description) const { cublaslt().matmul_desc_destroy(description); }
  void operator()(cublasLtMatrixLayout_t layout) const { cublaslt().matrix_layout_destroy(layout); }
  void operator()(cublasLtMatmulPreference_t preference) const {
    cublaslt().matmul_preference_destroy(preference);
  }
};
using Description = std::unique_ptr<cublasLtMatmulDescOpaque_t, Destroy>;
using Matrix = std::unique_ptr<cublasLtMatrixLayoutOpaque_t, Destroy>;
using Preference = std::unique_ptr<cublasLtMatmulPreferenceOpaque_t, Destroy>;

cudaDataType_t type_of(const View& view) {
  FOVEA_CHECK(view.dtype() == DType::f32 || view.dtype() == DType::bf16, "cublasLt: {}", view.describe());
  return view.dtype() == DType::f32 ? CUDA_R_32F : CUDA_R_16BF;
}

/// Elements between rows; of a single row whatever its stride is.
int64 leading(const View& matrix) { return std::max({matrix.stride(0), matrix.size(1), int64{1}}); }

uint32 alignment_of(const View& view) {
  const auto address = static_cast<int64>(reinterpret_cast<uintptr_t>(view.data()));
  return static_cast<uint32>((address | kTrustedAlignment) & -(address | kTrustedAlignment));
}

/// What an algorithm is chosen for.
using Key = std::array<int64, 16>;

Key key_of(const MatMul& op) {
  return {op.a.size(0),
          op.a.size(1),
          op.c.size(0),
          op.c.size(1),
          leading(op.a),
          leading(op.b),
          leading(op.c),
          op.transpose_a,
          op.transpose_b,
          op.accumulate,
          static_cast<int64>(op.a.dtype()),
          static_cast<int64>(op.c.dtype()),
          alignment_of(op.a),
          alignment_of(op.b),
          alignment_of(op.c),
          op.bias ? alignment_of(op.bias) : 0};
}

/// One kind of product as the library knows it.
struct Product {
  Description description;
  Matrix first, second, result;
  cublasLtMatmulAlgo_t algorithm;
};

// The library's matrices are column-major: to it a view (rows, columns) is (columns, rows), and
// c^T = op(b)^T op(a)^T is what it is asked for, b as its first operand.
Matrix matrix_of(const View& view, const MatMul& op) {
  cublasLtMatrixLayout_t layout = nullptr;
  check(cublaslt().matrix_layout_create(&layout, type_of(view), static_cast<uint64>(view.size(1)),
                                        static_cast<uint64>(view.size(0)), leading(view)),
        "cublasLtMatrixLayoutCreate", op);
  return Matrix(layout);
}

template <class T>
void set(const Description& description, cublasLtMatmulDescAttributes_t attribute, const T& value,
         const MatMul& op) {
  check(cublaslt().matmul_desc_set_attribute(description.get(), attribute, &value, sizeof value),
        "cublasLtMatmulDescSetAttribute", op);
}

Description description_of(const MatMul& op) {
  cublasLtMatmulDesc_t made = nullptr;
  check(cublaslt().matmul_desc_create(&made, CUBLAS_COMPUTE_32F, CUDA_R_32F), "cublasLtMatmulDescCreate", op);
  Description description(made);
  const auto operation = [](bool transposed) -> int32 { return transposed ? CUBLAS_OP_T : CUBLAS_OP_N; };
  set(description, CUBLASLT_MATMUL_DESC_TRANSA, operation(op.transpose_b), op);
  set(description, CUBLASLT_MATMUL_DESC_TRANSB, operation(op.transpose_a), op);
  if (op.bias) {
    set(description, CUBLASLT_MATMUL_DESC_EPILOGUE, uint32{CUBLASLT_EPILOGUE_BIAS}, op);
    set(description, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, int32{type_of(op.bias)}, op);
    // the choice of an algorithm looks at its alignment
    set(description, CUBLASLT_MATMUL_DESC_BIAS_POINTER, static_cast<const void*>(op.bias.data()), op);
  }
  return description;
}

Preference preference_of(const MatMul& op) {
  cublasLtMatmulPreference_t made = nullptr;
  check(cublaslt().matmul_preference_create(&made), "cublasLtMatmulPreferenceCreate", op);
  Preference preference(made);
  const auto prefer = [&](cublasLtMatmulPreferenceAttributes_t attribute, auto value) {
    check(cublaslt().matmul_preference_set_attribute(made, attribute, &value, sizeof value),
          "cublasLtMatmulPreferenceSetAttribute", op);
  };
  prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, static_cast<uint64>(product_workspace(op)));
  // a sum over K that is cut is added up in f32 and in order, by a step of its own
  prefer(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
         uint32{CUBLASLT_REDUCTION_SCHEME_NONE | CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE});
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, alignment_of(op.b));
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, alignment_of(op.a));
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, alignment_of(op.c));
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, alignment_of(op.c));
  return preference;
}

Product choose(cublasLtHandle_t handle, const MatMul& op) {
  Product product{description_of(op), matrix_of(op.b, op), matrix_of(op.a, op), matrix_of(op.c, op), {}};
  const Preference preference = preference_of(op);
  cublasLtMatmulHeuristicResult_t found{};
  int count = 0;
  check(cublaslt().matmul_algo_get_heuristic(handle, product.description.get(), product.first.get(),
                                             product.second.get(), product.result.get(), product.result.get(),
                                             preference.get(), 1, &found, &count),
        "cublasLtMatmulAlgoGetHeuristic", op);
  check(count > 0 ? found.state : CUBLAS_STATUS_NOT_SUPPORTED, "cublasLtMatmulAlgoGetHeuristic", op);
  product.algorithm = found.algo;
  return product;
}

/// The library on one device.
class Library {
 public:
  explicit Library(const MatMul& op) { check(cublaslt().create(&handle_), "cublasLtCreate", op); }
  cublasLtHandle_t handle() const { return handle_; }
  Product& product(const MatMul& op) {
    constexpr size_t kMost = 4096;  // a model has a few dozen kinds; sequences of every length have many
    const Key key = key_of(op);
    const auto found = products_.find(key);
    if (found != products_.end()) return found->second;
    if (products_.size() >= kMost) products_.clear();
    return products_.emplace(key, choose(handle_, op)).first->second;
  }

 private:
  cublasLtHandle_t handle_ = nullptr;  // lives as long as the process: CUDA may be gone before its statics
  std::map<Key, Product> products_;
};

Library& library(const MatMul& op) {
  static auto& libraries = *new std::map<int, Library>;
  int device = 0;
  if (const cudaError_t error = cudaGetDevice(&device); error != cudaSuccess)
    fail_unavailable("cudaGetDevice: {} for {}", cudaGetErrorString(error), describe(op));
  return libraries.try_emplace(device, op).first->second;
}

}  // namespace

void multiply_by_library(const MatMul& op, void* workspace, cudaStream_t stream) {
  static std::mutex mutex;  // the bias is told by changing the description
  const std::lock_guard lock(mutex);
  Library& here = library(op);
  Product& product = here.product(op);
  if (op.bias)
    set(product.description, CUBLASLT_MATMUL_DESC_BIAS_POINTER, static_cast<const void*>(op.bias.data()), op);
  const float alpha = 1, beta = op.accumulate ? 1.0f : 0.0f;
  check(cublaslt().matmul(here.handle(), product.description.get(), &alpha, op.b.data(), product.first.get(),
                          op.a.data(), product.second.get(), &beta, op.c.data(), product.result.get(),
                          op.c.data(), product.result.get(), &product.algorithm, workspace,
                          static_cast<size_t>(product_workspace(op)), stream),
        "cublasLtMatmul", op);
}

}  // namespace fovea::cuda
