#pragma once

#include <type_traits>

#include "core/stream.h"

namespace fovea {

/// Enqueues an operation whose operands its entry point has checked: enqueue_on_backend(stream, work, op,
/// reference::run, cpu::run, cuda::run). The naive backend differs from cpu in attention alone.
template <class Op>
void enqueue_on_backend(Stream& stream, const Work& work, const Op& op,
                        std::type_identity_t<void (*)(Execution&, const Op&)> on_reference,
                        std::type_identity_t<void (*)(Execution&, const Op&)> on_cpu,
                        std::type_identity_t<void (*)(Execution&, const Op&)> on_cuda) {
  const auto run = stream.backend() == Backend::reference ? on_reference
                   : stream.device() == Device::cuda      ? on_cuda
                                                          : on_cpu;
  FOVEA_CHECK(run, "{}: no kernel on {}", work.name, name_of(stream.backend()));
  stream.enqueue(work, [op, run](Execution& execution) { run(execution, op); });
}

/// The scratch memory that the operation takes there: scratch_on_backend(stream, op, cpu::scratch_bytes,
/// cuda::scratch_bytes); none where there is no such function.
template <class Op>
int64 scratch_on_backend(const Stream& stream, const Op& op,
                         std::type_identity_t<int64 (*)(const Op&, int)> on_cpu,
                         std::type_identity_t<int64 (*)(const Op&)> on_cuda) {
  if (stream.device() == Device::cuda) return on_cuda ? on_cuda(op) : 0;
  return on_cpu ? on_cpu(op, stream.threads()) : 0;
}
template <class Op>
int64 scratch_on_backend(const Stream& stream, const Op& op,
                         std::type_identity_t<int64 (*)(const Op&)> on_cpu,
                         std::type_identity_t<int64 (*)(const Op&)> on_cuda) {
  if (stream.device() == Device::cuda) return on_cuda ? on_cuda(op) : 0;
  return on_cpu ? on_cpu(op) : 0;
}

/// Aborts unless the backend computes in this storage, where it lies: the reference reads any floating-point
/// dtype, the others f32 and bf16; `name` is the operand's, as "rms_norm: y".
inline void expect_storage(const Stream& stream, const View& view, std::string_view name) {
  const DType dtype = view.dtype();
  const bool reference = stream.backend() == Backend::reference && dtype != DType::i32;
  FOVEA_CHECK(reference || dtype == DType::f32 || dtype == DType::bf16, "{} is {}: no kernel for it", name,
              name_of(dtype));
  FOVEA_CHECK(stream.planning() || view.device() == stream.device(), "{} lies elsewhere than its stream",
              name);
}
/// The same for statistics, parameters and their gradients: f32, or f64 on the reference backend.
inline void expect_f32(const Stream& stream, const View& view, std::string_view name) {
  const DType dtype = view.dtype();
  const bool reference = stream.backend() == Backend::reference && dtype == DType::f64;
  FOVEA_CHECK(reference || dtype == DType::f32, "{} is {}, wanted f32", name, name_of(dtype));
  FOVEA_CHECK(stream.planning() || view.device() == stream.device(), "{} lies elsewhere than its stream",
              name);
}

}  // namespace fovea
