#include "kernels/matmul/backends.h"
#include "kernels/matmul/pairs.h"
#include "kernels/simd/parts.h"
#include "kernels/simd/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/matmul/cpu.cc"
#include <hwy/foreach_target.h>  // NOLINT
#include <hwy/highway.h>

#include <algorithm>

#include "kernels/simd/rows-inl.h"

#ifndef FOVEA_MATMUL_PANEL
#define FOVEA_MATMUL_PANEL
namespace fovea {
namespace {

/// Part of c, and the f32 products of which it is the sum: `splits` of them, `split_stride` elements apart.
struct Panel {
  Range rows, columns;
  const float* products;  // (splits, rows, columns), strided
  int64 row_stride, split_stride, splits;
};

}  // namespace
}  // namespace fovea
#endif

HWY_BEFORE_NAMESPACE();
namespace fovea::HWY_NAMESPACE {
namespace {

constexpr int64 kColumns = 1024;  // f32 copies of a row's piece stay in the first-level cache

/// c = products + bias, or c += products + bias; splits are added in order.
void finish_panel(const MatMul& op, const Panel& panel, bool accumulate) {
  HWY_ALIGN float bias_buffer[kColumns], c_buffer[kColumns];
  for (int64 begin = panel.columns.begin; begin < panel.columns.end; begin += kColumns) {
    const int64 n = std::min(kColumns, panel.columns.end - begin);
    const float* bias = op.bias ? read_row(op.bias.dtype(), op.bias.at({begin}), n, bias_buffer) : nullptr;
    for (int64 m = panel.rows.begin; m < panel.rows.end; ++m) {
      const DType dtype = op.c.dtype();
      float* c = target_row(dtype, op.c.at({m, begin}), c_buffer);
      if (accumulate) read_row(dtype, op.c.at({m, begin}), n, c_buffer);
      const float* from =
          panel.products + (m - panel.rows.begin) * panel.row_stride + (begin - panel.columns.begin);
      for_each_vector(n, [&](int64 i, auto part) HWY_ATTR {
        F32V sum = hn::Zero(F32());
        for (int64 split = 0; split < panel.splits; ++split)
          sum = hn::Add(sum, load_row(from + split * panel.split_stride + i, part));
        if (bias) sum = hn::Add(sum, load_row(bias + i, part));
        if (accumulate) sum = hn::Add(load_row(c + i, part), sum);
        store_row(sum, c + i, part);
      });
      write_row(dtype, op.c.at({m, begin}), n, c);
    }
  }
}

void sum_rows_part(const SumRows& op, Range rows, float* sums /* (C) */, float* buffer /* (C) */) {
  const int64 C = op.dy.size(1);
  std::memset(sums, 0, static_cast<size_t>(C) * sizeof(float));
  for (int64 n = rows.begin; n < rows.end; ++n) {
    const float* dy = read_row(op.dy.dtype(), op.dy.at({n, 0}), C, buffer);
    for_each_vector(C, [&](int64 i, auto part) HWY_ATTR {
      store_row(hn::Add(load_row(sums + i, part), load_row(dy + i, part)), sums + i, part);
    });
  }
}

}  // namespace
}  // namespace fovea::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fovea {
namespace {
HWY_EXPORT(finish_panel);
HWY_EXPORT(sum_rows_part);

constexpr int64 kFewestParts = 8;  // enough for the threads of a small machine to finish together

/// How c is cut, by shape alone, into panels large enough that the library runs at its full speed (measured
/// from 256 rows on). Where few panels would come of it, as in weight gradients, the sum over K is cut too.
struct Cut {
  int64 M, N, K;
  int64 panel_rows = 256, panel_columns = 512, splits = 1, split_k = 0;

  Cut(int64 m, int64 n, int64 k) : M(m), N(n), K(k) {
    if (panels() < kFewestParts && N > 256) panel_columns = 256;
    if (panels() > 0 && panels() < kFewestParts)
      splits = std::clamp<int64>(K / 256, 1, ceil_div(kFewestParts, panels()));
    split_k = round_up(ceil_div(K, splits), 16);
    splits = std::max<int64>(1, ceil_div(K, std::max<int64>(1, split_k)));
  }
  int64 row_panels() const { return ceil_div(M, panel_rows); }
  int64 panels() const { return row_panels() * ceil_div(N, panel_columns); }
  Range rows(int64 panel) const {
    const int64 begin = panel % row_panels() * panel_rows;
    return {begin, std::min(M, begin + panel_rows)};
  }
  Range columns(int64 panel) const {
    const int64 begin = panel / row_panels() * panel_columns;
    return {begin, std::min(N, begin + panel_columns)};
  }
  Range sum(int64 split) const { return {split * split_k, std::min(K, (split + 1) * split_k)}; }
};

Cut cut_of(const MatMul& op) { return {op.c.size(0), op.c.size(1), op.a.size(op.transpose_a ? 0 : 1)}; }

/// The block of a matrix that holds op(matrix)[rows, columns].
GemmOperand block(const View& matrix, bool transposed, Range rows, Range columns) {
  const Range stored_rows = transposed ? columns : rows, stored_columns = transposed ? rows : columns;
  return {matrix.at({stored_rows.begin, stored_columns.begin}), matrix.dtype(), matrix.stride(0), transposed};
}

Gemm product(const MatMul& op, Range rows, Range columns, Range sum) {
  return {.M = rows.size(),
          .N = columns.size(),
          .K = sum.size(),
          .a = block(op.a, op.transpose_a, rows, sum),
          .b = block(op.b, op.transpose_b, sum, columns)};
}

/// f32 memory of one product: whole c where K is cut, one panel per worker where c is narrow, none else.
struct Memory {
  int64 products, per_worker;
  Memory(const MatMul& op, const Cut& cut)
      : products(cut.splits > 1 ? cut.splits * cut.M * cut.N : 0),
        per_worker(cut.splits == 1 && op.c.dtype() == DType::bf16 ? cut.panel_rows * cut.panel_columns : 0) {}
};

int64 conversions(const MatMul& op, const Cut& cut) {
  return gemm_scratch(product(op, {0, std::min(cut.M, cut.panel_rows)},
                              {0, std::min(cut.N, cut.panel_columns)}, {0, std::min(cut.K, cut.split_k)}));
}

}  // namespace

