#pragma once

// Tiny decoders with random weights under which attention matters, and their logits on the fp64 backend.

#include <functional>
#include <ostream>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/buffer.h"
#include "model/decoder.h"

namespace fovea {

/// Logits (B, T, V) of B sequences of T tokens.
std::vector<double> logits_of(const Decoder& decoder, std::span<const float> parameters,
                              std::span<const int32> tokens, int64 sequences);

struct DecoderCase {
  std::string name;
  ModelConfig config;
};
inline void PrintTo(const DecoderCase& c, std::ostream* out) { *out << c.name; }

/// Every way in which positions come to a decoder, biases, heads that are shared already: 8 query heads of 6
/// or 8 dimensions, two layers.
const std::vector<DecoderCase>& decoder_cases();
Decoder decoder_of(const ModelConfig& config);
/// The same with other KV heads.
Decoder decoder_of(ModelConfig config, int64 kv_heads);

/// Weights of a size that peaks attention; biases and norms off their initial values.
std::vector<float> drawn_parameters(const Decoder& decoder, uint64 seed);
/// 3 sequences of 9 tokens.
std::vector<int32> drawn_tokens();
/// Of those.
std::vector<double> logits_of(const Decoder& decoder, std::span<const float> parameters);
/// The largest difference, as a part of the largest value of `expected`.
double difference(const std::vector<double>& actual, const std::vector<double>& expected);

std::span<const float> values_of(const ParameterLayout& layout, std::span<const float> parameters,
                                 std::string_view name);

/// The line that a call is refused with; checks that it is one line, a usage error.
std::string refusal_of(const std::function<void()>& f);

}  // namespace fovea
