#include <cmath>

#include "kernels/adamw/backends.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/pieces.h"
#include "kernels/cuda/range_table.h"

namespace fovea::cuda {
namespace {

constexpr int kThreads = 256, kFour = 4;

/// The operands and numbers of one update. A thread takes four neighbours, in accesses of 16 bytes where all
/// operands lie alike (`aligned`): then the first of four is `shift` elements before an element 4 i.
struct Update {
  const float* gradient;
  float *m, *v, *weight;
  Bf16* rounded;         // or null
  const double* factor;  // or null
  const int32* go;       // or null
  int32* finite;         // or null; made 0 where something is not
  int shift;
  bool aligned;
  double gradient_scale;
  float beta1, one_less_beta1, beta2, one_less_beta2, epsilon, rate, v_correction;
};

/// What a launch updates, and by how much each range's weights shrink.
struct Alike {
  RangeTable ranges;
  float shrink[RangeTable::kMost] = {};
};
static_assert(sizeof(Update) + sizeof(Alike) <= 4096, "what a kernel's parameters may take");

/// Updates one parameter; the result is 0, or NaN where not all that it has now is finite.
__device__ inline float update_one(const Update& p, float scale, float shrink, float gradient, float& m,
                                   float& v, float& weight) {
  const float g = gradient * scale;
  m = fmaf(p.beta1, m, p.one_less_beta1 * g);
  v = fmaf(p.beta2, v, p.one_less_beta2 * g * g);
  const float denominator = sqrtf(v * p.v_correction) + p.epsilon;
  weight -= fmaf(shrink, weight, p.rate * m / denominator);
  return fmaf(m, 0.0f, fmaf(v, 0.0f, weight * 0.0f));
}

__device__ inline float update_four(const Update& p, float scale, float shrink, int64 first) {
  const Piece<kFour> g = load_whole<kFour>(p.gradient + first);
  Piece<kFour> m = load_whole<kFour>(p.m + first), v = load_whole<kFour>(p.v + first);
  Piece<kFour> weight = load_whole<kFour>(p.weight + first);
  float zero = 0;
#pragma unroll
  for (int i = 0; i < kFour; ++i) zero += update_one(p, scale, shrink, g[i], m[i], v[i], weight[i]);
  store_whole(p.m + first, m);
  store_whole(p.v + first, v);
  store_whole(p.weight + first, weight);
  if (p.rounded) store_whole(p.rounded + first, weight);
  return zero;
}

/// The fours that range [begin, end) lies in.
__host__ __device__ inline Range fours_of(const Update& p, int64 begin, int64 end) {
  return {(begin + p.shift) / kFour, (end + p.shift + kFour - 1) / kFour};
}

__global__ void __launch_bounds__(kThreads) update(Update p, Alike alike) {
  if (p.go && *p.go == 0) return;
  const auto scale = static_cast<float>(p.factor ? p.gradient_scale * *p.factor : p.gradient_scale);
  const int range = alike.ranges.of_block();
  const int64 begin = alike.ranges.begin[range], end = alike.ranges.end[range];
  const float shrink = alike.shrink[range];
  const int64 four = alike.ranges.block_of_range(range) * kThreads + threadIdx.x;
  const int64 first = kFour * (fours_of(p, begin, end).begin + four) - p.shift;
  float zero = 0;
  if (p.aligned && first >= begin && first + kFour <= end)
    zero = update_four(p, scale, shrink, first);
  else
    for (int64 i = max(first, begin); i < min(first + kFour, end); ++i) {
      zero += update_one(p, scale, shrink, p.gradient[i], p.m[i], p.v[i], p.weight[i]);
      if (p.rounded) p.rounded[i] = from_f32<Bf16>(p.weight[i]);
    }
  if (p.finite && !(zero == 0)) atomicMin(p.finite, 0);
}

/// Elements behind a bound of four of them at which an operand begins.
int elements_behind(const View& view) {
  return static_cast<int>(static_cast<int64>(reinterpret_cast<uintptr_t>(view.data())) /
                          size_of(view.dtype()) % kFour);
}

Update update_of(const AdamW& op, int32* finite) {
  const double t = static_cast<double>(op.step);
  const auto f32 = [](double x) { return static_cast<float>(x); };
  const int shift = elements_behind(op.weight);
  bool aligned = true;
  for (const View& view : {op.gradient, op.m, op.v, op.compute_weight})
    aligned = aligned && (!view || elements_behind(view) == shift);
  return {
      .gradient = op.gradient.data<float>(),
      .m = op.m.data<float>(),
      .v = op.v.data<float>(),
      .weight = op.weight.data<float>(),
      .rounded = op.compute_weight ? reinterpret_cast<Bf16*>(op.compute_weight.data<bf16>()) : nullptr,
      .factor = op.gradient_factor ? op.gradient_factor.data<double>() : nullptr,
      .go = op.go ? op.go.data<int32>() : nullptr,
      .finite = finite,
      .shift = shift,
      .aligned = aligned,
      .gradient_scale = op.gradient_scale,
      .beta1 = f32(op.beta1),
      .one_less_beta1 = f32(1 - op.beta1),
      .beta2 = f32(op.beta2),
      .one_less_beta2 = f32(1 - op.beta2),
      .epsilon = f32(op.epsilon),
      // the corrections of the moments' bias, folded into constants: lr / (1 - beta1^t), 1 / (1 - beta2^t)
      .rate = f32(op.lr / (1 - std::pow(op.beta1, t))),
      .v_correction = f32(1 / (1 - std::pow(op.beta2, t)))};
}

/// One launch for as many ranges as its parameters hold.
void launch_updates(const Execution& execution, const AdamW& op, const Update& p) {
  Alike alike;
  const auto flush = [&] {
    launch(execution, "adamw", {dim3(static_cast<unsigned>(alike.ranges.blocks())), dim3(kThreads)}, update,
           p, alike);
    alike = {};
  };
  for_each_decay(op, {0, op.weight.size(0)}, [&](Range range, double decay) {
    if (alike.ranges.full()) flush();
    alike.shrink[alike.ranges.count] = static_cast<float>(op.lr * decay);
    alike.ranges.add(range, ceil_div(fours_of(p, range.begin, range.end).size(), kThreads));
  });
  flush();
}

__global__ void decide(const double* squares, const double* loss, double clip, double* factor, int32* go) {
  if (threadIdx.x > 0) return;
  const double norm = sqrt(*squares);
  *go = isfinite(norm) && (!loss || isfinite(*loss));
  *factor = clip > 0 ? fmin(1.0, clip / (norm + 1e-6)) : 1;
}

}  // namespace

int64 scratch_bytes(const AdamW& op) { return op.finite ? scratch_size<int32>(1) : 0; }

void run(Execution& execution, const AdamW& op) {
  int32* finite = op.finite ? execution.scratch<int32>(1) : nullptr;
  if (finite) execution.queue().fill(finite, 1, sizeof *finite);  // 0x01010101
  if (op.weight.size(0) == 0) return;
  launch_updates(execution, op, update_of(op, finite));
  if (!finite) return;
  // Several updates may share one readback, which says whether all are.
  const Readback<bool> result = *op.finite;
  const std::optional<bool> before = result.ready() ? std::optional(result.get()) : std::nullopt;
  result.forget();
  execution.when_read<int32>(finite, [result, before](int32 value) {
    result.set(before.value_or(result.ready() ? result.get() : true) && value != 0);
  });
}

void run(Execution& execution, const UpdateGate& op) {
  launch(execution, "gate_update", {dim3(1), dim3(32)}, decide, op.squares.data<double>(),
         op.loss ? op.loss.data<double>() : nullptr, op.clip, op.factor.data<double>(), op.go.data<int32>());
}

}  // namespace fovea::cuda
