#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "config/schema.h"

namespace fovea {

/// One axis of a sweep: keys that change together. A [sweep] list has one key, a [[sweep.zip]] several.
struct SweepAxis {
  struct Point {
    std::vector<ConfigValue> values;  ///< one per path
    std::vector<std::string> sources;
  };
  std::vector<std::string> paths;
  std::vector<Point> points;
};

/// What init.from names: a model that exists, whose shape the configuration need not repeat.
struct InitialModel {
  ModelConfig model;
  std::string tokenizer;  ///< of its text, as data.tokenizer names it; empty: nobody knows
};
/// Reads what is at the path that init.from gives; nothing where that does not say what model it is. Throws
/// UserError (input).
using ReadInitialModel = std::function<std::optional<InitialModel>(const std::string& path)>;

struct LoadedConfig {
  std::string path;
  Config config;  ///< without the sweep
  Sources sources;
  std::vector<SweepAxis> axes;
  std::vector<std::string> claim_files;  ///< study.claims, each relative to the file that names it
  ReadInitialModel read_initial;
  std::string
      raw_text;  ///< the bases, the file and the overrides, verbatim, each below a comment that names it
};

/// Reads a TOML file, the bases it names (`base = ["a.toml"]`, relative to the file that names them; what is
/// read later stands over what was read before) and the overrides ("train.lr=1e-3": a TOML value, else a bare
/// string; a single value stands for a list of one). Every point of the sweep has been checked
/// by validate() when it returns.
///
/// Where init.from is set and `read_initial` given, the keys of [model] and data.tokenizer that nothing sets
/// are those of the model there ("init.from" is then their source), but for what a recipe decides (dropout,
/// init_std).
///
/// Of what sets a key (a plain value, [sweep], [[sweep.zip]]) the last file or override wins. A train.seed
/// set later than study.seeds, or without it, stands for study.seeds = [train.seed].
///
/// Throws UserError, one line: a file that cannot be read (input); malformed TOML, unknown keys, values of
/// the wrong type or out of range, contradictions, cycles of bases (usage), with file:line:column.
LoadedConfig load_config(const std::string& path, std::span<const std::string> overrides = {},
                         ReadInitialModel read_initial = {});

/// The configuration that a file of another kind carries as text (toml_text()); `name` says which, for
/// messages. Throws UserError (input).
Config config_from_text(std::string_view text, const std::string& name);

struct RunVariant {
  std::string name;  ///< what varies: "lr=0.001,seed=1", fit for a file name; empty when nothing does
  Config config;
  Sources sources;
};

/// One per point of the sweep (the first axis outermost) and, for study.kind "train", per seed of
/// study.seeds, which becomes train.seed. The seeds of other studies are left to the study.
std::vector<RunVariant> expand(const LoadedConfig& loaded);

}  // namespace fovea
