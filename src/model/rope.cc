#include "model/rope.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <string_view>

#include "core/error.h"

namespace fovea {
namespace {

double changed_base(double theta, double growth, int64 dims) {
  const auto d = static_cast<double>(dims);
  return theta * std::pow(growth, d / (d - 2));
}

// Peng et al. 2023, eq. 22; DeepSeek weighs the logarithm.
double yarn_multiplier(double factor, double mscale, double mscale_all_dim) {
  const auto of = [&](double weight) { return factor <= 1 ? 1 : 0.1 * weight * std::log(factor) + 1; };
  return mscale > 0 && mscale_all_dim > 0 ? of(mscale) / of(mscale_all_dim) : of(1);
}

double longrope_multiplier(double factor, double original_context) {
  return factor <= 1 ? 1 : std::sqrt(1 + std::log(factor) / std::log(original_context));
}

struct TypeName {
  std::string_view name;
  RopeType type;
};
// ntk comes after the name that its type goes by: it ends in another base.
constexpr TypeName kTypes[] = {{"default", RopeType::plain}, {"ntk", RopeType::plain},
                               {"linear", RopeType::linear}, {"dynamic", RopeType::dynamic},
                               {"yarn", RopeType::yarn},     {"longrope", RopeType::longrope},
                               {"llama3", RopeType::llama3}, {"proportional", RopeType::proportional}};

RopeType type_named(std::string_view name) {
  const auto found = std::ranges::find(kTypes, name, &TypeName::name);
  if (found == std::end(kTypes)) fail_usage("model.rope_type: unknown type \"{}\": see docs/config.md", name);
  return found->type;
}

RopeScaling scaling_of(const ModelConfig& config) {
  RopeScaling scaling;
  scaling.type = type_named(config.rope_type);
  if (scaling.type == RopeType::plain) return scaling;
  const int64 original = config.rope_original_context ? config.rope_original_context : config.context;
  const double growth = static_cast<double>(config.context) / static_cast<double>(original);
  const bool grows = scaling.type == RopeType::yarn || scaling.type == RopeType::longrope;
  scaling.factor = config.rope_factor > 0 ? config.rope_factor : grows ? growth : 1;
  if (scaling.type == RopeType::linear || scaling.type == RopeType::proportional) return scaling;
  scaling.original_context = original;
  if (scaling.type == RopeType::yarn) {
    scaling.multiplier = yarn_multiplier(scaling.factor, config.rope_mscale, config.rope_mscale_all_dim);
    scaling.beta_fast = config.rope_beta_fast;
    scaling.beta_slow = config.rope_beta_slow;
    scaling.truncate = config.rope_truncate;
  }
  if (scaling.type == RopeType::longrope) {
    scaling.multiplier = longrope_multiplier(scaling.factor, static_cast<double>(original));
    scaling.short_factors = config.rope_short_factors;
    scaling.long_factors = config.rope_long_factors;
  }
  if (scaling.type == RopeType::llama3) {
    scaling.low_freq_factor = config.rope_low_freq_factor;
    scaling.high_freq_factor = config.rope_high_freq_factor;
  }
  if (grows && config.rope_attention_factor > 0) scaling.multiplier = config.rope_attention_factor;
  return scaling;
}

std::vector<double> powers_of(double theta, int64 dims) {
  const int64 planes = dims / 2;
  std::vector<double> frequencies;
  for (int64 i = 0; i < planes; ++i)
    frequencies.push_back(std::pow(theta, -(static_cast<double>(i) / static_cast<double>(planes))));
  return frequencies;
}

void apply_yarn(const RopeShape& rope, std::vector<double>& frequencies) {
  const RopeScaling& s = rope.scaling;
  const auto context = static_cast<double>(s.original_context);
  double low = rope_plane_of(rope, s.beta_fast, context), high = rope_plane_of(rope, s.beta_slow, context);
  if (s.truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, static_cast<double>(rope.dims - 1));
  if (low == high) high += 0.001;
  for (size_t i = 0; i < frequencies.size(); ++i) {
    const double kept = 1 - std::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0);
    frequencies[i] = frequencies[i] / s.factor * (1 - kept) + frequencies[i] * kept;
  }
}

void apply_llama3(const RopeScaling& s, std::vector<double>& frequencies) {
  for (double& f : frequencies) {
    const double turns = static_cast<double>(s.original_context) * f / (2 * M_PI);
    const double kept = (turns - s.low_freq_factor) / (s.high_freq_factor - s.low_freq_factor);
    if (turns < s.low_freq_factor)
      f /= s.factor;
    else if (turns <= s.high_freq_factor)
      f = (1 - kept) * f / s.factor + kept * f;
  }
}

double base_at(const RopeShape& rope, int64 length) {
  const RopeScaling& s = rope.scaling;
  if (s.type != RopeType::dynamic || length <= s.original_context) return rope.theta;
  const double longer = static_cast<double>(length) / static_cast<double>(s.original_context);
  return changed_base(rope.theta, s.factor * longer - (s.factor - 1), rope.dims);
}

}  // namespace

std::string_view name_of(RopeType type) { return std::ranges::find(kTypes, type, &TypeName::type)->name; }

RopeShape rope_shape(const ModelConfig& config, int64 head_dim, double family_fraction) {
  const double fraction = config.rope_fraction < 0 ? family_fraction : config.rope_fraction;
  RopeShape rope;
  rope.scaling = scaling_of(config);
  rope.planes = static_cast<int64>(fraction * static_cast<double>(head_dim)) / 2;
  rope.dims = rope.scaling.type == RopeType::proportional ? head_dim / 2 * 2 : 2 * rope.planes;
  rope.theta = config.rope_type == "ntk" ? changed_base(config.rope_theta, config.rope_factor, rope.dims)
                                         : config.rope_theta;
  rope.interleaved = config.rope_interleaved;
  return rope;
}

RopeFrequencies rope_frequencies(const RopeShape& rope, int64 length) {
  const RopeScaling& s = rope.scaling;
  RopeFrequencies result{powers_of(base_at(rope, length), rope.dims), s.multiplier};
  std::vector<double>& f = result.radians;
  switch (s.type) {
    case RopeType::plain:
    case RopeType::dynamic:
      break;
    case RopeType::linear:
      for (double& x : f) x /= s.factor;
      break;
    case RopeType::yarn:
      apply_yarn(rope, f);
      break;
    case RopeType::longrope: {
      const std::vector<double>& by = length > s.original_context ? s.long_factors : s.short_factors;
      FOVEA_CHECK(by.size() == f.size(), "{} factors for {} planes", by.size(), f.size());
      for (size_t i = 0; i < f.size(); ++i) f[i] /= by[i];
      break;
    }
    case RopeType::llama3:
      apply_llama3(s, f);
      break;
    case RopeType::proportional:
      for (int64 i = 0; i < static_cast<int64>(f.size()); ++i)
        f[static_cast<size_t>(i)] = i < rope.planes ? f[static_cast<size_t>(i)] / s.factor : 0;
      break;
  }
  return result;
}

double rope_plane_of(const RopeShape& rope, double turns, double context) {
  // theta^(-2 i / d) context = 2 pi turns
  return static_cast<double>(rope.dims) * std::log(context / (turns * 2 * M_PI)) / (2 * std::log(rope.theta));
}

}  // namespace fovea
