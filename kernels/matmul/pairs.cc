#include "kernels/matmul/pairs.h"

#include <algorithm>

#include "kernels/simd/instruction_set.h"

#if defined(__x86_64__)
#include <hwy/base.h>
// g++ 12 takes its own deliberately undefined values for mistakes.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#ifndef __clang__
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>
#pragma GCC diagnostic pop
#endif

namespace fovea {

#if defined(__x86_64__)

namespace {

constexpr int64 kTileRows = 12, kTileColumns = 32;  // 24 of 32 registers are sums
constexpr int64 kLanes = 16;
constexpr int64 kLaidOutAtOnce = 4 * kTileColumns;  // of b by one thread

/// An operand as its lanes (rows of a, columns of b) by K. `along`: the elements of one lane lie side by
/// side.
struct Source {
  const void* data;
  DType dtype;
  int64 stride;
  bool along;
  int64 lanes;

  const void* at(int64 lane, int64 k) const {
    const int64 offset = along ? lane * stride + k : k * stride + lane;
    return static_cast<const std::byte*>(data) + offset * size_of(dtype);
  }
};

Source rows_of(const MatMul& op) {
  const bool t = op.transpose_a;
  return {op.a.data(), op.a.dtype(), op.a.stride(0), !t, op.a.size(t ? 1 : 0)};
}
Source columns_of(const MatMul& op) {
  const bool t = op.transpose_b;
  return {op.b.data(), op.b.dtype(), op.b.stride(0), t, op.b.size(t ? 0 : 1)};
}

/// How a product is cut: K and the columns into blocks whose layout of b fits into a few MiB, a block's c
/// into panels, enough of them for the threads.
struct Cut {
  int64 M, N, K;
  int64 k_block, column_block, panel_rows = 20 * kTileRows, panel_columns;

  /// `whole`: K is not cut, since c cannot hold part of a sum.
  Cut(int64 m, int64 n, int64 k, bool whole, int threads) : M(m), N(n), K(k) {
    constexpr int64 kMostK = 8192, kElements = int64{4} << 20;
    k_block = round_up(std::max<int64>(K, 1), 2);
    if (!whole) k_block = std::min(k_block, kMostK);
    column_block = std::min(round_up(std::max<int64>(N, 1), kTileColumns),
                            std::max<int64>(512, kElements / k_block / 512 * 512));
    panel_columns = column_block;
    const int64 wanted = threads == 1 ? 1 : 4 * threads;
    while (panels(column_block) < wanted && panel_columns > 256) halve(panel_columns, kTileColumns);
    while (panels(column_block) < wanted && panel_rows > 5 * kTileRows) halve(panel_rows, kTileRows);
    while (panels(column_block) < wanted && panel_columns > 2 * kTileColumns)
      halve(panel_columns, kTileColumns);
  }
  int64 row_panels() const { return ceil_div(M, panel_rows); }
  int64 panels(int64 columns) const { return row_panels() * ceil_div(columns, panel_columns); }
  int64 pairs() const { return k_block / 2; }
  /// Elements of four bytes.
  int64 columns_scratch() const { return pairs() * column_block; }
  int64 rows_scratch() const { return pairs() * std::min(panel_rows, round_up(M, kTileRows)); }

 private:
  static void halve(int64& size, int64 step) { size = round_up(ceil_div(size, 2), step); }
};

Cut cut_of(const MatMul& op, int threads) {
  return {op.c.size(0), op.c.size(1), op.a.size(op.transpose_a ? 0 : 1), op.c.dtype() != DType::f32, threads};
}

/// A tile of c, and what becomes of it: sums, and the bias, if any, and what stood there.
struct Target {
  std::byte* c;
  int64 stride;  ///< bytes
  DType dtype;
  int64 rows, columns;
  const void* bias;  ///< null: none
  DType bias_dtype;
  bool add;
};

HWY_PUSH_ATTRIBUTES("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")

__mmask16 first16(int64 n) { return static_cast<__mmask16>((1u << std::clamp<int64>(n, 0, 16)) - 1); }
__mmask32 first32(int64 n) { return static_cast<__mmask32>((uint64{1} << std::clamp<int64>(n, 0, 32)) - 1); }

/// Up to 16 elements as bf16 in the lower halves of 32 bits.
HWY_INLINE __m512i load16(const bf16* from, __mmask16 mask) {
  return _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, from));
}
HWY_INLINE __m512i load16(const float* from, __mmask16 mask) {
  return _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(mask, from)));
}
/// Up to 32 elements as bf16.
HWY_INLINE __m512i load32(const bf16* from, __mmask32 mask) { return _mm512_maskz_loadu_epi16(mask, from); }
HWY_INLINE __m512i load32(const float* from, __mmask32 mask) {
  const __m512 low = _mm512_maskz_loadu_ps(static_cast<__mmask16>(mask), from);
  const __m512 high = _mm512_maskz_loadu_ps(static_cast<__mmask16>(mask >> 16), from + 16);
  return (__m512i)_mm512_cvtne2ps_pbh(high, low);
}

