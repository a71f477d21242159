#pragma once

#include "kernels/cuda_only.h"
#include "kernels/reduce/reduce.h"

namespace fovea {

struct Sum {
  View x;
  bool squares = false;
  std::optional<Readback<double>> result;
  View total;  // (1) f64, may be absent

  /// Of implementations on the host.
  void finish(double sum) const {
    if (result) result->set(sum);
    if (total) *total.data<double>() = sum;
  }
};
struct AddInto {
  View y, x;
};
struct MoveTowards {
  View y, x;
  double rate = 0;
};
struct Convert {
  View y, x;
};
struct FillZero {
  View y;
  Ranges ranges;
};

namespace reference {
void run(Execution& execution, const Sum& op);
void run(Execution& execution, const AddInto& op);
void run(Execution& execution, const MoveTowards& op);
void run(Execution& execution, const Convert& op);
}  // namespace reference

namespace cpu {
FOVEA_CPU_ONLY int64 scratch_bytes(const Sum& op);
FOVEA_CPU_ONLY void run(Execution& execution, const Sum& op);
FOVEA_CPU_ONLY void run(Execution& execution, const AddInto& op);
FOVEA_CPU_ONLY void run(Execution& execution, const MoveTowards& op);
FOVEA_CPU_ONLY void run(Execution& execution, const Convert& op);
}  // namespace cpu

namespace cuda {  // absent in builds without a CUDA compiler
FOVEA_CUDA_ONLY int64 scratch_bytes(const Sum& op);
FOVEA_CUDA_ONLY void run(Execution& execution, const Sum& op);
FOVEA_CUDA_ONLY void run(Execution& execution, const AddInto& op);
FOVEA_CUDA_ONLY void run(Execution& execution, const MoveTowards& op);
FOVEA_CUDA_ONLY void run(Execution& execution, const Convert& op);
FOVEA_CUDA_ONLY void run(Execution& execution, const FillZero& op);
}  // namespace cuda

}  // namespace fovea
