#include "experiments/sequence_pass.h"

#include <algorithm>

#include "data/dataset.h"

namespace fovea {

SequencePass::SequencePass(const Decoder& decoder, const View& weights, const View& gradients, int64 length,
                           Stream& stream, Body body)
    : decoder_(decoder),
      weights_(weights),
      gradients_(gradients),
      length_(length),
      stream_(stream),
      body_(std::move(body)),
      tokens_(DType::i32, {length}),
      targets_(DType::i32, {length}),
      positions_(DType::i32, {length}) {
  for (int64 i = 0; i < length; ++i) positions_.view().data<int32>()[i] = static_cast<int32>(i);
  Stream planning(stream.backend(), stream.threads(), Stream::Mode::plan);
  Arena recording;
  body_(context(planning, recording));
  plan_ = recording.plan();
  memory_ = Buffer(plan_.bytes);
  arena_.replay(plan_, memory_);
}

StepContext SequencePass::context(Stream& stream, Arena& arena) const {
  const DType dtype = weights_.dtype();
  return {.stream = stream,
          .arena = arena,
          .layout = decoder_.layout(),
          .precision = {dtype, dtype, dtype},
          .weights = weights_,
          .compute_weights = weights_,
          .gradients = gradients_,
          .batch = {1, length_, tokens_, targets_, positions_, nullptr}};
}

void SequencePass::run(const int32* tokens) {
  std::copy_n(tokens, length_, tokens_.view().data<int32>());
  std::copy_n(tokens + 1, length_ - 1, targets_.view().data<int32>());
  targets_.view().data<int32>()[length_ - 1] = kIgnoredTarget;
  arena_.rewind();
  body_(context(stream_, arena_));
  stream_.synchronize();
}

Buffer weights_buffer(const ParameterLayout& layout, const ParameterSource& parameters, DType dtype) {
  Buffer buffer(dtype, {layout.elements()});
  read_all(parameters, layout, buffer);
  return buffer;
}

}  // namespace fovea
