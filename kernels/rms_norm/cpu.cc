#include "kernels/rms_norm/backends.h"
#include "kernels/simd/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/rms_norm/cpu.cc"
#include <hwy/foreach_target.h>  // NOLINT
#include <hwy/highway.h>

#include <cmath>

#include "kernels/simd/rows-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fovea::HWY_NAMESPACE {
namespace {

void rms_norm_rows(const RmsNorm& op, Range rows, float* x_buffer /* (C) */, float* y_buffer /* (C) */) {
  const int64 C = op.x.size(1);
  const float* weight = op.weight.data<float>();
  const F32V offset = hn::Set(F32(), op.weight_offset);
  for (int64 n = rows.begin; n < rows.end; ++n) {
    const float* x = read_row(op.x.dtype(), op.x.at({n, 0}), C, x_buffer);
    float* y = target_row(op.y.dtype(), op.y.at({n, 0}), y_buffer);
    const float squares = sum_row(C, [&](int64 i, auto part) HWY_ATTR {
      const F32V v = load_row(x + i, part);
      return hn::Mul(v, v);
    });
    const float r = 1 / std::sqrt(squares / static_cast<float>(C) + op.epsilon);
    const F32V scale = hn::Set(F32(), r);
    for_each_vector(C, [&](int64 i, auto part) HWY_ATTR {
      const F32V w = hn::Add(offset, load_row(weight + i, part));
      store_row(hn::Mul(hn::Mul(load_row(x + i, part), scale), w), y + i, part);
    });
    write_row(op.y.dtype(), op.y.at({n, 0}), C, y);
    op.inverse_rms.data<float>()[n] = r;
  }
}

void rms_norm_backward_rows(const RmsNormBackward& op, Range rows, float* const buffers[3] /* (C) each */,
                            float* dweight /* (C), of this part */) {
  const int64 C = op.x.size(1);
  const float* weight = op.weight.data<float>();
  const F32V offset = hn::Set(F32(), op.weight_offset);
  std::memset(dweight, 0, static_cast<size_t>(C) * sizeof(float));
  for (int64 n = rows.begin; n < rows.end; ++n) {
    const float* x = read_row(op.x.dtype(), op.x.at({n, 0}), C, buffers[0]);
    const float* dy = read_row(op.dy.dtype(), op.dy.at({n, 0}), C, buffers[1]);
    float* dx = target_row(op.dx.dtype(), op.dx.at({n, 0}), buffers[2]);
    if (op.accumulate) read_row(op.dx.dtype(), op.dx.at({n, 0}), C, dx);
    // forward: y = x * r * (weight_offset + weight)
    const float r = op.inverse_rms.data<float>()[n];
    const float dot = sum_row(C, [&](int64 i, auto part) HWY_ATTR {
      const F32V w = hn::Add(offset, load_row(weight + i, part));
      return hn::Mul(hn::Mul(load_row(dy + i, part), w), load_row(x + i, part));
    });
    // forward: r = 1 / sqrt(mean(x^2) + epsilon), so dr/dx = -r^3 x / C
    const F32V k = hn::Set(F32(), dot * r * r / static_cast<float>(C)), scale = hn::Set(F32(), r);
    for_each_vector(C, [&](int64 i, auto part) HWY_ATTR {
      const F32V xv = load_row(x + i, part), dyv = load_row(dy + i, part);
      const F32V w = hn::Add(offset, load_row(weight + i, part));
      store_row(hn::MulAdd(dyv, hn::Mul(xv, scale), load_row(dweight + i, part)), dweight + i, part);
      F32V d = hn::Mul(scale, hn::NegMulAdd(k, xv, hn::Mul(dyv, w)));
      if (op.accumulate) d = hn::Add(d, load_row(dx + i, part));
      store_row(d, dx + i, part);
    });
    write_row(op.dx.dtype(), op.dx.at({n, 0}), C, dx);
  }
}

}  // namespace
}  // namespace fovea::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fovea {
namespace {
HWY_EXPORT(rms_norm_rows);
HWY_EXPORT(rms_norm_backward_rows);
}  // namespace

namespace cpu {

int64 scratch_bytes(const RmsNorm& op, int threads) {
  return WorkerRows(op.x.size(1), 2).scratch_bytes(threads);
}

int64 scratch_bytes(const RmsNormBackward& op, int threads) {
  const int64 N = op.x.size(0), C = op.x.size(1);
  return WorkerRows(C, 3).scratch_bytes(threads) + scratch_size<float>(summed_parts(N).count() * C);
}

void run(Execution& execution, const RmsNorm& op) {
  const int64 N = op.x.size(0), C = op.x.size(1);
  WorkerRows buffers(C, 2);
  buffers.take(execution);
  const RowParts parts = independent_parts(N, C);
  execution.parallel_for(parts.count(), [&](int64 part, int worker) {
    HWY_DYNAMIC_DISPATCH(rms_norm_rows)(op, parts[part], buffers.row(worker, 0), buffers.row(worker, 1));
  });
}

void run(Execution& execution, const RmsNormBackward& op) {
  const int64 N = op.x.size(0), C = op.x.size(1);
  WorkerRows buffers(C, 3);
  buffers.take(execution);
  const RowParts parts = summed_parts(N);
  float* dweight = execution.scratch<float>(parts.count() * C);  // (parts, C)
  execution.parallel_for(parts.count(), [&](int64 part, int worker) {
    float* const rows[3] = {buffers.row(worker, 0), buffers.row(worker, 1), buffers.row(worker, 2)};
    HWY_DYNAMIC_DISPATCH(rms_norm_backward_rows)(op, parts[part], rows, dweight + part * C);
  });
  add_parts(execution, dweight, parts.count(), C, op.dweight.data<float>());
}

}  // namespace cpu
}  // namespace fovea
#endif  // HWY_ONCE
