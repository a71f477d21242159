#include "kernels/cross_entropy/backends.h"
#include "kernels/cross_entropy/chunk.h"
#include "kernels/matmul/backends.h"
#include "kernels/simd/parts.h"
#include "kernels/simd/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cross_entropy/cpu.cc"
#include <hwy/foreach_target.h>  // NOLINT
#include <hwy/highway.h>

#include <hwy/contrib/math/math-inl.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/simd/rows-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fovea::HWY_NAMESPACE {
namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

/// Highway's exp and tanh do not promise to keep a NaN: rows that hold one are told apart first.
bool all_finite(const float* x, int64 n) {
  const F32V zero = hn::Zero(F32());
  return sum_row(n, [&](int64 i, auto part) HWY_ATTR { return hn::Mul(load_row(x + i, part), zero); }) == 0;
}

float largest(const float* x, int64 n) {
  const F32 d;
  F32V most = hn::Set(d, x[0]);
  float tail = x[0];
  for_each_vector(n, [&](int64 i, auto part) HWY_ATTR {
    if constexpr (std::is_same_v<decltype(part), Whole>)
      most = hn::Max(most, load_row(x + i, part));
    else
      for (int64 rest = i; rest < n; ++rest) tail = std::max(tail, x[rest]);
  });
  return std::max(tail, hn::GetLane(hn::MaxOfLanes(d, most)));
}

/// x = softcap * tanh(x / softcap), x finite.
void cap_row(float softcap, float* x, int64 n) {
  const F32 d;
  const F32V cap = hn::Set(d, softcap), inverse = hn::Set(d, 1 / softcap);
  for_each_vector(n, [&](int64 i, auto part) HWY_ATTR {
    store_row(hn::Mul(cap, hn::Tanh(d, hn::Mul(load_row(x + i, part), inverse))), x + i, part);
  });
}

/// The loss of one row of raw logits; where `gradient`, they become the scaled gradient by themselves.
float loss_of_row(const LinearCrossEntropy& op, int64 target, float* x /* (V) */, bool gradient) {
  const F32 d;
  const int64 V = op.weight.size(0);
  if (target < 0 || !all_finite(x, V)) {
    const float value = target < 0 ? 0 : kNaN;
    if (gradient) std::fill(x, x + V, value);
    return value;
  }
  if (op.softcap > 0) cap_row(op.softcap, x, V);
  const float most = largest(x, V), at_target = x[target];
  const F32V shift = hn::Set(d, most);
  const bool keeps = gradient && op.softcap == 0;  // the exponentials, in the place of the logits
  const float sum = sum_row(V, [&](int64 i, auto part) HWY_ATTR {
    const F32V e = hn::Exp(d, hn::Sub(load_row(x + i, part), shift));
    if (keeps) store_row(e, x + i, part);
    return e;
  });
  const float loss = std::log(sum) + (most - at_target);
  if (!gradient) return loss;
  // forward: loss = lse(logits) - logits[target];  logits = softcap * tanh(raw / softcap), so dlogits/draw =
  // 1 - (logits / softcap)^2
  const float gradient_scale = static_cast<float>(op.gradient_scale);
  const F32V scale = hn::Set(d, gradient_scale / sum);
  if (keeps) {
    for_each_vector(V, [&](int64 i, auto part)
                           HWY_ATTR { store_row(hn::Mul(scale, load_row(x + i, part)), x + i, part); });
    x[target] -= gradient_scale;
    return loss;
  }
  const float inverse = 1 / op.softcap;
  const F32V inverse_cap = hn::Set(d, inverse);
  for_each_vector(V, [&](int64 i, auto part) HWY_ATTR {
    const F32V logits = load_row(x + i, part), tanh = hn::Mul(logits, inverse_cap);
    const F32V scaled = hn::Mul(scale, hn::Exp(d, hn::Sub(logits, shift)));
    store_row(hn::NegMulAdd(hn::Mul(tanh, tanh), scaled, scaled), x + i, part);
  });
  x[target] -= gradient_scale * (1 - at_target * inverse * at_target * inverse);
  return loss;
}

void loss_rows(const LinearCrossEntropy& op, Range rows, float* logits /* (rows, V) */) {
  const int64 V = op.weight.size(0);
  for (int64 n = rows.begin; n < rows.end; ++n) {
    const int64 target = op.targets.data<int32>()[n];
    FOVEA_CHECK(-1 <= target && target < V, "cross_entropy: target {} of {}", target, V);
    float* row = logits + (n - rows.begin) * V;
    op.losses.data<float>()[n] = loss_of_row(op, target, row, static_cast<bool>(op.dhidden));
  }
}

