#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "config/initial_model.h"
#include "config/load.h"
#include "core/error.h"

namespace fovea {
namespace {

constexpr size_t kMostVariants = 10000;

std::string_view last_word(std::string_view path) { return path.substr(path.rfind('.') + 1); }

// The last word says it, unless two swept keys share it.
std::string label(const LoadedConfig& loaded, const std::string& path) {
  int sharing = 0;
  for (const SweepAxis& axis : loaded.axes)
    for (const std::string& other : axis.paths) sharing += last_word(other) == last_word(path);
  return std::string(sharing > 1 ? std::string_view(path) : last_word(path));
}

// A name becomes a file's name: only characters that no system and no shell minds.
std::string label(const ConfigValue& value) {
  std::string text;
  for (const char c : toml_of(value)) {
    if (c == '"' || c == '[' || c == ']' || c == ' ') continue;
    const bool harmless = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                          c == '.' || c == '-' || c == '+' || c == '_';
    text += harmless ? c : c == ',' ? '+' : '_';
  }
  return text;
}

void append(std::string& name, const std::string& part) { name += (name.empty() ? "" : ",") + part; }

void apply(const LoadedConfig& loaded, const SweepAxis& axis, size_t i, RunVariant& variant) {
  const SweepAxis::Point& point = axis.points[i];
  for (size_t k = 0; k < axis.paths.size(); ++k) {
    const std::string& path = axis.paths[k];
    set_value(*find_config_key(path), variant.config, point.values[k]);
    variant.sources[path] = point.sources[k];
    append(variant.name, fmt::format("{}={}", label(loaded, path), label(point.values[k])));
  }
}

void check_size(const LoadedConfig& loaded) {
  size_t count = loaded.config.study.kind == "train" ? loaded.config.study.seeds.size() : 1;
  for (const SweepAxis& axis : loaded.axes) {
    count *= axis.points.size();
    if (count > kMostVariants)
      fail_usage("{}: the sweep makes more than {} runs: shorten its lists", axis.points[0].sources[0],
                 kMostVariants);
  }
}

// Values that differ only in characters that a file name leaves out.
void make_unique(std::vector<RunVariant>& variants) {
  std::set<std::string> taken;
  for (RunVariant& variant : variants) {
    const std::string stem = variant.name;
    for (int n = 2; !taken.insert(variant.name).second; ++n) variant.name = fmt::format("{}-{}", stem, n);
  }
}

}  // namespace

std::vector<RunVariant> expand(const LoadedConfig& loaded) {
  check_size(loaded);
  std::vector<RunVariant> variants = {{"", loaded.config, loaded.sources}};
  for (const SweepAxis& axis : loaded.axes) {
    std::vector<RunVariant> longer;
    for (const RunVariant& variant : variants)
      for (size_t i = 0; i < axis.points.size(); ++i) apply(loaded, axis, i, longer.emplace_back(variant));
    variants = std::move(longer);
  }
  if (loaded.config.study.kind == "train") {
    std::vector<RunVariant> longer;
    for (const RunVariant& variant : variants)
      for (const int64 seed : loaded.config.study.seeds) {
        RunVariant& one = longer.emplace_back(variant);
        one.config.train.seed = seed;
        const std::string source = source_of(loaded.sources, "study.seeds");
        if (source != "default") one.sources["train.seed"] = source;
        append(one.name, fmt::format("seed={}", seed));
      }
    variants = std::move(longer);
  }
  if (!loaded.axes.empty())
    for (RunVariant& variant : variants)
      adopt_initial_model(variant.config, variant.sources, loaded.read_initial);
  make_unique(variants);
  return variants;
}

}  // namespace fovea
