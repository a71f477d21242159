#include "kernels/bench/row_work.h"

#include <algorithm>
#include <utility>

#include "kernels/adamw/adamw.h"
#include "kernels/bench/clock.h"
#include "kernels/bench/fill.h"
#include "kernels/layer_norm/layer_norm.h"
#include "kernels/matmul/matmul.h"
#include "kernels/rms_norm/rms_norm.h"

namespace fovea {

RowWork::Operands RowWork::operands() const {
  const int64 N = what_.N, C = what_.C;
  const Device device = stream_.device();
  uint32 drawn = 0;
  const auto make = [&](DType dtype, std::initializer_list<int64> shape) {
    Buffer buffer(dtype, shape, device);
    fill_normal(buffer, ++drawn);
    return buffer;
  };
  Operands on;
  switch (what_.operation) {
    case RowOperation::layer_norm:
    case RowOperation::rms_norm:
      on.x = make(DType::f32, {N, C});
      on.y = Buffer(what_.dtype, {N, C}, device);
      break;
    case RowOperation::layer_norm_backward:
    case RowOperation::rms_norm_backward:
      on.x = make(DType::f32, {N, C});
      on.dy = make(what_.dtype, {N, C});
      on.dx = make(DType::f32, {N, C});
      break;
    case RowOperation::sum_rows:
      on.dy = make(what_.dtype, {N, C});
      break;
    case RowOperation::adamw:
      on.gradient = make(DType::f32, {N * C});
      on.master = make(DType::f32, {N * C});
      on.m = Buffer(DType::f32, {N * C}, device);
      on.v = Buffer(DType::f32, {N * C}, device);
      if (what_.dtype != DType::f32) on.rounded = Buffer(what_.dtype, {N * C}, device);
      break;
  }
  for (Buffer* vector : {&on.weight, &on.bias, &on.dweight, &on.dbias}) *vector = make(DType::f32, {C});
  for (Buffer* statistic : {&on.mean, &on.r}) *statistic = make(DType::f32, {N});
  return on;
}

void RowWork::run(const Operands& on) {
  switch (what_.operation) {
    case RowOperation::layer_norm:
      return layer_norm(stream_, {.x = on.x,
                                  .weight = on.weight,
                                  .bias = on.bias,
                                  .y = on.y,
                                  .mean = on.mean,
                                  .inverse_deviation = on.r});
    case RowOperation::layer_norm_backward:
      return layer_norm_backward(stream_, {.x = on.x,
                                           .weight = on.weight,
                                           .mean = on.mean,
                                           .inverse_deviation = on.r,
                                           .dy = on.dy,
                                           .dx = on.dx,
                                           .dweight = on.dweight,
                                           .dbias = on.dbias,
                                           .accumulate = true});
    case RowOperation::rms_norm:
      return rms_norm(stream_, {.x = on.x, .weight = on.weight, .y = on.y, .inverse_rms = on.r});
    case RowOperation::rms_norm_backward:
      return rms_norm_backward(stream_, {.x = on.x,
                                         .weight = on.weight,
                                         .inverse_rms = on.r,
                                         .dy = on.dy,
                                         .dx = on.dx,
                                         .dweight = on.dweight,
                                         .accumulate = true});
    case RowOperation::sum_rows:
      return sum_rows(stream_, {.dy = on.dy, .dbias = on.dbias});
    case RowOperation::adamw:
      return adamw(stream_, {.gradient = on.gradient,
                             .m = on.m,
                             .v = on.v,
                             .weight = on.master,
                             .compute_weight = on.rounded.bytes() > 0 ? on.rounded.view() : View()});
  }
}

RowWork::RowWork(TimedRows what, int threads) : what_(std::move(what)), stream_(what_.backend, threads) {
  constexpr int64 kBeyondCaches = int64{256} << 20;
  sets_.push_back(operands());
  stream_.profile(true);
  run(sets_.front());
  stream_.synchronize();
  stream_.profile(false);
  bytes_ = static_cast<int64>(stream_.operations().begin()->second.bytes);
  for (int64 held = bytes_; held < kBeyondCaches && sets_.size() < 64; held += bytes_)
    sets_.push_back(operands());
}

double RowWork::time(int calls) {
  return seconds_of_call(stream_, calls, [this] {
    run(sets_[next_]);
    next_ = (next_ + 1) % sets_.size();
  });
}

}  // namespace fovea