/// 16 x 16 words.
HWY_INLINE void transpose(__m512i (&x)[kLanes]) {
  __m512i y[kLanes];
  for (int i = 0; i < 16; i += 2) {
    y[i] = _mm512_unpacklo_epi32(x[i], x[i + 1]);
    y[i + 1] = _mm512_unpackhi_epi32(x[i], x[i + 1]);
  }
  for (int i = 0; i < 16; i += 4) {
    x[i] = _mm512_unpacklo_epi64(y[i], y[i + 2]);
    x[i + 1] = _mm512_unpackhi_epi64(y[i], y[i + 2]);
    x[i + 2] = _mm512_unpacklo_epi64(y[i + 1], y[i + 3]);
    x[i + 3] = _mm512_unpackhi_epi64(y[i + 1], y[i + 3]);
  }
  for (int i = 0; i < 4; ++i) {
    y[i] = _mm512_shuffle_i32x4(x[i], x[i + 4], 0x88);
    y[i + 4] = _mm512_shuffle_i32x4(x[i], x[i + 4], 0xdd);
    y[i + 8] = _mm512_shuffle_i32x4(x[i + 8], x[i + 12], 0x88);
    y[i + 12] = _mm512_shuffle_i32x4(x[i + 8], x[i + 12], 0xdd);
  }
  for (int i = 0; i < 8; ++i) {
    x[i] = _mm512_shuffle_i32x4(y[i], y[i + 8], 0x88);
    x[i + 8] = _mm512_shuffle_i32x4(y[i], y[i + 8], 0xdd);
  }
}

/// Lanes that lie side by side: from (n, lanes), rows `stride` apart, to (pairs of n, kWidth); zero beyond
/// the end.
template <int kWidth, class T>
void lay_out_across(const T* from, int64 stride, int64 lanes, int64 n, uint32* to) {
  constexpr int kHalves = (kWidth + 15) / 16;
  __mmask16 there[kHalves];
  for (int h = 0; h < kHalves; ++h) there[h] = first16(lanes - 16 * h);
  int64 k = 0;
  for (; k + 1 < n; k += 2, from += 2 * stride, to += kWidth)
    for (int h = 0; h < kHalves; ++h) {
      const __m512i even = load16(from + 16 * h, there[h]), odd = load16(from + stride + 16 * h, there[h]);
      _mm512_mask_storeu_epi32(to + 16 * h, first16(kWidth - 16 * h),
                               _mm512_or_si512(even, _mm512_slli_epi32(odd, 16)));
    }
  if (k < n)
    for (int h = 0; h < kHalves; ++h)
      _mm512_mask_storeu_epi32(to + 16 * h, first16(kWidth - 16 * h), load16(from + 16 * h, there[h]));
}

/// Lanes whose elements lie side by side: from (lanes, n), otherwise as above.
template <int kWidth, class T>
void lay_out_along(const T* from, int64 stride, int64 lanes, int64 n, uint32* to) {
  for (int64 first = 0; first < kWidth; first += kLanes) {
    const __mmask16 kept = first16(kWidth - first);
    const int64 here = std::min({kLanes, kWidth - first, lanes - first});
    for (int64 k = 0; k < n; k += 2 * kLanes) {
      const T* at = from + first * stride + k;
      uint32* pairs = to + k / 2 * kWidth + first;
      const __mmask32 there = first32(n - k);
      __m512i block[kLanes];
      if (here == kLanes)
        for (int64 i = 0; i < kLanes; ++i) block[i] = load32(at + i * stride, there);
      else
        for (int64 i = 0; i < kLanes; ++i)
          block[i] = i < here ? load32(at + i * stride, there) : _mm512_setzero_si512();
      transpose(block);
      const int64 rows = std::min(kLanes, ceil_div(n - k, 2));
      if (rows == kLanes)
        for (int64 i = 0; i < kLanes; ++i) _mm512_mask_storeu_epi32(pairs + i * kWidth, kept, block[i]);
      else
        for (int64 i = 0; i < kLanes; ++i)
          if (i < rows) _mm512_mask_storeu_epi32(pairs + i * kWidth, kept, block[i]);
    }
  }
}

