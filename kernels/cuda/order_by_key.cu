#include "kernels/cuda/order_by_key.h"

#include "kernels/cuda/launch.h"
#include "kernels/cuda/warp.h"

namespace fovea::cuda {
namespace {

constexpr int kDigitBits = 8, kDigits = 1 << kDigitBits;
constexpr int kWarps = 8,
              kRounds = 8;  // a tile is a block's: each warp has kRounds times kWarp keys that follow
constexpr int kTile = kWarps * kRounds * kWarp;
constexpr int kScanThreads = 1024;

/// One pass of the sort, by the digit at `shift`.
struct Pass {
  const int32* keys;    // (N)
  const int32* before;  // (N) the order by the digits below; absent: as the keys come
  int32* after;         // (N)
  int32* counts;        // (kDigits, tiles): of each digit in each tile, then where the first of them goes
  int N, tiles, shift;
  int64 bound;

  __device__ int index(int i) const { return before ? before[i] : i; }
  __device__ int digit(int key) const { return key >> shift & (kDigits - 1); }
};

__global__ void __launch_bounds__(kDigits) count_digits_kernel(Pass pass) {
  __shared__ int counts[kDigits];
  counts[threadIdx.x] = 0;
  __syncthreads();
  const int begin = static_cast<int>(blockIdx.x) * kTile, end = min(pass.N, begin + kTile);
  for (int i = begin + static_cast<int>(threadIdx.x); i < end; i += kDigits) {
    const int key = pass.keys[pass.index(i)];
    if (key < 0 || key >= pass.bound) __trap();  // checked by whoever made the batch
    atomicAdd(&counts[pass.digit(key)], 1);
  }
  __syncthreads();
  pass.counts[threadIdx.x * pass.tiles + blockIdx.x] = counts[threadIdx.x];
}

/// counts[i] = the sum of those before it.
__global__ void __launch_bounds__(kScanThreads) scan_kernel(int32* counts, int n) {
  __shared__ int sums[kScanThreads];  // of each thread's run of elements
  const int t = static_cast<int>(threadIdx.x);
  const int run = (n + kScanThreads - 1) / kScanThreads, begin = min(n, t * run), end = min(n, begin + run);
  int sum = 0;
  for (int i = begin; i < end; ++i) sum += counts[i];
  sums[t] = sum;
  for (int distance = 1; distance < kScanThreads; distance *= 2) {
    __syncthreads();
    const int other = t >= distance ? sums[t - distance] : 0;
    __syncthreads();
    sums[t] += other;
  }
  int before = sums[t] - sum;
  for (int i = begin; i < end; ++i) {
    const int count = counts[i];
    counts[i] = before;
    before += count;
  }
}

__global__ void __launch_bounds__(kWarps* kWarp) place_kernel(Pass pass) {
  __shared__ int counts[kWarps][kDigits];  // of each warp's keys, then where the first of them goes
  const int t = static_cast<int>(threadIdx.x), warp = t / kWarp, lane = t % kWarp;
  for (int w = 0; w < kWarps; ++w) counts[w][t] = 0;
  __syncthreads();
  const int begin = static_cast<int>(blockIdx.x) * kTile + warp * kRounds * kWarp;
  int indices[kRounds], places[kRounds];  // of this thread's keys: places among the equal digits of the warp
#pragma unroll
  for (int round = 0; round < kRounds; ++round) {
    const int i = begin + round * kWarp + lane;
    const bool there = i < pass.N;
    indices[round] = there ? pass.index(i) : 0;
    const int digit = there ? pass.digit(pass.keys[indices[round]]) : kDigits;
    const uint32 equal = __match_any_sync(kAllLanes, digit);
    const int before = __popc(equal & ((1u << lane) - 1)), first = __ffs(static_cast<int>(equal)) - 1;
    int base = 0;
    if (there && lane == first) {
      base = counts[warp][digit];
      counts[warp][digit] = base + __popc(equal);
    }
    places[round] = __shfl_sync(kAllLanes, base, first) + before;
    __syncwarp();
  }
  __syncthreads();
  int next = pass.counts[t * pass.tiles + blockIdx.x];
  for (int w = 0; w < kWarps; ++w) {
    const int count = counts[w][t];
    counts[w][t] = next;
    next += count;
  }
  __syncthreads();
#pragma unroll
  for (int round = 0; round < kRounds; ++round) {
    if (begin + round * kWarp + lane >= pass.N) break;
    const int digit = pass.digit(pass.keys[indices[round]]);
    pass.after[counts[warp][digit] + places[round]] = indices[round];
  }
}
static_assert(kWarps * kWarp == kDigits, "each thread has a digit");

}  // namespace

int64 order_scratch(int64 N) { return N + kDigits * ceil_div(N, kTile); }

void order_by_key(const Execution& execution, const int32* keys, int64 N, int64 bound, int32* order,
                  int32* scratch) {
  FOVEA_CHECK(N <= int64{1} << 30, "order_by_key: {} keys", N);
  if (N == 0) return;
  int passes = 1;
  while (bound > int64{1} << (passes * kDigitBits)) ++passes;
  const auto tiles = static_cast<int>(ceil_div(N, kTile));
  const dim3 grid(static_cast<unsigned>(tiles));
  int32* const counts = scratch + N;
  const int32* before = nullptr;
  for (int pass = 0; pass < passes; ++pass) {
    int32* const after = (passes - pass) % 2 == 1 ? order : scratch;  // the last one writes to `order`
    const Pass p{keys, before, after, counts, static_cast<int>(N), tiles, pass * kDigitBits, bound};
    launch(execution, "order_by_key: count", {grid, dim3(kDigits)}, count_digits_kernel, p);
    launch(execution, "order_by_key: scan", {dim3(1), dim3(kScanThreads)}, scan_kernel, counts,
           kDigits * tiles);
    launch(execution, "order_by_key: place", {grid, dim3(kWarps * kWarp)}, place_kernel, p);
    before = after;
  }
}

}  // namespace fovea::cuda
