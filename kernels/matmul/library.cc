#include "kernels/matmul/library.h"

#include <dnnl.h>

namespace fovea {
namespace {

dnnl_cpu_isa_t isa_of(InstructionSet set) {
  switch (set) {
    case InstructionSet::portable:
      return dnnl_cpu_isa_sse41;
    case InstructionSet::avx2:
      return dnnl_cpu_isa_avx2;
    case InstructionSet::avx512:
      return dnnl_cpu_isa_avx512_core;
    default:
      return dnnl_cpu_isa_avx512_core_bf16;
  }
}

}  // namespace

bool limit_matrix_library(InstructionSet set) {
  if (set == instruction_sets().back()) return true;
  return dnnl_set_max_cpu_isa(isa_of(set)) == dnnl_success || dnnl_get_effective_cpu_isa() == isa_of(set);
}

}  // namespace fovea