/// to (tiles, pairs of K, kWidth): the lanes in `lanes`, a tile of kWidth after the other, by K in `sum`.
template <int kWidth, class T>
void lay_out(const Source& from, Range lanes, Range sum, uint32* to) {
  const int64 pairs = ceil_div(sum.size(), 2);
  // Lanes side by side share lines of memory with other tiles': so many of K at a time stay near.
  const int64 together = from.along ? std::max<int64>(1, sum.size()) : 64;
  for (int64 k = sum.begin; k < sum.end; k += together) {
    const int64 n = std::min(together, sum.end - k);
    for (int64 lane = lanes.begin; lane < lanes.end; lane += kWidth) {
      uint32* tile = to + (lane - lanes.begin) * pairs + (k - sum.begin) / 2 * kWidth;
      const T* first = static_cast<const T*>(from.at(lane, k));
      if (from.along)
        lay_out_along<kWidth>(first, from.stride, from.lanes - lane, n, tile);
      else
        lay_out_across<kWidth>(first, from.stride, from.lanes - lane, n, tile);
    }
  }
}

__m512 widen(__m256i x) { return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(x), 16)); }
__m512 load(const void* from, DType dtype, __mmask16 mask) {
  if (dtype == DType::f32) return _mm512_maskz_loadu_ps(mask, from);
  return widen(_mm256_maskz_loadu_epi16(mask, from));
}

/// 16 columns of a row of c.
HWY_INLINE void finish(__m512 sum, bool add, DType dtype, void* c, __mmask16 mask) {
  if (add) sum = _mm512_add_ps(load(c, dtype, mask), sum);
  if (dtype == DType::f32)
    _mm512_mask_storeu_ps(c, mask, sum);
  else
    _mm256_mask_storeu_epi16(c, mask, (__m256i)_mm512_cvtneps_pbh(sum));
}

/// a (pairs, 12), of which R are wanted, by b (pairs, 32).
template <int R>
void multiply_tile(const uint32* a, const uint32* b, int64 pairs, const Target& target) {
  for (int r = 0; r < R; ++r) {  // c comes while the sums are taken
    _mm_prefetch(target.c + r * target.stride, _MM_HINT_T0);
    _mm_prefetch(target.c + r * target.stride + 64, _MM_HINT_T0);
  }
  __m512 sums[R][2];
  for (int r = 0; r < R; ++r) sums[r][0] = sums[r][1] = _mm512_setzero_ps();
  for (int64 p = 0; p < pairs; ++p, a += kTileRows, b += kTileColumns) {
    const auto b0 = (__m512bh)_mm512_loadu_si512(b), b1 = (__m512bh)_mm512_loadu_si512(b + kLanes);
    for (int r = 0; r < R; ++r) {
      const auto pair = (__m512bh)_mm512_set1_epi32(static_cast<int32>(a[r]));
      sums[r][0] = _mm512_dpbf16_ps(sums[r][0], pair, b0);
      sums[r][1] = _mm512_dpbf16_ps(sums[r][1], pair, b1);
    }
  }
  const __mmask16 low = first16(target.columns), high = first16(target.columns - kLanes);
  const int64 size = size_of(target.dtype);
  __m512 bias0 = _mm512_setzero_ps(), bias1 = bias0;
  if (target.bias) {
    bias0 = load(target.bias, target.bias_dtype, low);
    bias1 = load(static_cast<const std::byte*>(target.bias) + kLanes * size_of(target.bias_dtype),
                 target.bias_dtype, high);
  }
  for (int r = 0; r < R; ++r) {
    if (r >= target.rows) break;
    std::byte* c = target.c + r * target.stride;
    finish(_mm512_add_ps(sums[r][0], bias0), target.add, target.dtype, c, low);
    finish(_mm512_add_ps(sums[r][1], bias1), target.add, target.dtype, c + kLanes * size, high);
  }
}

HWY_POP_ATTRIBUTES

