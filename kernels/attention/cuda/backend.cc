#include <algorithm>

#include "kernels/attention/backends.h"
#include "kernels/attention/cuda/passes.h"
#include "kernels/attention/cuda/prepare.h"

namespace fovea {
namespace {

using namespace cuda;

// What the tensor core kernels cannot do at all; their operands must have rows_of_16_bytes() besides.
bool may_use_tensor_cores(const AttentionProblem& p) {
  const auto fits = [](int64 dim) { return dim % 8 == 0 && dim <= 256; };
  return (p.dtype == DType::bf16 || p.dtype == DType::f16) && fits(p.qk_dim) && fits(p.v_dim);
}

template <class... Views>
bool all_rows_of_16_bytes(const Views&... views) {
  return (rows_of_16_bytes(views) && ...);
}

class CudaAttention final : public AttentionBackend {
 public:
  std::string_view name() const override { return "cuda"; }
  std::string description() const override {
    return "flash attention on tensor cores in bf16 and f16, f32 sums; f32, and rows that are not multiples "
           "of "
           "16 bytes, by a simple kernel";
  }
  Support supports(const AttentionProblem& p) const override {
    if (p.dtype == DType::f64 || p.dtype == DType::i32)
      return {false, "the cuda backend computes in f32, bf16 or f16; use the reference backend for f64"};
    constexpr int64 kMost = INT32_MAX - 1024;  // rows and keys, and tiles behind the last of them
    if (p.kv_len > kMost || p.q_len > kMost / p.group() || p.batch > kMost)
      return {false, "the cuda backend counts rows of a group's heads, and keys, in 31 bits"};
    return {};
  }
  int64 workspace_bytes(const AttentionProblem& p, Pass pass, int) const override {
    const bool forward = pass == Pass::forward;
    const int64 simple = forward ? simple_forward_bytes(p) : simple_backward_bytes(p);
    if (!may_use_tensor_cores(p)) return simple;
    return std::max(simple, forward ? flash_forward_bytes(p) : flash_backward_bytes(p));
  }
  void forward(Execution& execution, const AttentionForward& op) const override {
    const bool flash = may_use_tensor_cores(op.problem) && all_rows_of_16_bytes(op.q, op.k, op.v, op.out);
    (flash ? flash_forward : simple_forward)(execution, op);
  }
  void backward(Execution& execution, const AttentionBackward& op) const override {
    const bool flash = may_use_tensor_cores(op.problem) && flash_backward_fits(op.problem) &&
                       all_rows_of_16_bytes(op.q, op.k, op.v, op.out, op.dout, op.dq, op.dk, op.dv);
    (flash ? flash_backward : simple_backward)(execution, op);
  }
};

}  // namespace

const AttentionBackend& cuda_attention_backend() {
  static const CudaAttention backend;
  return backend;
}

}  // namespace fovea