namespace cpu {

int64 multiply_scratch(const MatMul& op, int threads) {
  if (multiplies_pairs(op)) return pairs_scratch(op, threads);
  const Cut cut = cut_of(op);
  const Memory memory(op, cut);
  return round_up(memory.products, 16) + threads * (memory.per_worker + conversions(op, cut));
}

void multiply(Execution& execution, const MatMul& op, float* scratch) {
  if (multiplies_pairs(op)) return multiply_pairs(execution, op, scratch);
  const Cut cut = cut_of(op);
  const Memory memory(op, cut);
  const int64 per_worker = memory.per_worker + conversions(op, cut);
  float* products = scratch;  // (splits, M, N)
  float* workers = scratch + round_up(memory.products, 16);
  const bool direct = cut.splits == 1 && op.c.dtype() == DType::f32;
  execution.parallel_for(cut.panels() * cut.splits, [&](int64 part, int worker) {
    const int64 panel = part / cut.splits, split = part % cut.splits;
    const Range rows = cut.rows(panel), columns = cut.columns(panel);
    float* own = workers + worker * per_worker;
    Gemm g = product(op, rows, columns, cut.sum(split));
    if (direct) {
      g.c = static_cast<float*>(op.c.at({rows.begin, columns.begin}));
      g.c_stride = op.c.stride(0);
      g.beta = op.accumulate ? 1.0f : 0.0f;
    } else if (cut.splits == 1) {
      g.c = own;
      g.c_stride = columns.size();
    } else {
      g.c = products + (split * cut.M + rows.begin) * cut.N + columns.begin;
      g.c_stride = cut.N;
    }
    gemm(g, own + memory.per_worker);
    if (direct && op.bias)
      HWY_DYNAMIC_DISPATCH(finish_panel)(op, {rows, columns, g.c, g.c_stride, 0, 0}, true);
    if (!direct && cut.splits == 1)
      HWY_DYNAMIC_DISPATCH(finish_panel)(op, {rows, columns, g.c, g.c_stride, 0, 1}, op.accumulate);
  });
  if (cut.splits == 1) return;
  const RowParts parts = independent_parts(cut.M, cut.N);
  execution.parallel_for(parts.count(), [&](int64 part, int) {
    const Panel panel{parts[part], {0, cut.N},    products + parts[part].begin * cut.N,
                      cut.N,       cut.M * cut.N, cut.splits};
    HWY_DYNAMIC_DISPATCH(finish_panel)(op, panel, op.accumulate);
  });
}

int64 scratch_bytes(const MatMul& op, int threads) {
  return scratch_size<float>(multiply_scratch(op, threads));
}

void run(Execution& execution, const MatMul& op) {
  multiply(execution, op, execution.scratch<float>(multiply_scratch(op, execution.threads())));
}

int64 add_rows_scratch(const SumRows& op, int threads) {
  return (summed_parts(op.dy.size(0)).count() + threads) * round_up(op.dy.size(1), 16);
}

void add_rows(Execution& execution, const SumRows& op, float* scratch) {
  const int64 C = op.dy.size(1);
  const RowParts parts = summed_parts(op.dy.size(0));
  float* sums = scratch;                                       // (parts, C)
  float* buffers = scratch + parts.count() * round_up(C, 16);  // (threads, C)
  execution.parallel_for(parts.count(), [&](int64 part, int worker) {
    HWY_DYNAMIC_DISPATCH(sum_rows_part)
    (op, parts[part], sums + part * C, buffers + worker * round_up(C, 16));
  });
  add_parts(execution, sums, parts.count(), C, op.dbias.data<float>());
}

int64 scratch_bytes(const SumRows& op, int threads) {
  return scratch_size<float>(add_rows_scratch(op, threads));
}

void run(Execution& execution, const SumRows& op) {
  add_rows(execution, op, execution.scratch<float>(add_rows_scratch(op, execution.threads())));
}

}  // namespace cpu
}  // namespace fovea
#endif  // HWY_ONCE
