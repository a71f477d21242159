#pragma once

#include <limits>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "config/config.h"

namespace fovea {

/// The value of one key, of the type that its member in config.h has.
using ConfigValue = std::variant<std::string, int64, double, bool, std::vector<std::string>,
                                 std::vector<int64>, std::vector<double>>;
/// Where that member stands in one Config; the alternatives as in ConfigValue.
using ConfigSlot = std::variant<std::string*, int64*, double*, bool*, std::vector<std::string>*,
                                std::vector<int64>*, std::vector<double>*>;

/// The numbers that a key takes, for each element if it is a list.
struct Bounds {
  double least = -std::numeric_limits<double>::infinity(), most = std::numeric_limits<double>::infinity();
  bool above_least = false, below_most = false;  ///< the end itself is excluded
  std::optional<double> or_else;                 ///< one value outside that has a meaning of its own
};

/// One row of the schema table.
struct ConfigKey {
  std::string_view path;         ///< "model.q_heads"
  ConfigSlot (*slot)(Config&);   ///< the member that it sets
  std::string_view description;  ///< one line, no full stop
  std::string_view unit;         ///< empty: a pure number or no number at all
  Bounds bounds;
  std::vector<std::string_view> words;  ///< the words that it takes; " K" at the end stands for a count >= 1
  bool identity = true;                 ///< a run with another value is another run
  bool may_be_empty = true;             ///< a list without elements, or a string without letters
  bool silent_default = false;          ///< came after runs were identified: at its default it is not named
};

/// Every key there is, in the order of config.h: parsing, defaults, ranges, explain, docs/config.md, the
/// values in HDF5 and a run's identity all come from this table.
const std::vector<ConfigKey>& config_keys();
/// The row of a path; nullptr when there is none.
const ConfigKey* find_config_key(std::string_view path);

ConfigValue value_of(const ConfigKey& key, const Config& config);
/// The value has the key's type.
void set_value(const ConfigKey& key, Config& config, const ConfigValue& value);
/// The value in TOML; numbers in their shortest form that reads back the same.
std::string toml_of(const ConfigValue& value);

/// What the key takes: "an integer >= 1", "one of \"none\", \"block\", \"every K\"".
std::string expectation(const ConfigKey& key);
/// Whether a value of the key's type is within its bounds and words.
bool acceptable(const ConfigKey& key, const ConfigValue& value);

/// Where the value of a path was set: "file:line:column", "command line: key=value"; a path that is not there
/// has its default.
using Sources = std::map<std::string, std::string, std::less<>>;
/// The path's source, or "default".
std::string source_of(const Sources& sources, std::string_view path);

struct ResolvedValue {
  std::string path;
  ConfigValue value;
  std::string unit;
  std::string source;
};
/// Every effective value, in the order of the table: what an HDF5 file records.
std::vector<ResolvedValue> resolved_values(const Config& config, const Sources& sources);

/// The keys that belong to a run's identity, one "path = value" a line, defaults included: the text to hash.
/// Studies (study.*, gqa.*), where things lie and how they are run (data.cache, run.*, checkpoint_every,
/// keep_checkpoints) are left out: a run is the same run whichever study asks for it. So is a key with
/// silent_default at its default, which must mean what every run did before there was the key: a new key does
/// not make all earlier runs other runs.
std::string canonical(const Config& config);
/// The whole configuration as TOML that load_config() reads back to the same values.
std::string toml_text(const Config& config);
/// docs/config.md.
std::string config_reference_markdown();

}  // namespace fovea
