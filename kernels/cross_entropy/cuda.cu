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
  int V;
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
  for (int begin = 0; begin < p.V; begin += blockDim.x * kFour) {
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
        x[i] = g * (1 - tanh * tanh);
      }
    }
    // Narrower gradients lie over logits that other threads have just read, and none that are still to be.
    if constexpr (sizeof(Gradient) < sizeof(float)) __syncthreads();
    if (v < p.V) store_piece(gradient, v, p.V, true, x);
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

/// 256 MiB of logits: each chunk reads the weights and adds to their gradient, which should be little beside
/// its products.
int64 chunk_rows(const LinearCrossEntropy& op) { return fovea::chunk_rows(op, int64{1} << 26, 2048); }

/// f32 elements between rows of logits: so many that rows are aligned, as f32 and as bf16.
int64 stride_of(const LinearCrossEntropy& op) { return round_up(op.weight.size(0), 16); }

Chunk chunk_of(const LinearCrossEntropy& op, Range rows, float* logits) {
  const int64 V = op.weight.size(0), stride = stride_of(op);
  const bool narrow = op.hidden.dtype() == DType::bf16;
  const View x(logits, DType::f32, {rows.size(), V}, {stride, 1}, Device::cuda);
  const View dx(logits, op.hidden.dtype(), {rows.size(), V}, {narrow ? 2 * stride : stride, 1}, Device::cuda);
  return fovea::chunk_of(op, rows, x, dx);
}

/// Bytes that products over a chunk take.
int64 products_scratch(const LinearCrossEntropy& op) {
  const Chunk chunk = chunk_of(op, {0, chunk_rows(op)}, nullptr);
  int64 bytes = multiply_scratch(chunk.logits);
  if (op.dhidden) bytes = std::max(bytes, multiply_scratch(chunk.dhidden));
  if (op.dweight) bytes = std::max(bytes, multiply_scratch(chunk.dweight));
  if (op.dbias) bytes = std::max(bytes, add_rows_scratch(chunk.dbias));
  return bytes;
}

void losses_of(Execution& execution, const LinearCrossEntropy& op, Range rows, float* logits) {
  const int64 V = op.weight.size(0);
  const LossRows p{.logits = logits,
                   .stride = stride_of(op),
                   .targets = op.targets.data<int32>() + rows.begin,
                   .losses = op.losses.data<float>() + rows.begin,
                   .V = static_cast<int>(V),
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
  return scratch_size<float>(chunk_rows(op) * stride_of(op)) + scratch_size<std::byte>(products_scratch(op));
}

void run(Execution& execution, const LinearCrossEntropy& op) {
  const int64 N = op.hidden.size(0), step = chunk_rows(op);
  auto* logits = execution.scratch<float>(step * stride_of(op));  // (rows of a chunk, V)
  auto* scratch = execution.scratch<std::byte>(products_scratch(op));
  for (int64 begin = 0; begin < N; begin += step) {
    const Range rows{begin, std::min(N, begin + step)};
    const Chunk chunk = chunk_of(op, rows, logits);
    multiply(execution, chunk.logits, scratch);
    losses_of(execution, op, rows, logits);
    if (op.dhidden) multiply(execution, chunk.dhidden, scratch);
    if (op.dweight) multiply(execution, chunk.dweight, scratch);
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
