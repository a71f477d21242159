#include "kernels/layer_norm/backends.h"
#include "kernels/simd/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/layer_norm/cpu.cc"
#include <hwy/foreach_target.h>  // NOLINT
#include <hwy/highway.h>

#include <cmath>

#include "kernels/simd/rows-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fovea::HWY_NAMESPACE {
namespace {

void layer_norm_rows(const LayerNorm& op, Range rows, float* x_buffer /* (C) */, float* y_buffer /* (C) */) {
  const int64 C = op.x.size(1);
  const float* weight = op.weight.data<float>();
  const float* bias = op.bias ? op.bias.data<float>() : nullptr;
  for (int64 n = rows.begin; n < rows.end; ++n) {
    const float* x = read_row(op.x.dtype(), op.x.at({n, 0}), C, x_buffer);
    float* y = target_row(op.y.dtype(), op.y.at({n, 0}), y_buffer);
    const float sum = sum_row(C, [&](int64 i, auto part) HWY_ATTR { return load_row(x + i, part); });
    const float mean = sum / static_cast<float>(C);
    const F32V centre = hn::Set(F32(), mean);
    const float squares = sum_row(C, [&](int64 i, auto part) HWY_ATTR {
      const F32V v = hn::Sub(load_row(x + i, part), centre);
      return hn::Mul(v, v);
    });
    const float r = 1 / std::sqrt(squares / static_cast<float>(C) + op.epsilon);
    const F32V scale = hn::Set(F32(), r);
    for_each_vector(C, [&](int64 i, auto part) HWY_ATTR {
      const F32V normalised = hn::Mul(hn::Sub(load_row(x + i, part), centre), scale);
      const F32V b = bias ? load_row(bias + i, part) : hn::Zero(F32());
      store_row(hn::MulAdd(normalised, load_row(weight + i, part), b), y + i, part);
    });
    write_row(op.y.dtype(), op.y.at({n, 0}), C, y);
    op.mean.data<float>()[n] = mean;
    op.inverse_deviation.data<float>()[n] = r;
  }
}

void layer_norm_backward_rows(const LayerNormBackward& op, Range rows, float* const buffers[3] /* (C) each */,
                              LayerNormSums sums) {
  const int64 C = op.x.size(1);
  const float* weight = op.weight.data<float>();
  std::memset(sums.dweight, 0, static_cast<size_t>(C) * sizeof(float));
  if (sums.dbias) std::memset(sums.dbias, 0, static_cast<size_t>(C) * sizeof(float));
  for (int64 n = rows.begin; n < rows.end; ++n) {
    const float* x = read_row(op.x.dtype(), op.x.at({n, 0}), C, buffers[0]);
    const float* dy = read_row(op.dy.dtype(), op.dy.at({n, 0}), C, buffers[1]);
    float* dx = target_row(op.dx.dtype(), op.dx.at({n, 0}), buffers[2]);
    if (op.accumulate) read_row(op.dx.dtype(), op.dx.at({n, 0}), C, dx);
    // forward: y = normalised * weight + bias, normalised = (x - mean) * r
    const F32V mean = hn::Set(F32(), op.mean.data<float>()[n]);
    const F32V r = hn::Set(F32(), op.inverse_deviation.data<float>()[n]);
    const auto normalised = [&](int64 i, auto part)
                                HWY_ATTR { return hn::Mul(hn::Sub(load_row(x + i, part), mean), r); };
    const auto dnormalised = [&](int64 i, auto part) HWY_ATTR {
      return hn::Mul(load_row(dy + i, part), load_row(weight + i, part));
    };
    const float sum = sum_row(C, dnormalised);
    const float dot = sum_row(
        C, [&](int64 i, auto part) HWY_ATTR { return hn::Mul(dnormalised(i, part), normalised(i, part)); });
    // forward: mean and r depend on every x: d(mean)/dx = 1 / C, dr/dx = -r^2 normalised / C
    const F32V from_mean = hn::Set(F32(), sum / static_cast<float>(C));
    const F32V from_r = hn::Set(F32(), dot / static_cast<float>(C));
    for_each_vector(C, [&](int64 i, auto part) HWY_ATTR {
      const F32V dyv = load_row(dy + i, part), xv = normalised(i, part);
      F32V d = hn::Sub(dnormalised(i, part), from_mean);
      d = hn::Mul(r, hn::NegMulAdd(xv, from_r, d));
      if (op.accumulate) d = hn::Add(d, load_row(dx + i, part));
      store_row(hn::MulAdd(dyv, xv, load_row(sums.dweight + i, part)), sums.dweight + i, part);
      if (sums.dbias) store_row(hn::Add(dyv, load_row(sums.dbias + i, part)), sums.dbias + i, part);
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
HWY_EXPORT(layer_norm_rows);
HWY_EXPORT(layer_norm_backward_rows);
}  // namespace

namespace cpu {

int64 scratch_bytes(const LayerNorm& op, int threads) {
  return WorkerRows(op.x.size(1), 2).scratch_bytes(threads);
}

int64 scratch_bytes(const LayerNormBackward& op, int threads) {
  const int64 N = op.x.size(0), C = op.x.size(1);
  return WorkerRows(C, 3).scratch_bytes(threads) + 2 * scratch_size<float>(summed_parts(N).count() * C);
}

void run(Execution& execution, const LayerNorm& op) {
  const int64 N = op.x.size(0), C = op.x.size(1);
  WorkerRows buffers(C, 2);
  buffers.take(execution);
  const RowParts parts = independent_parts(N, C);
  execution.parallel_for(parts.count(), [&](int64 part, int worker) {
    HWY_DYNAMIC_DISPATCH(layer_norm_rows)(op, parts[part], buffers.row(worker, 0), buffers.row(worker, 1));
  });
}

void run(Execution& execution, const LayerNormBackward& op) {
  const int64 N = op.x.size(0), C = op.x.size(1);
  WorkerRows buffers(C, 3);
  buffers.take(execution);
  const RowParts parts = summed_parts(N);
  float* dweight = execution.scratch<float>(parts.count() * C);                     // (parts, C)
  float* dbias = op.dbias ? execution.scratch<float>(parts.count() * C) : nullptr;  // (parts, C)
  execution.parallel_for(parts.count(), [&](int64 part, int worker) {
    float* const rows[3] = {buffers.row(worker, 0), buffers.row(worker, 1), buffers.row(worker, 2)};
    const LayerNormSums sums{dweight + part * C, dbias ? dbias + part * C : nullptr};
    HWY_DYNAMIC_DISPATCH(layer_norm_backward_rows)(op, parts[part], rows, sums);
  });
  add_parts(execution, dweight, parts.count(), C, op.dweight.data<float>());
  if (dbias) add_parts(execution, dbias, parts.count(), C, op.dbias.data<float>());
}

}  // namespace cpu
}  // namespace fovea
#endif  // HWY_ONCE
