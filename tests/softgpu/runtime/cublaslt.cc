// Exports of libcublasLt.so.13: the functions that a trainer uses. Attributes that are not in the tables
// below are refused by their number.

#include <cublasLt.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <functional>
#include <span>

#include "machine/fault.h"
#include "runtime/cublaslt_descriptors.h"
#include "runtime/product.h"
#include "runtime/seam.h"

namespace softgpu::cublaslt {

namespace {

struct Attribute {
  int number;
  size_t offset, bytes;
};

#define SOFTGPU_ATTRIBUTE(prefix, name, type, member) \
  Attribute { prefix##name, offsetof(type, member), sizeof(type::member) }
constexpr Attribute kLayoutAttributes[] = {
    SOFTGPU_ATTRIBUTE(CUBLASLT_MATRIX_LAYOUT_, TYPE, Layout, type),
    SOFTGPU_ATTRIBUTE(CUBLASLT_MATRIX_LAYOUT_, ORDER, Layout, order),
    SOFTGPU_ATTRIBUTE(CUBLASLT_MATRIX_LAYOUT_, ROWS, Layout, rows),
    SOFTGPU_ATTRIBUTE(CUBLASLT_MATRIX_LAYOUT_, COLS, Layout, cols),
    SOFTGPU_ATTRIBUTE(CUBLASLT_MATRIX_LAYOUT_, LD, Layout, ld),
    SOFTGPU_ATTRIBUTE(CUBLASLT_MATRIX_LAYOUT_, BATCH_COUNT, Layout, batch_count),
    SOFTGPU_ATTRIBUTE(CUBLASLT_MATRIX_LAYOUT_, BATCH_MODE, Layout, batch_mode),
    SOFTGPU_ATTRIBUTE(CUBLASLT_MATRIX_LAYOUT_, STRIDED_BATCH_OFFSET, Layout, strided_batch_offset),
};
constexpr Attribute kDescriptionAttributes[] = {
    SOFTGPU_ATTRIBUTE(CUBLASLT_MATMUL_DESC_, COMPUTE_TYPE, Description, compute_type),
    SOFTGPU_ATTRIBUTE(CUBLASLT_MATMUL_DESC_, SCALE_TYPE, Description, scale_type),
    SOFTGPU_ATTRIBUTE(CUBLASLT_MATMUL_DESC_, POINTER_MODE, Description, pointer_mode),
    SOFTGPU_ATTRIBUTE(CUBLASLT_MATMUL_DESC_, TRANSA, Description, transa),
    SOFTGPU_ATTRIBUTE(CUBLASLT_MATMUL_DESC_, TRANSB, Description, transb),
    SOFTGPU_ATTRIBUTE(CUBLASLT_MATMUL_DESC_, EPILOGUE, Description, epilogue),
    SOFTGPU_ATTRIBUTE(CUBLASLT_MATMUL_DESC_, BIAS_POINTER, Description, bias_pointer),
    SOFTGPU_ATTRIBUTE(CUBLASLT_MATMUL_DESC_, BIAS_BATCH_STRIDE, Description, bias_batch_stride),
    SOFTGPU_ATTRIBUTE(CUBLASLT_MATMUL_DESC_, BIAS_DATA_TYPE, Description, bias_data_type),
    SOFTGPU_ATTRIBUTE(CUBLASLT_MATMUL_DESC_, SM_COUNT_TARGET, Description, sm_count_target),
};
constexpr Attribute kPreferenceAttributes[] = {
    SOFTGPU_ATTRIBUTE(CUBLASLT_MATMUL_PREF_, SEARCH_MODE, Preference, search_mode),
    SOFTGPU_ATTRIBUTE(CUBLASLT_MATMUL_PREF_, MAX_WORKSPACE_BYTES, Preference, max_workspace_bytes),
    SOFTGPU_ATTRIBUTE(CUBLASLT_MATMUL_PREF_, REDUCTION_SCHEME_MASK, Preference, reduction_scheme_mask),
    SOFTGPU_ATTRIBUTE(CUBLASLT_MATMUL_PREF_, MIN_ALIGNMENT_A_BYTES, Preference, min_alignment_a_bytes),
    SOFTGPU_ATTRIBUTE(CUBLASLT_MATMUL_PREF_, MIN_ALIGNMENT_B_BYTES, Preference, min_alignment_b_bytes),
    SOFTGPU_ATTRIBUTE(CUBLASLT_MATMUL_PREF_, MIN_ALIGNMENT_C_BYTES, Preference, min_alignment_c_bytes),
    SOFTGPU_ATTRIBUTE(CUBLASLT_MATMUL_PREF_, MIN_ALIGNMENT_D_BYTES, Preference, min_alignment_d_bytes),
    SOFTGPU_ATTRIBUTE(CUBLASLT_MATMUL_PREF_, MAX_WAVES_COUNT, Preference, max_waves_count),
};
#undef SOFTGPU_ATTRIBUTE

// The attribute of that number, if `bytes` is its size (0: asked for the size); nullptr and a refusal
// otherwise.
const Attribute* find(std::span<const Attribute> table, const char* of, int number, size_t bytes,
                      cublasStatus_t& status) {
  const auto found =
      std::find_if(table.begin(), table.end(), [&](const Attribute& each) { return each.number == number; });
  if (found == table.end()) {
    status =
        refuse(CUBLAS_STATUS_NOT_SUPPORTED, fmt::format("attribute {} of a {} is not supported", number, of));
    return nullptr;
  }
  if (bytes != 0 && bytes != found->bytes) {
    status = refuse(CUBLAS_STATUS_INVALID_VALUE, fmt::format("attribute {} of a {} has {} bytes, not {}",
                                                             number, of, found->bytes, bytes));
    return nullptr;
  }
  return &*found;
}

cublasStatus_t set(std::span<const Attribute> table, const char* of, void* opaque, int number,
                   const void* value, size_t bytes) {
  cublasStatus_t status = CUBLAS_STATUS_SUCCESS;
  if (opaque == nullptr || value == nullptr || bytes == 0) return CUBLAS_STATUS_INVALID_VALUE;
  const Attribute* const attribute = find(table, of, number, bytes, status);
  if (attribute != nullptr) std::memcpy(static_cast<std::byte*>(opaque) + attribute->offset, value, bytes);
  return status;
}

cublasStatus_t get_attribute(std::span<const Attribute> table, const char* of, const void* opaque, int number,
                             void* value, size_t bytes, size_t* written) {
  cublasStatus_t status = CUBLAS_STATUS_SUCCESS;
  if (opaque == nullptr || (bytes == 0 ? written == nullptr : value == nullptr))
    return CUBLAS_STATUS_INVALID_VALUE;
  const Attribute* const attribute = find(table, of, number, bytes, status);
  if (attribute == nullptr) return status;
  if (bytes != 0) std::memcpy(value, static_cast<const std::byte*>(opaque) + attribute->offset, bytes);
  if (written != nullptr) *written = attribute->bytes;
  return status;
}

template <class Value, class Opaque>
cublasStatus_t create(Opaque** made, const Value& value) {
  if (made == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  *made = new Opaque{};
  put(value, *made);
  return CUBLAS_STATUS_SUCCESS;
}

template <class Value, class Opaque>
cublasStatus_t initialise(Opaque* opaque, size_t bytes, const Value& value) {
  if (bytes < sizeof(Opaque)) return CUBLAS_STATUS_ALLOC_FAILED;
  *opaque = {};
  put(value, opaque);
  return CUBLAS_STATUS_SUCCESS;
}

Layout layout_of(cudaDataType type, uint64_t rows, uint64_t columns, int64_t leading) {
  Layout layout;
  layout.type = static_cast<uint32_t>(type);
  layout.rows = rows;
  layout.cols = columns;
  layout.ld = leading;
  return layout;
}

Description description_of(cublasComputeType_t compute, cudaDataType_t scale) {
  Description description;
  description.compute_type = compute;
  description.scale_type = scale;
  return description;
}

Request request_of(cublasLtMatmulDesc_t description, cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                   cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d) {
  return {get<Description>(description), get<Layout>(a), get<Layout>(b), get<Layout>(c), get<Layout>(d)};
}

constexpr uint64_t kWorkspace = 64 << 10;  // what this library's algorithms ask for, where they may

Algorithm algorithm_for(const Request& request, const Preference& preference) {
  Algorithm algorithm;
  algorithm.problem = problem_of(request);
  algorithm.workspace_bytes = std::min(kWorkspace, preference.max_workspace_bytes);
  const uint32_t alignments[] = {preference.min_alignment_a_bytes, preference.min_alignment_b_bytes,
                                 preference.min_alignment_c_bytes, preference.min_alignment_d_bytes};
  std::copy(std::begin(alignments), std::end(alignments), algorithm.alignment);
  return algorithm;
}

Factor factor_of(const Description& description, const void* value) {
  if (description.pointer_mode == CUBLASLT_POINTER_MODE_DEVICE) return {0, reinterpret_cast<uint64_t>(value)};
  return {*static_cast<const float*>(value), 0};
}

// Addresses as the algorithm was promised them.
cublasStatus_t judge_alignment(const Product& product, const Algorithm& algorithm) {
  const Matrix* const matrices[] = {&product.a, &product.b, &product.c, &product.d};
  for (size_t i = 0; i < std::size(matrices); ++i) {
    const uint64_t promised = std::max<uint64_t>(algorithm.alignment[i], bytes(matrices[i]->type));
    if (matrices[i]->address % promised != 0) {
      return refuse(
          CUBLAS_STATUS_INVALID_VALUE,
          fmt::format("{} at {:#x}: the algorithm was chosen for addresses that are multiples of {}",
                      matrices[i]->role, matrices[i]->address, promised));
    }
  }
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t judge_algorithm(const Request& request, const Product& product, const Algorithm& algorithm,
                               uint64_t workspace, size_t workspace_bytes) {
  if (algorithm.mark != Algorithm::kMark) {
    return refuse(CUBLAS_STATUS_INVALID_VALUE,
                  "the algorithm is not what cublasLtMatmulAlgoGetHeuristic gave");
  }
  if (algorithm.problem != problem_of(request)) {
    return refuse(CUBLAS_STATUS_INVALID_VALUE, "the algorithm was chosen for another product");
  }
  if (workspace_bytes < algorithm.workspace_bytes) {
    return refuse(CUBLAS_STATUS_INVALID_VALUE,
                  fmt::format("the algorithm wants {} bytes of workspace, not {}", algorithm.workspace_bytes,
                              workspace_bytes));
  }
  if (algorithm.workspace_bytes > 0 && workspace % 256 != 0) {
    return refuse(CUBLAS_STATUS_INVALID_VALUE,
                  fmt::format("a workspace at {:#x}: no multiple of 256", workspace));
  }
  return judge_alignment(product, algorithm);
}

struct StatusText {
  cublasStatus_t status;
  const char* name;
  const char* text;
};
constexpr StatusText kStatuses[] = {
    {CUBLAS_STATUS_SUCCESS, "CUBLAS_STATUS_SUCCESS", "success"},
    {CUBLAS_STATUS_NOT_INITIALIZED, "CUBLAS_STATUS_NOT_INITIALIZED", "the library was not initialized"},
    {CUBLAS_STATUS_ALLOC_FAILED, "CUBLAS_STATUS_ALLOC_FAILED", "the resource allocation failed"},
    {CUBLAS_STATUS_INVALID_VALUE, "CUBLAS_STATUS_INVALID_VALUE", "an invalid value was used as an argument"},
    {CUBLAS_STATUS_ARCH_MISMATCH, "CUBLAS_STATUS_ARCH_MISMATCH",
     "an absent device architectural feature is required"},
    {CUBLAS_STATUS_MAPPING_ERROR, "CUBLAS_STATUS_MAPPING_ERROR", "an access to GPU memory space failed"},
    {CUBLAS_STATUS_EXECUTION_FAILED, "CUBLAS_STATUS_EXECUTION_FAILED", "the GPU program failed to execute"},
    {CUBLAS_STATUS_INTERNAL_ERROR, "CUBLAS_STATUS_INTERNAL_ERROR", "an internal operation failed"},
    {CUBLAS_STATUS_NOT_SUPPORTED, "CUBLAS_STATUS_NOT_SUPPORTED",
     "the functionality requested is not supported"},
    {CUBLAS_STATUS_LICENSE_ERROR, "CUBLAS_STATUS_LICENSE_ERROR", "the license was not found"},
};

const StatusText& text_of(cublasStatus_t status) {
  static constexpr StatusText unknown{CUBLAS_STATUS_INTERNAL_ERROR, "<unknown>", "<unknown>"};
  const auto* const found = std::find_if(std::begin(kStatuses), std::end(kStatuses),
                                         [&](const StatusText& each) { return each.status == status; });
  return found == std::end(kStatuses) ? unknown : *found;
}

}  // namespace

}  // namespace softgpu::cublaslt

struct cublasLtContext {};

using namespace softgpu;
using namespace softgpu::cublaslt;

extern "C" {

size_t cublasLtGetVersion() { return CUBLAS_VERSION; }
size_t cublasLtGetCudartVersion() { return CUDART_VERSION; }
cublasStatus_t cublasLtGetProperty(libraryPropertyType type, int* value) {
  const int parts[] = {CUBLAS_VER_MAJOR, CUBLAS_VER_MINOR, CUBLAS_VER_PATCH};
  if (value == nullptr || type < MAJOR_VERSION || type > PATCH_LEVEL) return CUBLAS_STATUS_INVALID_VALUE;
  *value = parts[type];
  return CUBLAS_STATUS_SUCCESS;
}
const char* cublasLtGetStatusName(cublasStatus_t status) { return text_of(status).name; }
const char* cublasLtGetStatusString(cublasStatus_t status) { return text_of(status).text; }

cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) {
  int count = 0;
  if (cudaGetDeviceCount(&count) != cudaSuccess) return CUBLAS_STATUS_NOT_INITIALIZED;
  *handle = new cublasLtContext;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) {
  delete handle;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutInit_internal(cublasLtMatrixLayout_t layout, size_t bytes,
                                                 cudaDataType type, uint64_t rows, uint64_t columns,
                                                 int64_t leading) {
  return initialise(layout, bytes, layout_of(type, rows, columns, leading));
}
cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* layout, cudaDataType type, uint64_t rows,
                                          uint64_t columns, int64_t leading) {
  return create(layout, layout_of(type, rows, columns, leading));
}
cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) {
  delete layout;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t layout,
                                                cublasLtMatrixLayoutAttribute_t attribute, const void* value,
                                                size_t bytes) {
  return set(kLayoutAttributes, "matrix layout", layout, attribute, value, bytes);
}
cublasStatus_t cublasLtMatrixLayoutGetAttribute(cublasLtMatrixLayout_t layout,
                                                cublasLtMatrixLayoutAttribute_t attribute, void* value,
                                                size_t bytes, size_t* written) {
  return get_attribute(kLayoutAttributes, "matrix layout", layout, attribute, value, bytes, written);
}

cublasStatus_t cublasLtMatmulDescInit_internal(cublasLtMatmulDesc_t description, size_t bytes,
                                               cublasComputeType_t compute, cudaDataType_t scale) {
  return initialise(description, bytes, description_of(compute, scale));
}
cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* description, cublasComputeType_t compute,
                                        cudaDataType_t scale) {
  return create(description, description_of(compute, scale));
}
cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t description) {
  delete description;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t description,
                                              cublasLtMatmulDescAttributes_t attribute, const void* value,
                                              size_t bytes) {
  return set(kDescriptionAttributes, "matmul description", description, attribute, value, bytes);
}
cublasStatus_t cublasLtMatmulDescGetAttribute(cublasLtMatmulDesc_t description,
                                              cublasLtMatmulDescAttributes_t attribute, void* value,
                                              size_t bytes, size_t* written) {
  return get_attribute(kDescriptionAttributes, "matmul description", description, attribute, value, bytes,
                       written);
}

