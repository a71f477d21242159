#include "experiments/score.h"

#include <cmath>

#include "core/error.h"
#include "record/hdf5.h"

namespace fovea {
namespace {

struct Tokens {
  int64 sequences = 0, length = 0;
  std::vector<int32> values;  // (B, T)
};

Tokens read_tokens(const std::filesystem::path& path, const DecoderShape& shape) {
  const h5::Array<int32> tokens = h5::open_file(path).read<int32>("tokens");
  if (tokens.shape.size() != 2 || tokens.shape[0] < 1 || tokens.shape[1] < 1)
    fail_input("{}: tokens must be (sequences, length), neither zero", path.string());
  if (shape.position == PositionKind::learned && tokens.shape[1] > shape.context)
    fail_input("{}: sequences of {} tokens, the model has positions for {}", path.string(), tokens.shape[1],
               shape.context);
  for (const int32 token : tokens.values)
    if (token < 0 || token >= shape.vocab)
      fail_input("{}: token {} is not in the model's vocabulary of {}", path.string(), token, shape.vocab);
  return {tokens.shape[0], tokens.shape[1], tokens.values};
}

// logits (B T, V) f32, one sequence at a time: a sequence's activations bound the memory.
std::vector<float> compute_logits(const Decoder& decoder, const ModelFile& model, Tokens tokens,
                                  Stream& stream) {
  const int64 t = tokens.length, v = decoder.shape().vocab;
  const bool reference = stream.backend() == Backend::reference;
  const DType wide = reference ? DType::f64 : DType::f32;
  Buffer weights(wide, {decoder.layout().elements()});
  for (int64 i = 0; i < decoder.layout().elements(); ++i)
    store(weights, {i}, model.parameters[static_cast<size_t>(i)]);
  std::vector<int32> positions(static_cast<size_t>(t));
  for (int64 i = 0; i < t; ++i) positions[static_cast<size_t>(i)] = static_cast<int32>(i);
  Buffer logits(wide, {t, v});

  const auto run = [&](Stream& on, Arena& arena, int64 sequence) {
    const View one(tokens.values.data() + sequence * t, DType::i32, {t}),
        at(positions.data(), DType::i32, {t});
    const StepContext context{.stream = on,
                              .arena = arena,
                              .layout = decoder.layout(),
                              .precision = {wide, wide, wide},
                              .weights = weights,
                              .compute_weights = weights,
                              .gradients = {},
                              .batch = {1, t, one, one, at, nullptr}};
    decoder.logits(context, logits);
  };
  Stream planning(stream.backend(), stream.threads(), Stream::Mode::plan);
  Arena recording;
  run(planning, recording, 0);
  const MemoryPlan plan = recording.plan();
  Buffer memory(plan.bytes);
  Arena arena;
  arena.replay(plan, memory.data());

  std::vector<float> all;
  all.reserve(static_cast<size_t>(tokens.sequences * t * v));
  for (int64 sequence = 0; sequence < tokens.sequences; ++sequence) {
    arena.rewind();
    run(stream, arena, sequence);
    stream.synchronize();
    for (int64 i = 0; i < t; ++i)
      for (int64 j = 0; j < v; ++j) all.push_back(static_cast<float>(load(logits, {i, j})));
  }
  return all;
}

double log_sum_exp(std::span<const float> x) {
  double most = -INFINITY, sum = 0;
  for (const float value : x) most = std::max(most, double{value});
  for (const float value : x) sum += std::exp(value - most);
  return most + std::log(sum);
}

}  // namespace

void score(const ModelFile& model, const std::filesystem::path& path, const std::filesystem::path& out,
           Backend backend, int threads) {
  std::error_code ignored;
  if (std::filesystem::equivalent(path, out, ignored))
    fail_usage("{}: is both the tokens and the answer; name another file for the answer", path.string());
  const DecoderShape shape = model.shape();
  const Tokens tokens = read_tokens(path, shape);
  const Decoder decoder(shape, tokens.length, backend == Backend::reference ? DType::f64 : DType::f32);
  Stream stream(backend, threads);
  const std::vector<float> logits = compute_logits(decoder, model, tokens, stream);

  const int64 v = shape.vocab, t = tokens.length;
  std::vector<float> logprobs;
  double total = 0;
  for (int64 row = 0; row < tokens.sequences * t; ++row) {
    if (row % t == t - 1) continue;
    const std::span<const float> x(logits.data() + row * v, static_cast<size_t>(v));
    const auto next = static_cast<size_t>(tokens.values[static_cast<size_t>(row + 1)]);
    const double logprob = x[next] - log_sum_exp(x);
    logprobs.push_back(static_cast<float>(logprob));
    total -= logprob;
  }
  const h5::Group file = h5::create_file(out);
  file.write<float>("logits", {tokens.sequences, t, v}, logits);
  file.write<float>("logprobs", {tokens.sequences, t - 1}, logprobs);
  const double loss = logprobs.empty() ? NAN : total / static_cast<double>(logprobs.size());
  file.write<double>("loss", {}, std::span<const double>(&loss, 1));
  file.set_attribute(".", "architecture", AttributeValue(shape.family));
  file.set_attribute("loss", "units", AttributeValue(std::string("nat/token")));
  file.flush();
}

}  // namespace fovea
