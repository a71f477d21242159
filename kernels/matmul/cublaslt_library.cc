#include "kernels/matmul/cublaslt_library.h"

#include <dlfcn.h>

#include <string>

#include "core/error.h"

namespace fovea::cuda {
namespace {

template <class F>
void find(void* library, const char* name, F& function) {
  function = reinterpret_cast<F>(::dlsym(library, name));
  if (!function) fail_unavailable("cuBLASLt has no {}: install that of CUDA {}", name, CUBLAS_VER_MAJOR);
}

CublasLt load() {
  const std::string name = fmt::format("libcublasLt.so.{}", CUBLAS_VER_MAJOR);
  void* library = ::dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    const char* why = ::dlerror();
    fail_unavailable(
        "matrix products on the GPU need {}: {}; install cuBLAS of CUDA {}, or name its folder in "
        "LD_LIBRARY_PATH",
        name, why ? why : "not found", CUBLAS_VER_MAJOR);
  }
  CublasLt functions;
  find(library, "cublasLtCreate", functions.create);
  find(library, "cublasLtGetStatusName", functions.status_name);
  find(library, "cublasLtMatmul", functions.matmul);
  find(library, "cublasLtMatmulAlgoGetHeuristic", functions.matmul_algo_get_heuristic);
  find(library, "cublasLtMatmulDescCreate", functions.matmul_desc_create);
  find(library, "cublasLtMatmulDescDestroy", functions.matmul_desc_destroy);
  find(library, "cublasLtMatmulDescSetAttribute", functions.matmul_desc_set_attribute);
  find(library, "cublasLtMatrixLayoutCreate", functions.matrix_layout_create);
  find(library, "cublasLtMatrixLayoutDestroy", functions.matrix_layout_destroy);
  find(library, "cublasLtMatmulPreferenceCreate", functions.matmul_preference_create);
  find(library, "cublasLtMatmulPreferenceDestroy", functions.matmul_preference_destroy);
  find(library, "cublasLtMatmulPreferenceSetAttribute", functions.matmul_preference_set_attribute);
  return functions;
}

}  // namespace

const CublasLt& cublaslt() {
  static const CublasLt functions = load();
  return functions;
}

}  // namespace fovea::cuda
