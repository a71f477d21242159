#include "train/optimizer.h"

#include "kernels/adamw/adamw.h"
#include "kernels/reduce/reduce.h"

namespace fovea {

OptimizerState::OptimizerState(const ParameterLayout& layout, DType wide, DType compute, bool averaged) {
  const int64 n = layout.elements();
  weights_ = Buffer(wide, {n});
  m_ = Buffer(wide, {n});
  v_ = Buffer(wide, {n});
  if (averaged) average_ = Buffer(wide, {n});
  if (compute != wide) compute_.buffer = Buffer(compute, {n});
}

int64 OptimizerState::bytes(const ParameterLayout& layout, DType wide, DType compute, bool averaged) {
  return layout.elements() * ((averaged ? 4 : 3) * size_of(wide) + (compute != wide ? size_of(compute) : 0));
}

void OptimizerState::refresh_compute_weights(Stream& stream) {
  if (compute_) convert(stream, compute_.view(), weights_);
}

void OptimizerState::use_average(Stream& stream) {
  if (compute_ && averaged()) convert(stream, compute_.view(), average_);
}

void OptimizerState::start_average(Stream& stream) {
  if (averaged()) convert(stream, average_, weights_);
}

void OptimizerState::update(Stream& stream, const ParameterLayout& layout, const TrainConfig& config,
                            const View& gradient, double lr, double gradient_scale, int64 step) {
  const std::vector<Parameter>& parameters = layout.parameters();
  finite_.set(true);
  for (size_t i = 0; i < parameters.size();) {
    size_t end = i + 1;
    while (end < parameters.size() && parameters[end].decay == parameters[i].decay) ++end;
    const Range range{parameters[i].offset,
                      end < parameters.size() ? parameters[end].offset : layout.elements()};
    adamw(stream, {.gradient = gradient.slice(range),
                   .m = m_.view().slice(range),
                   .v = v_.view().slice(range),
                   .weight = weights_.view().slice(range),
                   .compute_weight = compute_ ? compute_.view().slice(range) : View(),
                   .lr = lr,
                   .beta1 = config.beta1,
                   .beta2 = config.beta2,
                   .epsilon = config.epsilon,
                   .decay = parameters[i].decay ? config.weight_decay : 0,
                   .gradient_scale = gradient_scale,
                   .step = step,
                   .finite = finite_});
    i = end;
  }
  if (averaged()) move_towards(stream, average_, weights_, 1 - config.ema);
}

}  // namespace fovea
