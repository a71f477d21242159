#include "kernels/embedding/backends.h"
#include "kernels/residual/dropout.h"
#include "kernels/simd/parts.h"
#include "kernels/simd/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/embedding/cpu.cc"
#include <hwy/foreach_target.h>  // NOLINT
#include <hwy/highway.h>

#include <algorithm>

#include "kernels/simd/rows-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fovea::HWY_NAMESPACE {
namespace {

constexpr int64 kColumns = 1024;  // a row is taken in pieces whose f32 copies stay in the first-level cache

/// A row of a table, by an index that whoever made the batch has checked.
void* table_row(const View& table, int64 row, int64 column) {
  FOVEA_CHECK(0 <= row && row < table.size(0), "embedding: row {} of a table of {}", row, table.size(0));
  return table.at({row, column});
}

/// A dropped element is 0 whatever it was: factor 0 selects.
HWY_INLINE F32V keep(F32V x, const float* factors, auto part) {
  const F32V factor = load_row(factors, part);
  return hn::IfThenElseZero(hn::Gt(factor, hn::Zero(F32())), hn::Mul(x, factor));
}

void embedding_rows(const Embedding& op, Range rows) {
  const int64 C = op.out.size(1);
  const bool drops = op.dropout.probability > 0;
  const F32V scale = hn::Set(F32(), op.scale);
  HWY_ALIGN float table_buffer[kColumns], position_buffer[kColumns], out_buffer[kColumns], factors[kColumns];
  for (int64 n = rows.begin; n < rows.end; ++n)
    for (int64 c = 0; c < C; c += kColumns) {
      const int64 columns = std::min(kColumns, C - c);
      const float* from = read_row(op.table.dtype(), table_row(op.table, op.tokens.data<int32>()[n], c),
                                   columns, table_buffer);
      const float* position = nullptr;
      if (op.position_table)
        position = read_row(op.position_table.dtype(),
                            table_row(op.position_table, op.positions.data<int32>()[n], c), columns,
                            position_buffer);
      if (drops) dropout_factors(op.dropout, dropout_element(op.dropout, n, C, c), columns, factors);
      float* out = target_row(op.out.dtype(), op.out.at({n, c}), out_buffer);
      for_each_vector(columns, [&](int64 i, auto part) HWY_ATTR {
        F32V sum = hn::Mul(scale, load_row(from + i, part));
        if (position) sum = hn::Add(sum, load_row(position + i, part));
        store_row(drops ? keep(sum, factors + i, part) : sum, out + i, part);
      });
      write_row(op.out.dtype(), op.out.at({n, c}), columns, out);
    }
}

/// All rows of dout, in order, within a block of at most kColumns columns.
void embedding_backward_columns(const EmbeddingBackward& op, Range columns) {
  const int64 N = op.dout.size(0), C = op.dout.size(1);
  const bool drops = op.dropout.probability > 0;
  const F32V scale = hn::Set(F32(), op.scale);
  HWY_ALIGN float dout_buffer[kColumns], factors[kColumns];
  for (int64 n = 0; n < N; ++n) {
    const int64 c = columns.begin;
    const float* dout = read_row(op.dout.dtype(), op.dout.at({n, c}), columns.size(), dout_buffer);
    if (drops) dropout_factors(op.dropout, dropout_element(op.dropout, n, C, c), columns.size(), factors);
    float* dtable = static_cast<float*>(table_row(op.dtable, op.tokens.data<int32>()[n], c));
    float* dposition = nullptr;
    if (op.dposition_table)
      dposition = static_cast<float*>(table_row(op.dposition_table, op.positions.data<int32>()[n], c));
    for_each_vector(columns.size(), [&](int64 i, auto part) HWY_ATTR {
      // forward: out = dropout(scale * table[token] + position_table[position])
      F32V dsum = load_row(dout + i, part);
      if (drops) dsum = keep(dsum, factors + i, part);
      store_row(hn::MulAdd(scale, dsum, load_row(dtable + i, part)), dtable + i, part);
      if (dposition) store_row(hn::Add(dsum, load_row(dposition + i, part)), dposition + i, part);
    });
  }
}

}  // namespace
}  // namespace fovea::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fovea {
namespace {
HWY_EXPORT(embedding_rows);
HWY_EXPORT(embedding_backward_columns);
}  // namespace

namespace cpu {

void run(Execution& execution, const Embedding& op) {
  const RowParts parts = independent_parts(op.out.size(0), op.out.size(1));
  execution.parallel_for(parts.count(), [&](int64 part, int) {
    HWY_DYNAMIC_DISPATCH(embedding_rows)(op, parts[part]);
  });
}

void run(Execution& execution, const EmbeddingBackward& op) {
  // Parts are blocks of columns: each adds its rows in order, and no two write to one element, whatever the
  // tokens are.
  constexpr int64 kBlock = 64;
  const int64 C = op.dout.size(1);
  execution.parallel_for(ceil_div(C, kBlock), [&](int64 part, int) {
    HWY_DYNAMIC_DISPATCH(embedding_backward_columns)(op, {part * kBlock, std::min(C, (part + 1) * kBlock)});
  });
}

}  // namespace cpu
}  // namespace fovea
#endif  // HWY_ONCE
