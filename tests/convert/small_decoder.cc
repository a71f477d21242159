#include "small_decoder.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "core/random.h"
#include "model/families.h"

namespace fovea {
namespace {

constexpr int64 kVocabulary = 13, kSequences = 3, kLength = 9;

std::vector<DecoderCase> make_cases() {
  std::vector<DecoderCase> cases;
  const auto add = [&](const char* name, const char* family,
                       const std::function<void(ModelConfig&)>& change) {
    ModelConfig config;
    config.family = family;
    config.layers = 2;
    config.width = 24;
    config.q_heads = 8;
    config.head_dim = 6;
    config.hidden = 16;
    config.context = kLength;
    change(config);
    cases.push_back({name, config});
  };
  add("half_split", "llama", [](ModelConfig&) {});
  add("interleaved", "llama", [](ModelConfig& c) { c.rope_interleaved = true; });
  add("partial", "llama", [](ModelConfig& c) { c.head_dim = 8, c.rope_fraction = 0.5; });
  add("partial_interleaved", "llama", [](ModelConfig& c) {
    c.head_dim = 8, c.rope_fraction = 0.5;
    c.rope_interleaved = true;
  });
  add("yarn", "llama", [](ModelConfig& c) {
    c.rope_type = "yarn";
    c.rope_factor = 4;
  });
  add("proportional", "llama", [](ModelConfig& c) {
    c.head_dim = 8, c.rope_fraction = 0.5;
    c.rope_type = "proportional";
  });
  add("learned", "gpt2", [](ModelConfig&) {});
  add("no_positions", "llama", [](ModelConfig& c) { c.position = "none"; });
  add("biases", "qwen2", [](ModelConfig& c) { c.out_bias = "yes"; });
  add("parallel", "neox", [](ModelConfig& c) { c.head_dim = 8, c.rope_fraction = 0.5; });
  add("windows_softcap", "gemma2", [](ModelConfig& c) { c.sliding_window = 4; });
  add("shared_already", "qwen2", [](ModelConfig& c) { c.kv_heads = 4; });
  return cases;
}

}  // namespace

std::vector<double> logits_of(const Decoder& decoder, std::span<const float> parameters,
                              std::span<const int32> tokens, int64 sequences) {
  const auto n = static_cast<int64>(tokens.size()), length = n / sequences,
             vocabulary = decoder.shape().vocab;
  Buffer weights(DType::f64, {decoder.layout().elements()}), ids(DType::i32, {n}), positions(DType::i32, {n});
  std::copy(parameters.begin(), parameters.end(), weights.view().data<double>());
  std::copy(tokens.begin(), tokens.end(), ids.view().data<int32>());
  for (int64 i = 0; i < n; ++i) positions.view().data<int32>()[i] = static_cast<int32>(i % length);
  Buffer logits(DType::f64, {n, vocabulary});
  Arena arena;
  const auto run = [&](Stream::Mode mode) {
    Stream stream(Backend::reference, 1, mode);
    const StepContext context{.stream = stream,
                              .arena = arena,
                              .layout = decoder.layout(),
                              .precision = {DType::f64, DType::f64, DType::f64},
                              .weights = weights,
                              .compute_weights = weights,
                              .gradients = {},
                              .batch = {.sequences = sequences,
                                        .length = length,
                                        .tokens = ids,
                                        .targets = {},
                                        .positions = positions,
                                        .documents = nullptr}};
    decoder.logits(context, logits);
  };
  run(Stream::Mode::plan);
  const MemoryPlan plan = arena.plan();
  const Buffer memory(plan.bytes);
  arena.replay(plan, memory);
  run(Stream::Mode::immediate);
  return {logits.view().data<double>(), logits.view().data<double>() + n * vocabulary};
}

const std::vector<DecoderCase>& decoder_cases() {
  static const std::vector<DecoderCase> kCases = make_cases();
  return kCases;
}

Decoder decoder_of(const ModelConfig& config) {
  return Decoder(decoder_shape(config, kVocabulary), config.context, DType::f64);
}

Decoder decoder_of(ModelConfig config, int64 kv_heads) {
  config.kv_heads = kv_heads;
  return decoder_of(config);
}

std::vector<float> drawn_parameters(const Decoder& decoder, uint64 seed) {
  std::vector<float> values(static_cast<size_t>(decoder.layout().elements()), 0.0f);
  for (const Parameter& p : decoder.layout().parameters()) {
    const bool peaked = p.name.ends_with(".q.weight") || p.name.ends_with(".k.weight");
    const double std = p.vector ? 0.2 : (peaked ? 1.5 : 0.8) / std::sqrt(static_cast<double>(p.columns));
    for (int64 i = p.offset; i < p.offset + p.elements(); ++i)
      values[static_cast<size_t>(i)] =
          static_cast<float>(p.init.constant + std * RandomSequence{seed, RandomUse::synthetic, 0}.normal(
                                                         static_cast<uint64>(i)));
  }
  return values;
}

std::vector<int32> drawn_tokens() {
  std::vector<int32> tokens;
  for (uint64 i = 0; i < kSequences * kLength; ++i)
    tokens.push_back(static_cast<int32>(RandomSequence{9, RandomUse::synthetic, 1}.below(kVocabulary, i)));
  return tokens;
}

std::vector<double> logits_of(const Decoder& decoder, std::span<const float> parameters) {
  return logits_of(decoder, parameters, drawn_tokens(), kSequences);
}

double difference(const std::vector<double>& actual, const std::vector<double>& expected) {
  FOVEA_CHECK(actual.size() == expected.size() && !actual.empty(), "{} logits, {} are expected",
              actual.size(), expected.size());
  double largest = 0, scale = 0;
  for (size_t i = 0; i < actual.size(); ++i) {
    largest = std::max(largest, std::abs(actual[i] - expected[i]));
    scale = std::max(scale, std::abs(expected[i]));
  }
  return std::isfinite(largest) ? largest / scale : INFINITY;
}

std::span<const float> values_of(const ParameterLayout& layout, std::span<const float> parameters,
                                 std::string_view name) {
  const ParameterId id = layout.find(name);
  FOVEA_CHECK(id != kNoParameter, "no parameter {}", name);
  return parameters.subspan(static_cast<size_t>(layout[id].offset),
                            static_cast<size_t>(layout[id].elements()));
}

std::string refusal_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const UserError& error) {
    const std::string line = error.what();
    EXPECT_EQ(error.code(), ExitCode::usage) << line;
    EXPECT_EQ(line.find('\n'), line.npos) << line;
    return line;
  }
  return "no error";
}

}  // namespace fovea
