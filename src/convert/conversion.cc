#include "convert/conversion.h"

#include "core/error.h"

namespace fovea {
namespace {

struct NamedMethod {
  std::string_view name;
  ConversionMethod method;
  bool groups;  // what is made of a group depends on all its heads
};
constexpr NamedMethod kMethods[] = {{"mean", ConversionMethod::mean, true},
                                    {"mean_scaled", ConversionMethod::mean_scaled, true},
                                    {"first", ConversionMethod::first, false},
                                    {"random", ConversionMethod::random, false},
                                    {"aligned", ConversionMethod::aligned, true},
                                    {"aligned_unscaled", ConversionMethod::aligned_unscaled, true},
                                    {"aligned_activations", ConversionMethod::aligned_activations, true}};
constexpr std::string_view kSimilar = " similar";

}  // namespace

bool Conversion::aligns() const {
  return method == ConversionMethod::aligned || method == ConversionMethod::aligned_unscaled ||
         method == ConversionMethod::aligned_activations;
}

bool Conversion::scales() const {
  return method == ConversionMethod::mean_scaled || method == ConversionMethod::aligned ||
         method == ConversionMethod::aligned_activations;
}

std::string name_of(const Conversion& conversion) {
  for (const NamedMethod& named : kMethods)
    if (named.method == conversion.method)
      return std::string(named.name) + std::string(conversion.searches() ? kSimilar : "");
  FOVEA_CHECK(false, "conversion {}", static_cast<int>(conversion.method));
  return {};
}

Conversion conversion_named(std::string_view word) {
  const bool similar = word.ends_with(kSimilar);
  const std::string_view method = similar ? word.substr(0, word.size() - kSimilar.size()) : word;
  for (const NamedMethod& named : kMethods)
    if (named.name == method && (named.groups || !similar))
      return {named.method, similar ? HeadGrouping::similar : HeadGrouping::adjacent};
  fail_usage(
      "unknown conversion of KV heads \"{}\": choose mean, mean_scaled, first, random, aligned, "
      "aligned_unscaled or aligned_activations, all but first and random also with \" similar\"",
      word);
}

}  // namespace fovea
