#pragma once

#include <functional>
#include <vector>

#include "convert/parameter_source.h"
#include "model/decoder.h"

namespace fovea {

/// A model at work on one sequence at a time: a sequence's activations bound the memory.
class SequencePass {
 public:
  using Body = std::function<void(const StepContext& context)>;

  /// `body` enqueues what is done with a sequence of `length` tokens; it is walked once here, without memory.
  /// weights: flat in the decoder's layout, on the stream's device; everything is stored in their dtype, f32
  /// or f64. gradients: as weights, or absent where the body has no backward. Decoder, weights and gradients
  /// outlive the pass.
  SequencePass(const Decoder& decoder, const View& weights, const View& gradients, int64 length,
               Stream& stream, Body body);

  /// Runs the body on tokens (length), each of which has the next one as its target, the last none.
  void run(const int32* tokens);

 private:
  StepContext context(Stream& stream, Arena& arena) const;

  const Decoder& decoder_;
  View weights_, gradients_;
  int64 length_;
  Stream& stream_;
  Body body_;
  std::vector<int32> next_tokens_;
  Buffer tokens_, targets_, positions_, memory_;
  MemoryPlan plan_;
  Arena arena_;
};

/// Parameters as a flat buffer of this dtype, on this device.
Buffer weights_buffer(const ParameterLayout& layout, const ParameterSource& parameters, DType dtype,
                      Device device);

}  // namespace fovea
