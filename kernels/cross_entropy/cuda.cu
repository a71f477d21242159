#include <array>
#include <cfloat>
#include <type_traits>

#include "kernels/cross_entropy/backends.h"
#include "kernels/cross_entropy/chunk.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/math.h"
#include "kernels/cuda/pieces.h"
#include "kernels/cuda/warp.h"
#include "kernels/matmul/backends.h"

namespace fovea::cuda {
namespace {

constexpr int kMostThreads = 1024, kFour = 4;

/// logit = cap * tanh(raw / cap), or raw where cap is 0.
struct Softcap {
  float cap, inverse;
  __device__ float tanh_of(float raw) const { return cap > 0 ? tanh_f32(raw * inverse) : 0.0f; }
  __device__ float operator()(float raw) const { return cap > 0 ? cap * tanh_f32(raw * inverse) : raw; }
};
Softcap softcap_of(float cap) { return {cap, cap > 0 ? 1 / cap : 0.0f}; }

/// The rows of a chunk, one block each.
struct LossRows {
  float* logits;  // (rows, V), rows `stride` apart, 16 bytes aligned
  int64 stride;
  const int32* targets;  // (rows)
  float* losses;         // (rows)
  int V, columns;        // behind the V logits of a row are columns whose gradient is 0
  float gradient_scale;
  Softcap softcap;
};

/// The largest of some logits and the sum of exp(logit - most); NaN where one of them is not finite.
struct alignas(8) Softmax {
  float most = -FLT_MAX, sum = 0;
};

/// e^x, x <= 0
__device__ inline float exp_of(float x) { return exp2_approx(x * kLog2E); }

/// Of all lanes, in lane 0.
__device__ inline Softmax over_warp(Softmax own) {
#pragma unroll
  for (int apart = kWarp / 2; apart > 0; apart /= 2) {
    const Softmax other{__shfl_down_sync(kAllLanes, own.most, apart),
                        __shfl_down_sync(kAllLanes, own.sum, apart)};
    const float most = fmaxf(own.most, other.most);
    own = {most, fmaf(own.sum, exp_of(own.most - most), other.sum * exp_of(other.most - most))};
  }
  return own;
}

/// Of all threads of the block, in every thread; a barrier for all of them.
__device__ inline Softmax over_block(Softmax own) {
  __shared__ Softmax warps[kMostThreads / kWarp];
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  own = over_warp(own);
  if (lane == 0) warps[warp] = own;
  __syncthreads();
  const Softmax all = over_warp(lane < blockDim.x / kWarp ? warps[lane] : Softmax{});
  return {__shfl_sync(kAllLanes, all.most, 0), __shfl_sync(kAllLanes, all.sum, 0)};
}

/// What this thread's logits of a row come to.
__device__ inline Softmax over_own(const LossRows& p, const float* row) {
  Softmax own;
  bool finite = true;
  for (int v = threadIdx.x * kFour; v < p.V; v += blockDim.x * kFour) {
    Piece<kFour> x = load_piece<kFour>(row, v, p.V, true);
    float most = own.most, sum = 0;
#pragma unroll
    for (int i = 0; i < kFour; ++i)
      if (v + i < p.V) {
        finite = finite && fabsf(x[i]) <= FLT_MAX;
        x[i] = p.softcap(x[i]);
        most = fmaxf(most, x[i]);
      }
#pragma unroll
    for (int i = 0; i < kFour; ++i)
      if (v + i < p.V) sum += exp_of(x[i] - most);
    own = {most, fmaf(own.sum, exp_of(own.most - most), sum)};
  }
  if (!finite) own.sum = __int_as_float(0x7fffffff);
  return own;
}

/// A row's logits become the gradient of its scaled loss by them, or zeros where the row is ignored. Bf16
/// gradients lie in the first half of what the logits took.
template <class Gradient>
__device__ inline void write_gradient(const LossRows& p, float* row, int target, const Softmax& all) {
  auto* gradient = reinterpret_cast<Gradient*>(row);
  const float scale = p.gradient_scale / all.sum;
  for (int begin = 0; begin < p.columns; begin += blockDim.x * kFour) {
    const int v = begin + threadIdx.x * kFour;
    Piece<kFour> x{};
    if (v < p.V && target >= 0) {
      x = load_piece<kFour>(row, v, p.V, true);
      // forward: loss = lse(logits) - logits[target]; logits = softcap * tanh(raw / softcap), so dlogits/draw
      // = 1 - (logits / softcap)^2
#pragma unroll
      for (int i = 0; i < kFour; ++i) {
        const float tanh = p.softcap.tanh_of(x[i]);
        const float logit = p.softcap.cap > 0 ? p.softcap.cap * tanh : x[i];
        const float g = scale * exp_of(logit - all.most) - (v + i == target ? p.gradient_scale : 0.0f);
        x[i] = v + i < p.V ? g * (1 - tanh * tanh) : 0.0f;
      }
    }
    // Narrower gradients lie over logits that other threads have just read, and none that are still to be.
    if constexpr (sizeof(Gradient) < sizeof(float)) __syncthreads();
    if (v < p.columns) store_piece(gradient, v, p.columns, true, x);
  }
}

/// The loss of each row; where Gradient is not void, gradients take the logits' place.
template <class Gradient>
__global__ void __launch_bounds__(kMostThreads) loss_rows(LossRows p) {
  // The last rows first: the product has written them last, so that they are still in the cache.
  const int64 n = gridDim.x - 1 - blockIdx.x;
  float* row = p.logits + n * p.stride;
  const int target = p.targets[n];
  if (target < -1 || target >= p.V) __trap();  // checked by whoever made the batch
  const bool ignored = target == -1;
  // Read before any thread writes gradients over it: over_block has a barrier.
  const float at_target = ignored ? 0.0f : p.softcap(row[target]);
  const Softmax all = over_block(ignored ? Softmax{} : over_own(p, row));
  // forward: loss = lse(logits) - logits[target]
  if (threadIdx.x == 0) p.losses[n] = ignored ? 0.0f : logf(all.sum) + (all.most - at_target);
  if constexpr (!std::is_void_v<Gradient>) write_gradient<Gradient>(p, row, target, all);
}

/// logits (N, V) = softcap * tanh(logits / softcap), one block a row.
__global__ void cap_rows(float* logits, int64 stride, int V, Softcap softcap) {
  float* row = logits + blockIdx.x * stride;
  for (int v = threadIdx.x; v < V; v += blockDim.x) row[v] = softcap(row[v]);
}

int threads_for(int64 V) {
  return static_cast<int>(std::clamp<int64>(round_up(ceil_div(V, kFour), kWarp), kWarp, kMostThreads));
}

/// 512 MiB of logits: each chunk reads the weights and adds to their gradient, which should be little beside
/// its products.
int64 chunk_rows(const LinearCrossEntropy& op) { return fovea::chunk_rows(op, int64{1} << 27, 2048); }

/// Columns of the products over the vocabulary V: the library multiplies multiples of 8 by kernels several
/// times as fast as the others (docs/lab-notes.md), and 50257 is none.
int64 columns_for(int64 V) { return round_up(V, 8); }
/// f32 elements between rows of logits: so many that rows are aligned, as f32 and as bf16.
int64 stride_for(int64 V) { return round_up(V, 16); }

/// to (N, C) = from (V, C), zeros behind; elements of 2 or 4 bytes.
template <class T>
__global__ void pad_rows(T* to, const T* from, int64 stride, int64 V, int64 N, int64 C) {
  const int64 i = int64{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= N * C) return;
  to[i] = i / C < V ? from[i / C * stride + i % C] : T{};
}

/// The head's operands with as many rows as there are columns.
struct Head {
  View weight, bias;
};

View padded(const View& from, void* data) {
  const int64 columns = columns_for(from.size(0));
  return from.rank() > 1 ? View(data, from.dtype(), {columns, from.size(1)}, Device::cuda)
                         : View(data, from.dtype(), {columns}, Device::cuda);
}
/// Their shapes.
Head padded_head(const View& weight, const View& bias) {
  return {padded(weight, weight.data()), bias ? padded(bias, bias.data()) : bias};
}

int64 head_scratch(const View& weight, const View& bias) {
  if (columns_for(weight.size(0)) == weight.size(0)) return 0;
  const Head head = padded_head(weight, bias);
  return scratch_size<std::byte>(head.weight.bytes()) +
         (bias ? scratch_size<std::byte>(head.bias.bytes()) : 0);
}

View copy_padded(Execution& execution, const View& from) {
  if (!from || columns_for(from.size(0)) == from.size(0)) return from;
  View to = padded(from, from.data());
  to = padded(from, execution.scratch<std::byte>(to.bytes()));
  const int64 C = from.rank() > 1 ? from.size(1) : 1;
  constexpr int kThreads = 256;
  const LaunchShape shape{dim3(static_cast<unsigned>(ceil_div(to.elements(), kThreads))), dim3(kThreads)};
  const auto copy = [&]<class T>(T* into) {
    launch(execution, "cross_entropy: padded head", shape, pad_rows<T>, into,
           static_cast<const T*>(from.data()), from.stride(0), from.size(0), to.size(0), C);
  };
  if (size_of(from.dtype()) == 2)
    copy(static_cast<uint16*>(to.data()));
  else
    copy(static_cast<uint32*>(to.data()));
  return to;
}
Head copy_padded(Execution& execution, const View& weight, const View& bias) {
  return {copy_padded(execution, weight), copy_padded(execution, bias)};
}

/// Of the op whose weight and bias are `head`'s.
Chunk chunk_of(LinearCrossEntropy op, const Head& head, Range rows, float* logits) {
  const int64 V = op.weight.size(0), columns = columns_for(V), stride = stride_for(V);
  const bool narrow = op.hidden.dtype() == DType::bf16;
  const auto gradients = [&](int64 count) {
    return View(logits, op.hidden.dtype(), {rows.size(), count}, {narrow ? 2 * stride : stride, 1},
                Device::cuda);
  };
  const View x(logits, DType::f32, {rows.size(), columns}, {stride, 1}, Device::cuda);
  op.weight = head.weight, op.bias = head.bias;
  Chunk chunk = fovea::chunk_of(op, rows, x, gradients(columns));
  chunk.dweight.a = chunk.dbias.dy = gradients(V);
  return chunk;
}

/// The product for dweight: of so many of its rows as are a multiple of 8, and of the rest.
std::array<MatMul, 2> dweight_products(const MatMul& all) {
  const int64 V = all.c.size(0), whole = V / 8 * 8, rows = all.a.size(0);
  const auto part = [&](int64 begin, int64 end) {
    MatMul product = all;
    auto* const a = static_cast<std::byte*>(all.a.data()) + begin * size_of(all.a.dtype());
    product.a = View(a, all.a.dtype(), {rows, end - begin}, {all.a.stride(0), 1}, all.a.device());
    product.c = all.c.slice({begin, end});
    return product;
  };
  return {part(0, whole), part(whole, V)};
}

/// Bytes that products over a chunk take.
int64 products_scratch(const LinearCrossEntropy& op) {
  const Chunk chunk = chunk_of(op, padded_head(op.weight, op.bias), {0, chunk_rows(op)}, nullptr);
  int64 bytes = multiply_scratch(chunk.logits);
  if (op.dhidden) bytes = std::max(bytes, multiply_scratch(chunk.dhidden));
  if (op.dweight)
    for (const MatMul& part : dweight_products(chunk.dweight))
      bytes = std::max(bytes, multiply_scratch(part));
  if (op.dbias) bytes = std::max(bytes, add_rows_scratch(chunk.dbias));
  return bytes;
}

void losses_of(Execution& execution, const LinearCrossEntropy& op, Range rows, float* logits) {
  const int64 V = op.weight.size(0);
  const LossRows p{.logits = logits,
                   .stride = stride_for(V),
                   .targets = op.targets.data<int32>() + rows.begin,
                   .losses = op.losses.data<float>() + rows.begin,
                   .V = static_cast<int>(V),
                   .columns = static_cast<int>(columns_for(V)),
                   .gradient_scale = static_cast<float>(op.gradient_scale),
                   .softcap = softcap_of(op.softcap)};
  const auto kernel = !op.dhidden                        ? loss_rows<void>
                      : op.hidden.dtype() == DType::bf16 ? loss_rows<Bf16>
                                                         : loss_rows<float>;
  launch(execution, "cross_entropy: losses", {dim3(rows.size()), dim3(threads_for(V))}, kernel, p);
}

MatMul logits_product(const LinearLogits& op) {
  return {.a = op.hidden, .b = op.weight, .bias = op.bias, .c = op.logits, .transpose_b = true};
}

}  // namespace

int64 scratch_bytes(const LinearCrossEntropy& op) {
  return scratch_size<float>(chunk_rows(op) * stride_for(op.weight.size(0))) +
         head_scratch(op.weight, op.bias) + scratch_size<std::byte>(products_scratch(op));
}

void run(Execution& execution, const LinearCrossEntropy& op) {
  const int64 N = op.hidden.size(0), step = chunk_rows(op);
  auto* logits = execution.scratch<float>(step * stride_for(op.weight.size(0)));  // (rows of a chunk, V)
  const Head head = copy_padded(execution, op.weight, op.bias);
  auto* scratch = execution.scratch<std::byte>(products_scratch(op));
  for (int64 begin = 0; begin < N; begin += step) {
    const Range rows{begin, std::min(N, begin + step)};
    const Chunk chunk = chunk_of(op, head, rows, logits);
    multiply(execution, chunk.logits, scratch);
    losses_of(execution, op, rows, logits);
    if (op.dhidden) multiply(execution, chunk.dhidden, scratch);
    if (op.dweight)
      for (const MatMul& part : dweight_products(chunk.dweight)) multiply(execution, part, scratch);
    if (op.dbias) add_rows(execution, chunk.dbias, scratch);
  }
}

int64 scratch_bytes(const LinearLogits& op) {
  return scratch_size<std::byte>(multiply_scratch(logits_product(op)));
}

void run(Execution& execution, const LinearLogits& op) {
  const MatMul product = logits_product(op);
  multiply(execution, product, execution.scratch<std::byte>(multiply_scratch(product)));
  const int64 V = op.logits.size(1);
  if (op.softcap == 0 || V == 0) return;
  launch(execution, "linear_logits: softcap", {dim3(op.logits.size(0)), dim3(threads_for(V))}, cap_rows,
         op.logits.data<float>(), op.logits.stride(0), static_cast<int>(V), softcap_of(op.softcap));
}

}  // namespace fovea::cuda
