#include "train/optimizer.h"

#include "kernels/adamw/adamw.h"
#include "kernels/reduce/reduce.h"

namespace fovea {

OptimizerState::OptimizerState(const ParameterLayout& layout, DType wide, DType compute, bool averaged,
                               Device device) {
  const int64 n = layout.elements();
  weights_ = Buffer(wide, {n}, device);
  m_ = Buffer(wide, {n}, device);
  v_ = Buffer(wide, {n}, device);
  if (averaged) average_ = Buffer(wide, {n}, device);
  if (compute != wide) compute_.buffer = Buffer(compute, {n}, device);
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
                            const View& gradient, double lr, const Gate& gate, int64 step) {
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
                   .gradient_factor = gate.factor,
                   .go = gate.go,
                   .lr = lr,
                   .beta1 = config.beta1,
                   .beta2 = config.beta2,
                   .epsilon = config.epsilon,
                   .decay = parameters[i].decay ? config.weight_decay : 0,
                   .step = step,
                   .finite = finite_});
    i = end;
  }
}

void OptimizerState::update_average(Stream& stream, const TrainConfig& config) {
  if (averaged()) move_towards(stream, average_, weights_, 1 - config.ema);
}

}  // namespace fovea