template <int kWidth>
void lay_out_any(const Source& from, Range lanes, Range sum, uint32* to) {
  if (from.dtype == DType::bf16)
    lay_out<kWidth, bf16>(from, lanes, sum, to);
  else
    lay_out<kWidth, float>(from, lanes, sum, to);
}

/// One panel: rows and columns of c, b laid out from `first_column` on.
struct Panel {
  Range rows, columns, sum;
  int64 first_column;
};

void multiply_panel(const MatMul& op, const Panel& panel, const uint32* b, uint32* a) {
  const Source from = rows_of(op);
  const int64 pairs = ceil_div(panel.sum.size(), 2);
  lay_out_any<kTileRows>(from, panel.rows, panel.sum, a);
  const bool first = panel.sum.begin == 0;
  const int64 stride = op.c.stride(0) * size_of(op.c.dtype());  // bytes
  for (int64 column = panel.columns.begin; column < panel.columns.end; column += kTileColumns) {
    const void* bias = first && op.bias ? op.bias.at({column}) : nullptr;
    std::byte* c = static_cast<std::byte*>(op.c.at({panel.rows.begin, column}));
    for (int64 row = panel.rows.begin; row < panel.rows.end; row += kTileRows, c += kTileRows * stride) {
      const Target target{c,
                          stride,
                          op.c.dtype(),
                          std::min(kTileRows, panel.rows.end - row),
                          std::min(kTileColumns, panel.columns.end - column),
                          bias,
                          op.bias.dtype(),
                          op.accumulate || !first};
      const auto tile = target.rows > 8   ? multiply_tile<12>
                        : target.rows > 4 ? multiply_tile<8>
                                          : multiply_tile<4>;
      tile(a + (row - panel.rows.begin) * pairs, b + (column - panel.first_column) * pairs, pairs, target);
    }
  }
}

}  // namespace

bool multiplies_pairs() {
  static const bool tiles = [] {
    uint32 a = 7, b = 0, c = 0, d = 0;  // CPUID leaf 7, EDX bit 22: AMX-BF16
    __asm__("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
    return ((d >> 22) & 1) != 0;
  }();
  return has_bf16_dot() && !tiles;
}

bool multiplies_pairs(const MatMul& op) {
  return multiplies_pairs() && (op.a.dtype() == DType::bf16 || op.b.dtype() == DType::bf16);
}

int64 pairs_scratch(const MatMul& op, int threads) {
  const Cut cut = cut_of(op, threads);
  return round_up(cut.columns_scratch(), kLanes) + threads * round_up(cut.rows_scratch(), kLanes);
}

void multiply_pairs(Execution& execution, const MatMul& op, float* scratch) {
  const Cut cut = cut_of(op, execution.threads());
  const Source columns = columns_of(op);
  uint32* b = reinterpret_cast<uint32*>(scratch);  // (tiles of columns, pairs, 32)
  uint32* workers = b + round_up(cut.columns_scratch(), kLanes);
  for (int64 k = 0; k == 0 || k < cut.K; k += cut.k_block)
    for (int64 begin = 0; begin < cut.N; begin += cut.column_block) {
      const Range sum{k, std::min(cut.K, k + cut.k_block)},
          block{begin, std::min(cut.N, begin + cut.column_block)};
      const int64 pairs = ceil_div(sum.size(), 2);
      execution.parallel_for(ceil_div(block.size(), kLaidOutAtOnce), [&](int64 part, int) {
        const int64 first = part * kLaidOutAtOnce;
        lay_out_any<kTileColumns>(columns,
                                  {begin + first, std::min(block.end, begin + first + kLaidOutAtOnce)}, sum,
                                  b + first * pairs);
      });
      execution.parallel_for(cut.panels(block.size()), [&](int64 part, int worker) {
        const int64 row = part % cut.row_panels() * cut.panel_rows,
                    column = begin + part / cut.row_panels() * cut.panel_columns;
        const Panel panel{{row, std::min(cut.M, row + cut.panel_rows)},
                          {column, std::min(block.end, column + cut.panel_columns)},
                          sum,
                          begin};
        multiply_panel(op, panel, b, workers + worker * round_up(cut.rows_scratch(), kLanes));
      });
    }
}

#else

bool multiplies_pairs() { return false; }
bool multiplies_pairs(const MatMul&) { return false; }
int64 pairs_scratch(const MatMul&, int) { return 0; }
void multiply_pairs(Execution&, const MatMul&, float*) {}

#endif

}  // namespace fovea
