#include "config/initial_model.h"

#include <fmt/format.h>

#include "core/error.h"

namespace fovea {
namespace {

constexpr std::string_view kSource = "init.from";

// What a recipe decides, whatever the weights were trained with.
bool is_recipe(std::string_view path) { return path == "model.dropout" || path == "model.init_std"; }

std::optional<InitialModel> read_initial(const Config& config, const Sources& sources,
                                         const ReadInitialModel& read) {
  try {
    return read(config.init.from);
  } catch (const UserError& error) {
    throw UserError(error.code(),
                    fmt::format("{}: init.from: {}", source_of(sources, "init.from"), error.what()));
  }
}

}  // namespace

void adopt_initial_model(Config& config, Sources& sources, const ReadInitialModel& read) {
  if (!read || config.init.from.empty()) return;
  const std::optional<InitialModel> initial = read_initial(config, sources, read);
  if (!initial) return;
  Config theirs;
  theirs.model = initial->model;
  theirs.data.tokenizer = initial->tokenizer;
  const auto is_set = [&](std::string_view path) {
    const auto found = sources.find(path);
    return found != sources.end() && found->second != kSource;
  };
  for (const ConfigKey& key : config_keys()) {
    const bool asked = key.path.starts_with("model.")
                           ? !is_recipe(key.path)
                           : key.path == "data.tokenizer" && !initial->tokenizer.empty();
    // One number for all layers stands over a list of them.
    const bool overruled = key.path == "model.kv_heads_per_layer" && is_set("model.kv_heads");
    if (!asked || overruled || is_set(key.path)) continue;
    set_value(key, config, value_of(key, theirs));
    sources[std::string(key.path)] = kSource;
  }
}

}  // namespace fovea