void cap_rows(const LinearLogits& op, Range rows) {
  const int64 V = op.weight.size(0);
  for (int64 n = rows.begin; n < rows.end; ++n) {
    float* x = op.logits.row<float>(n);
    if (all_finite(x, V))
      cap_row(op.softcap, x, V);
    else
      for (int64 v = 0; v < V; ++v) x[v] = op.softcap * std::tanh(x[v] / op.softcap);
  }
}

}  // namespace
}  // namespace fovea::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fovea {
namespace {
HWY_EXPORT(loss_rows);
HWY_EXPORT(cap_rows);

/// 64 MiB of logits: each chunk reads the weights and adds to their gradient.
int64 chunk_rows(const LinearCrossEntropy& op) { return chunk_rows(op, int64{1} << 24, 1024); }

Chunk chunk_of(const LinearCrossEntropy& op, Range rows, float* logits) {
  const View x(logits, DType::f32, {rows.size(), op.weight.size(0)});
  return chunk_of(op, rows, x, x);
}

int64 chunk_scratch(const LinearCrossEntropy& op, int64 rows, int threads) {
  const Chunk chunk = chunk_of(op, {0, rows}, nullptr);
  int64 elements = cpu::multiply_scratch(chunk.logits, threads);
  if (op.dhidden) elements = std::max(elements, cpu::multiply_scratch(chunk.dhidden, threads));
  if (op.dweight) elements = std::max(elements, cpu::multiply_scratch(chunk.dweight, threads));
  if (op.dbias) elements = std::max(elements, cpu::add_rows_scratch(chunk.dbias, threads));
  return elements;
}

/// Scratch of the products: of whole chunks, or of the last one, which may be cut in other ways.
int64 products_scratch(const LinearCrossEntropy& op, int threads) {
  const int64 rows = chunk_rows(op);
  if (rows == 0) return 0;
  const int64 last = op.hidden.size(0) % rows;
  return std::max(chunk_scratch(op, rows, threads), last > 0 ? chunk_scratch(op, last, threads) : 0);
}

MatMul logits_product(const LinearLogits& op) {
  return {.a = op.hidden, .b = op.weight, .bias = op.bias, .c = op.logits, .transpose_b = true};
}

}  // namespace

namespace cpu {

int64 scratch_bytes(const LinearCrossEntropy& op, int threads) {
  return scratch_size<float>(chunk_rows(op) * op.weight.size(0)) +
         scratch_size<float>(products_scratch(op, threads));
}

void run(Execution& execution, const LinearCrossEntropy& op) {
  const int64 N = op.hidden.size(0), V = op.weight.size(0), step = chunk_rows(op);
  float* logits = execution.scratch<float>(step * V);  // (rows of a chunk, V)
  float* scratch = execution.scratch<float>(products_scratch(op, execution.threads()));
  for (int64 begin = 0; begin < N; begin += step) {
    const Range rows{begin, std::min(N, begin + step)};
    const Chunk chunk = chunk_of(op, rows, logits);
    multiply(execution, chunk.logits, scratch);
    const RowParts parts = independent_parts(rows.size(), V);
    execution.parallel_for(parts.count(), [&](int64 part, int) {
      const Range here = parts[part];
      HWY_DYNAMIC_DISPATCH(loss_rows)
      (op, {begin + here.begin, begin + here.end}, logits + here.begin * V);
    });
    if (op.dhidden) multiply(execution, chunk.dhidden, scratch);
    if (op.dweight) multiply(execution, chunk.dweight, scratch);
    if (op.dbias) add_rows(execution, chunk.dbias, scratch);
  }
}

int64 scratch_bytes(const LinearLogits& op, int threads) {
  return scratch_size<float>(multiply_scratch(logits_product(op), threads));
}

void run(Execution& execution, const LinearLogits& op) {
  const MatMul product = logits_product(op);
  multiply(execution, product, execution.scratch<float>(multiply_scratch(product, execution.threads())));
  if (op.softcap == 0) return;
  const RowParts parts = independent_parts(op.logits.size(0), op.logits.size(1));
  execution.parallel_for(parts.count(), [&](int64 part, int) {
    HWY_DYNAMIC_DISPATCH(cap_rows)(op, parts[part]);
  });
}

}  // namespace cpu
}  // namespace fovea
#endif  // HWY_ONCE
