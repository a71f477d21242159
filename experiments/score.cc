#include "experiments/score.h"

#include <cmath>

#include "core/error.h"
#include "experiments/sequence_pass.h"
#include "experiments/tokens.h"
#include "record/hdf5.h"

namespace fovea {
namespace {

// logits (B T, V) f32.
std::vector<float> compute_logits(const Decoder& decoder, const StoredModel& model, const Tokens& tokens,
                                  Stream& stream) {
  const int64 t = tokens.length, v = decoder.shape().vocab;
  const DType wide = stream.backend() == Backend::reference ? DType::f64 : DType::f32;
  const Buffer weights = weights_buffer(model.layout, model.parameters, wide), logits(wide, {t, v});
  SequencePass pass(decoder, weights, {}, t, stream,
                    [&](const StepContext& context) { decoder.logits(context, logits); });
  std::vector<float> all;
  all.reserve(static_cast<size_t>(tokens.sequences * t * v));
  for (int64 sequence = 0; sequence < tokens.sequences; ++sequence) {
    pass.run(tokens.values.data() + sequence * t);
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

void score(const StoredModel& model, const std::filesystem::path& path, const std::filesystem::path& out,
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
