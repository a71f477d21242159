#include "experiments/sequence_pass.h"

#include "core/host_copy.h"
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
      tokens_(DType::i32, {length}, stream.device()),
      targets_(DType::i32, {length}, stream.device()),
      positions_(DType::i32, {length}, stream.device()) {
  const HostCopy positions(positions_, HostCopy::Fetch::never);
  for (int64 i = 0; i < length; ++i) positions.view().data<int32>()[i] = static_cast<int32>(i);
  positions.store();
  Stream planning(stream.backend(), stream.threads(), Stream::Mode::plan);
  Arena recording;
  body_(context(planning, recording));
  plan_ = recording.plan();
  memory_ = Buffer(plan_.bytes, stream.device());
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
  // Shifted by one, and read once they are through.
  next_tokens_.assign(tokens, tokens + length_);
  next_tokens_.push_back(kIgnoredTarget);
  stream_.copy(tokens_, View(next_tokens_.data(), DType::i32, {length_}));
  stream_.copy(targets_, View(next_tokens_.data() + 1, DType::i32, {length_}));
  arena_.rewind();
  body_(context(stream_, arena_));
  stream_.synchronize();
}

Buffer weights_buffer(const ParameterLayout& layout, const ParameterSource& parameters, DType dtype,
                      Device device) {
  Buffer buffer(dtype, {layout.elements()}, device);
  const HostCopy host(buffer, HostCopy::Fetch::never);
  read_all(parameters, layout, host);
  host.store();
  return buffer;
}

}  // namespace fovea
