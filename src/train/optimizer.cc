#include "train/optimizer.h"

#include <utility>

#include "kernels/adamw/adamw.h"
#include "kernels/reduce/reduce.h"

namespace fovea {

namespace {

/// The ranges of parameters that decay; what lies between a parameter and the next is zeros, and goes with
/// it.
Ranges decayed_ranges(const ParameterLayout& layout) {
  const std::vector<Parameter>& parameters = layout.parameters();
  std::vector<Range> ranges;
  for (size_t i = 0; i < parameters.size(); ++i) {
    if (!parameters[i].decay) continue;
    const int64 begin = parameters[i].offset;
    while (i + 1 < parameters.size() && parameters[i + 1].decay) ++i;
    ranges.push_back({begin, i + 1 < parameters.size() ? parameters[i + 1].offset : layout.elements()});
  }
  return std::make_shared<const std::vector<Range>>(std::move(ranges));
}

}  // namespace

OptimizerState::OptimizerState(const ParameterLayout& layout, DType wide, DType compute, bool averaged,
                               Device device)
    : decayed_(decayed_ranges(layout)) {
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

void OptimizerState::update(Stream& stream, const TrainConfig& config, const View& gradient, double lr,
                            const Gate& gate, int64 step) {
  finite_.set(true);
  adamw(stream, {.gradient = gradient,
                 .m = m_,
                 .v = v_,
                 .weight = weights_,
                 .compute_weight = compute_ ? compute_.view() : View(),
                 .gradient_factor = gate.factor,
                 .go = gate.go,
                 .lr = lr,
                 .beta1 = config.beta1,
                 .beta2 = config.beta2,
                 .epsilon = config.epsilon,
                 .decay = config.weight_decay,
                 .decayed = decayed_,
                 .step = step,
                 .finite = finite_});
}

void OptimizerState::update_average(Stream& stream, const TrainConfig& config) {
  if (averaged()) move_towards(stream, average_, weights_, 1 - config.ema);
}

}  // namespace fovea
