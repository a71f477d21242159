#include "kernels/reduce/backends.h"
#include "kernels/simd/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/reduce/cpu.cc"
#include <hwy/foreach_target.h>  // NOLINT
#include <hwy/highway.h>

#include <algorithm>

#include "kernels/simd/rows-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fovea::HWY_NAMESPACE {
namespace {

constexpr int64 kChunk = 1024;  // f32 copies of bf16 stay in the first-level cache
constexpr int64 kLanes = 32;    // chains of the sum: its order is the same on every instruction set

/// Sum of f(x) in f64 over kLanes interleaved chains, folded in halves. Plain loops that compilers vectorise.
template <class T, class F>
double sum_chains(const T* x, int64 n, F f) {
  double chains[kLanes] = {};
  int64 i = 0;
  for (; i + kLanes <= n; i += kLanes)
    for (int64 lane = 0; lane < kLanes; ++lane) chains[lane] += f(static_cast<double>(x[i + lane]));
  for (int64 lane = 0; i < n; ++i, ++lane) chains[lane] += f(static_cast<double>(x[i]));
  for (int64 half = kLanes / 2; half > 0; half /= 2)
    for (int64 lane = 0; lane < half; ++lane) chains[lane] += chains[lane + half];
  return chains[0];
}

template <class F>
double sum_block(const View& x, Range range, F f) {
  if (x.dtype() == DType::f64) return sum_chains(x.data<double>() + range.begin, range.size(), f);
  if (x.dtype() == DType::f32) return sum_chains(x.data<float>() + range.begin, range.size(), f);
  HWY_ALIGN float buffer[kChunk];
  double sum = 0;
  for (int64 i = range.begin; i < range.end; i += kChunk) {
    const int64 n = std::min(kChunk, range.end - i);
    sum += sum_chains(read_row(x.dtype(), x.at({i}), n, buffer), n, f);
  }
  return sum;
}

double sum_range(const Sum& op, Range range) {
  if (op.squares) return sum_block(op.x, range, [](double x) { return x * x; });
  return sum_block(op.x, range, [](double x) { return x; });
}

void add_range(const AddInto& op, Range range) {
  if (op.y.dtype() == DType::f64) {
    for (int64 i = range.begin; i < range.end; ++i) op.y.data<double>()[i] += op.x.data<double>()[i];
    return;
  }
  float* y = op.y.data<float>() + range.begin;
  const float* x = op.x.data<float>() + range.begin;
  for_each_vector(range.size(), [&](int64 i, auto part) HWY_ATTR {
    store_row(hn::Add(load_row(y + i, part), load_row(x + i, part)), y + i, part);
  });
}

void move_range(const MoveTowards& op, Range range) {
  if (op.y.dtype() == DType::f64) {
    for (int64 i = range.begin; i < range.end; ++i)
      op.y.data<double>()[i] += op.rate * (op.x.data<double>()[i] - op.y.data<double>()[i]);
    return;
  }
  float* y = op.y.data<float>() + range.begin;
  const float* x = op.x.data<float>() + range.begin;
  const F32V rate = hn::Set(F32(), static_cast<float>(op.rate));
  for_each_vector(range.size(), [&](int64 i, auto part) HWY_ATTR {
    const F32V from = load_row(y + i, part);
    store_row(hn::Add(from, hn::Mul(rate, hn::Sub(load_row(x + i, part), from))), y + i, part);
  });
}

bool has_rows(DType dtype) { return dtype == DType::f32 || dtype == DType::bf16; }

void convert_range(const Convert& op, Range range) {
  if (!has_rows(op.x.dtype()) || !has_rows(op.y.dtype())) {
    for (int64 i = range.begin; i < range.end; ++i) store(op.y, {i}, load(op.x, {i}));
    return;
  }
  HWY_ALIGN float buffer[kChunk];
  for (int64 i = range.begin; i < range.end; i += kChunk) {
    const int64 n = std::min(kChunk, range.end - i);
    const float* x = read_row(op.x.dtype(), op.x.at({i}), n, buffer);
    if (op.y.dtype() == DType::f32)
      std::memmove(op.y.at({i}), x, static_cast<size_t>(n) * sizeof(float));
    else
      write_row(op.y.dtype(), op.y.at({i}), n, x);
  }
}

}  // namespace
}  // namespace fovea::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fovea {
namespace {
HWY_EXPORT(sum_range);
HWY_EXPORT(add_range);
HWY_EXPORT(move_range);
HWY_EXPORT(convert_range);

constexpr int64 kBlock = int64{1} << 15;  // fixes the order of a sum, whatever the number of threads

Range block(int64 part, int64 n) { return {part * kBlock, std::min(n, (part + 1) * kBlock)}; }
}  // namespace

namespace cpu {

int64 scratch_bytes(const Sum& op) { return scratch_size<double>(ceil_div(op.x.size(0), kBlock)); }

void run(Execution& execution, const Sum& op) {
  const int64 n = op.x.size(0), parts = ceil_div(n, kBlock);
  double* sums = execution.scratch<double>(parts);  // (parts)
  execution.parallel_for(
      parts, [&](int64 part, int) { sums[part] = HWY_DYNAMIC_DISPATCH(sum_range)(op, block(part, n)); });
  for (int64 step = 1; step < parts; step *= 2)
    for (int64 part = 0; part + step < parts; part += 2 * step) sums[part] += sums[part + step];
  op.finish(parts > 0 ? sums[0] : 0);
}

void run(Execution& execution, const AddInto& op) {
  const int64 n = op.y.size(0);
  execution.parallel_for(ceil_div(n, kBlock), [&](int64 part, int) {
    HWY_DYNAMIC_DISPATCH(add_range)(op, block(part, n));
  });
}

void run(Execution& execution, const MoveTowards& op) {
  const int64 n = op.y.size(0);
  execution.parallel_for(ceil_div(n, kBlock), [&](int64 part, int) {
    HWY_DYNAMIC_DISPATCH(move_range)(op, block(part, n));
  });
}

void run(Execution& execution, const Convert& op) {
  const int64 n = op.y.size(0);
  execution.parallel_for(ceil_div(n, kBlock), [&](int64 part, int) {
    HWY_DYNAMIC_DISPATCH(convert_range)(op, block(part, n));
  });
}

}  // namespace cpu
}  // namespace fovea
#endif  // HWY_ONCE
