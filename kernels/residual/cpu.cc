#include "kernels/residual/backends.h"
#include "kernels/simd/parts.h"
#include "kernels/simd/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/residual/cpu.cc"
#include <hwy/foreach_target.h>  // NOLINT
#include <hwy/highway.h>

#include "kernels/simd/philox-inl.h"
#include "kernels/simd/rows-inl.h"

HWY_BEFORE_NAMESPACE();
namespace fovea::HWY_NAMESPACE {
namespace {

constexpr int64 kColumns = 1024;  // a row is taken in pieces whose f32 copies stay in the first-level cache

#if HWY_TARGET == HWY_SCALAR
HWY_INLINE void factors_of_blocks(const Dropout& dropout, uint64 block, float* HWY_RESTRICT out) {
  const float scale = static_cast<float>(dropout_scale(dropout));
  for (uint64 i = 0; i < 4; ++i) out[i] = dropout_keeps(dropout, 4 * block + i) ? scale : 0;
}
#else
/// Of as many successive blocks as there are lanes: out (4 * lanes) in order.
HWY_INLINE void factors_of_blocks(const Dropout& dropout, uint64 block, float* HWY_RESTRICT out) {
  const PhiloxWords words = philox_blocks(dropout.random, block);
  const F32 df;
  const F32V scale = hn::Set(df, static_cast<float>(dropout_scale(dropout)));
  const hn::RebindToSigned<U32> di;  // upper 24 bits are positive, and signed comparison is in every target
  const auto threshold = hn::Set(di, static_cast<int32>(dropout_threshold(dropout)));
  const auto factor = [&](U32V word) HWY_ATTR {
    const auto dropped = hn::Lt(hn::BitCast(di, hn::ShiftRight<8>(word)), threshold);
    return hn::IfThenZeroElse(hn::RebindMask(df, dropped), scale);
  };
  hn::StoreInterleaved4(factor(words.w0), factor(words.w1), factor(words.w2), factor(words.w3), df, out);
}
#endif

void dropout_factors_row(const Dropout& dropout, uint64 first, int64 n, float* factors) {
  const int64 lanes = static_cast<int64>(hn::Lanes(F32()));
  HWY_ALIGN float buffer[4 * hn::MaxLanes(F32())];
  int64 done = 0;
  while (done < n) {
    const uint64 element = first + static_cast<uint64>(done);
    const int64 skip = static_cast<int64>(element % 4), here = std::min(n - done, 4 * lanes - skip);
    const bool whole = here == 4 * lanes;
    factors_of_blocks(dropout, element / 4, whole ? factors + done : buffer);
    if (!whole) std::memcpy(factors + done, buffer + skip, static_cast<size_t>(here) * sizeof(float));
    done += here;
  }
}

/// A piece of a row; x f32 or absent; without factors nothing is dropped.
template <class Y, class Out>
HWY_INLINE void add_piece(const float* x, const Y* y, const float* factors, int64 n, Out* out) {
  for_each_vector(n, [&](int64 i, auto part) HWY_ATTR {
    F32V v = load_row(y + i, part);
    if (factors) {
      const F32V factor = load_row(factors + i, part);
      v = hn::IfThenElseZero(hn::Gt(factor, hn::Zero(F32())), hn::Mul(v, factor));
    }
    store_row(x ? hn::Add(load_row(x + i, part), v) : v, out + i, part);
  });
}
template <class Y>
HWY_INLINE void add_piece(const float* x, const Y* y, const float* factors, int64 n, const View& out,
                          void* to) {
  if (out.dtype() == DType::f32)
    add_piece(x, y, factors, n, static_cast<float*>(to));
  else
    add_piece(x, y, factors, n, static_cast<bf16*>(to));
}

/// out = x + factor * y, or out = factor * y where x is absent. (A dropped NaN is dropped: factor 0 selects.)
void dropout_add_rows(const ResidualAdd& op, Range rows) {
  const int64 C = op.y.size(1);
  const bool drops = op.dropout.probability > 0;
  HWY_ALIGN float x_buffer[kColumns], factors[kColumns];
  for (int64 n = rows.begin; n < rows.end; ++n)
    for (int64 c = 0; c < C; c += kColumns) {
      const int64 columns = std::min(kColumns, C - c);
      const void* y = op.y.at({n, c});
      const float* x = op.x ? read_row(op.x.dtype(), op.x.at({n, c}), columns, x_buffer) : nullptr;
      if (drops) dropout_factors_row(op.dropout, dropout_element(op.dropout, n, C, c), columns, factors);
      const float* kept = drops ? factors : nullptr;
      if (op.y.dtype() == DType::f32)
        add_piece(x, static_cast<const float*>(y), kept, columns, op.out, op.out.at({n, c}));
      else
        add_piece(x, static_cast<const bf16*>(y), kept, columns, op.out, op.out.at({n, c}));
    }
}

}  // namespace
}  // namespace fovea::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace fovea {
namespace {
HWY_EXPORT(dropout_factors_row);
HWY_EXPORT(dropout_add_rows);
}  // namespace

void dropout_factors(const Dropout& dropout, uint64 first, int64 n, float* factors) {
  if (dropout.probability == 0)
    std::fill(factors, factors + n, 1.0f);
  else
    HWY_DYNAMIC_DISPATCH(dropout_factors_row)(dropout, first, n, factors);
}

namespace cpu {

void run(Execution& execution, const ResidualAdd& op) {
  const RowParts parts = independent_parts(op.y.size(0), op.y.size(1));
  execution.parallel_for(parts.count(), [&](int64 part, int) {
    HWY_DYNAMIC_DISPATCH(dropout_add_rows)(op, parts[part]);
  });
}

void run(Execution& execution, const ResidualAddBackward& op) {
  // forward: out = x + factor * y, so dy = factor * dout
  run(execution, ResidualAdd{.x = {}, .y = op.dout, .out = op.dy, .dropout = op.dropout});
}

}  // namespace cpu
}  // namespace fovea
#endif  // HWY_ONCE