cublasStatus_t cublasLtMatmulPreferenceInit_internal(cublasLtMatmulPreference_t preference, size_t bytes) {
  return initialise(preference, bytes, Preference{});
}
cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* preference) {
  return create(preference, Preference{});
}
cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference) {
  delete preference;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                                    cublasLtMatmulPreferenceAttributes_t attribute,
                                                    const void* value, size_t bytes) {
  return set(kPreferenceAttributes, "matmul preference", preference, attribute, value, bytes);
}
cublasStatus_t cublasLtMatmulPreferenceGetAttribute(cublasLtMatmulPreference_t preference,
                                                    cublasLtMatmulPreferenceAttributes_t attribute,
                                                    void* value, size_t bytes, size_t* written) {
  return get_attribute(kPreferenceAttributes, "matmul preference", preference, attribute, value, bytes,
                       written);
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t handle, cublasLtMatmulDesc_t description,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t preference, int wanted,
                                              cublasLtMatmulHeuristicResult_t* results, int* found) {
  *found = 0;
  if (handle == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
  if (wanted < 1) return CUBLAS_STATUS_INVALID_VALUE;
  const Request request = request_of(description, a, b, c, d);
  cublasStatus_t status = CUBLAS_STATUS_SUCCESS;
  if (!product_of(request, status)) return status;
  results[0] = {};
  const Algorithm algorithm = algorithm_for(request, get<Preference>(preference));
  put(algorithm, &results[0].algo);
  results[0].workspaceSize = algorithm.workspace_bytes;
  results[0].state = CUBLAS_STATUS_SUCCESS;
  results[0].wavesCount = 1;
  *found = 1;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t description, const void* alpha,
                              const void* a, cublasLtMatrixLayout_t a_layout, const void* b,
                              cublasLtMatrixLayout_t b_layout, const void* beta, const void* c,
                              cublasLtMatrixLayout_t c_layout, void* d, cublasLtMatrixLayout_t d_layout,
                              const cublasLtMatmulAlgo_t* chosen, void* workspace, size_t workspace_bytes,
                              cudaStream_t stream) {
  if (handle == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
  const Request request = request_of(description, a_layout, b_layout, c_layout, d_layout);
  cublasStatus_t status = CUBLAS_STATUS_SUCCESS;
  auto product = product_of(request, status);
  if (!product) return status;
  product->a.address = reinterpret_cast<uint64_t>(a);
  product->b.address = reinterpret_cast<uint64_t>(b);
  product->c.address = reinterpret_cast<uint64_t>(c);
  product->d.address = reinterpret_cast<uint64_t>(d);
  product->alpha = factor_of(request.description, alpha);
  product->beta = factor_of(request.description, beta);
  product->workspace = reinterpret_cast<uint64_t>(workspace);
  // Without an algorithm the library chooses one for what it is given.
  Preference given;
  given.max_workspace_bytes = workspace_bytes;
  given.min_alignment_a_bytes = given.min_alignment_b_bytes = given.min_alignment_c_bytes =
      given.min_alignment_d_bytes = 1;
  const Algorithm algorithm = chosen != nullptr ? get<Algorithm>(chosen) : algorithm_for(request, given);
  status = judge_algorithm(request, *product, algorithm, product->workspace, workspace_bytes);
  if (status != CUBLAS_STATUS_SUCCESS) return status;
  product->workspace_bytes = algorithm.workspace_bytes;
  const std::function<void()> work = [ready = *product] { run_product(ready, *softgpu_global_memory()); };
  return softgpu_enqueue(stream, &work) == cudaSuccess ? CUBLAS_STATUS_SUCCESS
                                                       : CUBLAS_STATUS_EXECUTION_FAILED;
}

}  // extern "C"
