#include "kernels/cuda/launch.h"
#include "kernels/cuda/range_table.h"
#include "kernels/cuda/rows.h"
#include "kernels/reduce/backends.h"

namespace fovea::cuda {
namespace {

constexpr int kThreads = 256, kPieces = 8;  // pieces that a thread adds up
constexpr int kLastThreads = 1024;

/// An element of any floating-point dtype by way of f64, as load() and store() of core/view.h.
__device__ inline double to_f64(double x) { return x; }
template <class T>
__device__ inline double to_f64(T x) {
  return static_cast<double>(to_f32(x));
}
template <class T>
__device__ inline T from_f64(double x) {
  return from_f32<T>(static_cast<float>(x));
}
template <>
__device__ inline double from_f64<double>(double x) {
  return x;
}

/// f.template operator()<T>() with the device's type of any floating-point dtype.
template <class F>
void with_floating(DType dtype, F&& f) {
  if (dtype == DType::f64) return f.template operator()<double>();
  if (dtype == DType::f16) return f.template operator()<F16>();
  with_storage(dtype, std::forward<F>(f));
}

/// Elements that a thread takes at once.
template <class T>
constexpr int kWidth = sizeof(T) >= 4 ? 4 : 8;

template <class T>
__device__ inline void load_elements(const T* x, int64 i, int64 n, bool aligned, double (&out)[kWidth<T>]) {
  if constexpr (sizeof(T) == 8) {
#pragma unroll
    for (int j = 0; j < kWidth<T>; ++j) out[j] = i + j < n ? x[i + j] : 0.0;
  } else {
    const Piece<kWidth<T>> piece = load_piece<kWidth<T>>(x, i, n, aligned);
#pragma unroll
    for (int j = 0; j < kWidth<T>; ++j) out[j] = static_cast<double>(piece[j]);
  }
}

/// sums[block] = the sum over the block's elements: as many for each block, whatever the device.
template <class T>
__global__ void __launch_bounds__(kThreads)
    sum_kernel(const T* x, int64 n, bool squares, bool aligned, double* sums) {
  __shared__ double shared[kWarp];
  const int64 begin = (int64{blockIdx.x} * kPieces * kThreads + threadIdx.x) * kWidth<T>;
  double sum[1] = {0};
#pragma unroll
  for (int piece = 0; piece < kPieces; ++piece) {
    const int64 i = begin + int64{piece} * kThreads * kWidth<T>;
    if (i >= n) break;
    double v[kWidth<T>];
    load_elements(x, i, n, aligned, v);
#pragma unroll
    for (int j = 0; j < kWidth<T>; ++j) sum[0] += squares ? v[j] * v[j] : v[j];
  }
  sum_over_row(sum, shared);
  if (threadIdx.x == 0) sums[blockIdx.x] = sum[0];
}

/// total = the sum of the blocks' sums, by one block.
__global__ void __launch_bounds__(kLastThreads)
    sum_of_sums_kernel(const double* sums, int64 n, double* total) {
  __shared__ double shared[kWarp];
  double sum[1] = {0};
  for (int64 i = threadIdx.x; i < n; i += kLastThreads) sum[0] += sums[i];
  sum_over_row(sum, shared);
  if (threadIdx.x == 0) *total = sum[0];
}

template <class T>
int64 blocks_of(int64 n) {
  return ceil_div(n, int64{kThreads} * kPieces * kWidth<T>);
}

/// y = f(x, y), each thread a piece.
template <class F>
__global__ void __launch_bounds__(kThreads)
    combine_kernel(float* y, const float* x, int64 n, bool aligned, F f) {
  const int64 i = (int64{blockIdx.x} * kThreads + threadIdx.x) * 4;
  if (i >= n) return;
  const Piece<4> from = load_piece<4>(x, i, n, aligned);
  Piece<4> to = load_piece<4>(y, i, n, aligned);
#pragma unroll
  for (int j = 0; j < 4; ++j) to[j] = f(from[j], to[j]);
  store_piece(y, i, n, aligned, to);
}
template <class F>
__global__ void __launch_bounds__(kThreads) combine_kernel(double* y, const double* x, int64 n, F f) {
  const int64 i = int64{blockIdx.x} * kThreads + threadIdx.x;
  if (i < n) y[i] = f(x[i], y[i]);
}

struct Add {
  template <class T>
  __device__ T operator()(T x, T y) const {
    return y + x;
  }
};
struct Move {
  double rate;
  __device__ double operator()(double x, double y) const { return y + rate * (x - y); }
  __device__ float operator()(float x, float y) const { return y + static_cast<float>(rate) * (x - y); }
};

LaunchShape flat_shape(int64 n, int width) {
  return {dim3(static_cast<unsigned>(ceil_div(n, int64{kThreads} * width))), dim3(kThreads)};
}

template <class F>
void combine(Execution& execution, std::string_view name, const View& y, const View& x, F f) {
  const int64 n = y.size(0);
  if (y.dtype() == DType::f64) {
    void (*kernel)(double*, const double*, int64, F) = combine_kernel<F>;
    launch(execution, name, flat_shape(n, 1), kernel, y.data<double>(), x.data<double>(), n, f);
  } else {
    void (*kernel)(float*, const float*, int64, bool, F) = combine_kernel<F>;
    launch(execution, name, flat_shape(n, 4), kernel, y.data<float>(), x.data<float>(), n,
           pieces_aligned(4, x, y), f);
  }
}

template <class To, class From>
__global__ void __launch_bounds__(kThreads)
    convert_pieces_kernel(To* y, const From* x, int64 n, bool aligned) {
  constexpr int kBoth = kPieceWidth<To, From>;
  const int64 i = (int64{blockIdx.x} * kThreads + threadIdx.x) * kBoth;
  if (i < n) store_piece(y, i, n, aligned, load_piece<kBoth>(x, i, n, aligned));
}

/// To or from f64, which no training step does.
template <class To, class From>
__global__ void __launch_bounds__(kThreads) convert_kernel(To* y, const From* x, int64 n) {
  const int64 i = int64{blockIdx.x} * kThreads + threadIdx.x;
  if (i < n) y[i] = from_f64<To>(to_f64(x[i]));
}

constexpr int kFillPieces = 4;    // of a thread
constexpr int64 kFillWidth = 16;  // bytes of a piece

/// Zeroes ranges of bytes; pieces begin where addresses are multiples of their size, `behind` of them before
/// y.
__global__ void __launch_bounds__(kThreads) fill_kernel(char* y, int behind, RangeTable ranges) {
  const int range = ranges.of_block();
  const int64 begin = ranges.begin[range], end = ranges.end[range];
  int64 piece =
      (begin + behind) / kFillWidth + ranges.block_of_range(range) * kFillPieces * kThreads + threadIdx.x;
#pragma unroll
  for (int i = 0; i < kFillPieces; ++i, piece += kThreads) {
    const int64 first = piece * kFillWidth - behind;
    if (first >= begin && first + kFillWidth <= end)
      *reinterpret_cast<uint4*>(y + first) = uint4{};
    else
      for (int64 byte = max(first, begin); byte < min(first + kFillWidth, end); ++byte) y[byte] = 0;
  }
}

}  // namespace

int64 scratch_bytes(const Sum& op) {
  int64 blocks = 0;
  with_floating(op.x.dtype(), [&]<class T>() { blocks = blocks_of<T>(op.x.size(0)); });
  return scratch_size<double>(blocks) + scratch_size<double>(1);
}

void run(Execution& execution, const Sum& op) {
  const int64 n = op.x.size(0);
  with_floating(op.x.dtype(), [&]<class T>() {
    const int64 blocks = blocks_of<T>(n);
    auto* sums = execution.scratch<double>(blocks);  // (blocks)
    double* total = execution.scratch<double>(1);
    if (op.total) total = op.total.data<double>();
    launch(execution, op.squares ? "sum_of_squares" : "sum",
           {dim3(static_cast<unsigned>(blocks)), dim3(kThreads)}, sum_kernel<T>,
           static_cast<const T*>(op.x.data()), n, op.squares, pieces_aligned(kWidth<T>, op.x), sums);
    launch(execution, "sum: last", {dim3(1), dim3(kLastThreads)}, sum_of_sums_kernel, sums, blocks, total);
    if (op.result) execution.read_back(*op.result, total);
  });
}

void run(Execution& execution, const AddInto& op) { combine(execution, "add_into", op.y, op.x, Add{}); }

void run(Execution& execution, const MoveTowards& op) {
  combine(execution, "move_towards", op.y, op.x, Move{op.rate});
}

void run(Execution& execution, const FillZero& op) {
  auto* y = static_cast<char*>(op.y.data());
  const int64 size = size_of(op.y.dtype());
  if (op.ranges->size() == 1) {
    const Range& range = op.ranges->front();
    return execution.queue().fill(y + range.begin * size, 0, range.size() * size);
  }
  const auto behind = static_cast<int>(reinterpret_cast<uintptr_t>(y) % kFillWidth);
  RangeTable ranges;
  const auto flush = [&] {
    launch(execution, "fill_zero", {dim3(static_cast<unsigned>(ranges.blocks())), dim3(kThreads)},
           fill_kernel, y, behind, ranges);
    ranges = {};
  };
  for (const Range& range : *op.ranges) {
    if (ranges.full()) flush();
    const Range bytes{range.begin * size, range.end * size};
    const int64 pieces = ceil_div(bytes.end + behind, kFillWidth) - (bytes.begin + behind) / kFillWidth;
    ranges.add(bytes, ceil_div(pieces, kThreads * kFillPieces));
  }
  flush();
}

void run(Execution& execution, const Convert& op) {
  const int64 n = op.y.size(0);
  const auto convert = [&]<class To, class From>() {
    auto* y = static_cast<To*>(op.y.data());
    const auto* x = static_cast<const From*>(op.x.data());
    if constexpr (sizeof(To) <= 4 && sizeof(From) <= 4) {
      constexpr int kBoth = kPieceWidth<To, From>;
      launch(execution, "convert", flat_shape(n, kBoth), convert_pieces_kernel<To, From>, y, x, n,
             pieces_aligned(kBoth, op.x, op.y));
    } else {
      launch(execution, "convert", flat_shape(n, 1), convert_kernel<To, From>, y, x, n);
    }
  };
  with_floating(op.y.dtype(), [&]<class To>() {
    with_floating(op.x.dtype(), [&]<class From>() { convert.template operator()<To, From>(); });
  });
}

}  // namespace fovea::cuda
