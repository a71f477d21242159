#include "config/load.h"

#include <fmt/format.h>
#include <toml++/toml.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <memory>
#include <optional>
#include <utility>

#include "config/initial_model.h"
#include "config/suggest.h"
#include "config/validate.h"
#include "core/error.h"
#include "core/file.h"
#include "core/text.h"

namespace fovea {
namespace {

namespace fs = std::filesystem;

// A file or an override: what is read later stands over what was read before.
struct Layer {
  std::string name;  // the file's path, or "command line: key=value"
  bool command_line = false;
  int rank = 0;
  fs::path folder;  // what its paths are relative to; empty: the working directory

  std::string beside(const std::string& path) const { return (folder / path).lexically_normal().string(); }
  std::string where(const toml::source_region& region) const {
    if (command_line) return name;
    return fmt::format("{}:{}:{}", name, region.begin.line, region.begin.column);
  }
};

std::string described(const toml::node& node) {
  constexpr size_t kLongest = 60;
  std::string text;
  if (const auto* string = node.as_string())
    text = toml_of(string->get());
  else if (const auto* array = node.as_array()) {
    for (const toml::node& element : *array) {
      if (text.size() > kLongest) break;
      text += (text.empty() ? "" : ", ") + described(element);
    }
    text = '[' + text + ']';
  } else if (node.is_table())
    text = "a table";
  else
    node.visit([&](const auto& value) {
      if constexpr (toml::is_number<decltype(value)> || toml::is_boolean<decltype(value)>)
        text = toml_of(value.get());
      else
        text = "a date or time";
    });
  if (text.size() > kLongest) text = text.substr(0, kLongest) + "...";
  return text;
}

template <class T>
struct Reader {
  static std::optional<T> read(const toml::node& node) { return node.value_exact<T>(); }
};
template <>
struct Reader<double> {
  static std::optional<double> read(const toml::node& node) {
    return node.is_number() ? node.value<double>() : std::nullopt;
  }
};
template <>
struct Reader<int64> {
  static std::optional<int64> read(const toml::node& node) {
    if (const auto whole = node.value_exact<int64>()) return whole;
    // 2e6 is the way to write a number of tokens.
    const auto x = node.value_exact<double>();
    if (!x || !(std::abs(*x) <= 0x1p53) || *x != std::trunc(*x)) return std::nullopt;
    return static_cast<int64>(*x);
  }
};
template <class E>
struct Reader<std::vector<E>> {
  static std::optional<std::vector<E>> read(const toml::node& node) {
    std::vector<E> list;
    const toml::array* array = node.as_array();
    if (!array) return std::nullopt;
    for (const toml::node& item : *array) {
      auto element = Reader<E>::read(item);
      if (!element) return std::nullopt;
      list.push_back(std::move(*element));
    }
    return list;
  }
};

// The node as a value of the key's type; the bounds are not looked at.
std::optional<ConfigValue> read_as(const ConfigKey& key, const toml::node& node) {
  Config config;
  return std::visit(
      [&](auto* member) -> std::optional<ConfigValue> {
        auto value = Reader<std::remove_reference_t<decltype(*member)>>::read(node);
        if (!value) return std::nullopt;
        return ConfigValue(std::move(*value));
      },
      key.slot(config));
}

bool is_string_key(const ConfigKey& key) {
  Config config;
  return std::holds_alternative<std::string*>(key.slot(config));
}

ConfigValue decode(const ConfigKey& key, const toml::node& node, const Layer& layer) {
  std::optional<ConfigValue> value = read_as(key, node);
  if (!value && layer.command_line && !node.is_array()) {
    toml::array lone;
    node.visit([&](const auto& element) { lone.push_back(element); });
    value = read_as(key, lone);
  }
  if (!value || !acceptable(key, *value))
    fail_usage("{}: {} is {}: must be {} ({})", layer.where(node.source()), key.path, described(node),
               expectation(key), key.description);
  if (key.path == "data.tokenizer") {
    auto& name = std::get<std::string>(*value);
    if (name != "bytes") {
      name = layer.beside(name);
      if (name == "bytes") name = "./bytes";  // a file that is called so
    }
  }
  return *value;
}

bool is_table_of_keys(std::string_view path) {
  return path == "sweep" || std::ranges::any_of(config_keys(), [&](const ConfigKey& key) {
           return key.path.starts_with(path) && key.path.substr(path.size()).starts_with('.');
         });
}

const ConfigKey& known_key(const std::string& path, const std::string& where) {
  if (const ConfigKey* key = find_config_key(path)) return *key;
  if (is_table_of_keys(path))
    fail_usage("{}: {} is a table: give its keys one by one, as {}.KEY", where, path, path);
  const std::string nearest = nearest_config_key(path);
  if (nearest.empty()) fail_usage("{}: unknown key {}: docs/config.md lists them all", where, path);
  fail_usage("{}: unknown key {}: did you mean {}?", where, path, nearest);
}

// An axis and where it stands, for their order.
struct PlacedAxis {
  SweepAxis axis;
  int rank = 0;
  toml::source_position position;
};

class Loader {
 public:
  void read(const std::string& name, const std::string& cited_at);
  /// Paths in it are relative to the folder.
  void read_text(const std::string& name, std::string_view text, const fs::path& folder);
  void override_with(const std::string& text);
  LoadedConfig finish(const std::string& path);

 private:
  struct Found {
    std::string path, where;  // of the key
    const toml::node& node;
  };
  Layer next_layer(const std::string& name, bool command_line, const fs::path& folder);
  void read_bases(const toml::table& table, const Layer& file);
  void walk(const std::string& prefix, const toml::table& table, const Layer& layer);
  void enter(const Found& found, const Layer& layer);
  void set(const Found& found, const Layer& layer);
  void sweep(const Found& found, const Layer& layer);
  void zip(const Found& found, const Layer& layer);
  void add_column(PlacedAxis& placed, const Found& found, const Layer& layer);
  void take_over(const Found& found, const Layer& layer);
  void settle_seeds();

  LoadedConfig out_;
  std::vector<PlacedAxis> axes_;
  std::map<std::string, int, std::less<>> set_in_;    // rank of the layer that set a key plainly
  std::map<std::string, int, std::less<>> swept_in_;  // and of the one that sweeps it
  std::vector<fs::path> open_;                        // the files being read, outermost first
  int layers_ = 0;
};

Layer Loader::next_layer(const std::string& name, bool command_line, const fs::path& folder) {
  constexpr int kMost = 1000;  // bases of bases can multiply
  if (layers_ >= kMost) fail_usage("{}: more than {} files and overrides in one configuration", name, kMost);
  return {name, command_line, layers_++, folder};
}

void Loader::read(const std::string& name, const std::string& cited_at) {
  const fs::path identity = fs::absolute(name).lexically_normal();
  if (std::ranges::find(open_, identity) != open_.end())
    fail_usage("{}: base {} leads back to itself: remove one of the base lines", cited_at, name);
  std::string text;
  try {
    text = read_file(name);
  } catch (const UserError& error) {
    if (cited_at.empty()) throw;
    throw UserError(error.code(), fmt::format("{}: base: {}", cited_at, error.what()));
  }
  open_.push_back(identity);
  read_text(name, text, fs::path(name).parent_path());
  open_.pop_back();
}

void Loader::read_text(const std::string& name, std::string_view text, const fs::path& folder) {
  toml::table table;
  try {
    table = toml::parse(text, std::string_view(name));
  } catch (const toml::parse_error& error) {
    fail_usage("{}:{}:{}: {}", name, error.source().begin.line, error.source().begin.column,
               error.description());
  }
  read_bases(table, {.name = name, .folder = folder});
  out_.raw_text +=
      fmt::format("# ---- {}\n{}{}", name, text, text.ends_with('\n') || text.empty() ? "" : "\n");
  table.erase("base");
  walk("", table, next_layer(name, false, folder));
}

void Loader::read_bases(const toml::table& table, const Layer& file) {
  const toml::node* base = table.get("base");
  if (!base) return;
  std::optional<std::vector<std::string>> names = Reader<std::vector<std::string>>::read(*base);
  if (const auto one = base->value_exact<std::string>()) names = {*one};
  if (!names)
    fail_usage("{}: base is {}: must be a list of files, as base = [\"other.toml\"]",
               file.where(base->source()), described(*base));
  for (const std::string& name : *names) read(file.beside(name), file.where(base->source()));
}

void Loader::override_with(const std::string& text) {
  const size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0)
    fail_usage("command line: \"{}\" is no override: write key.path=value", text);
  const std::string path = text.substr(0, equals), value = text.substr(equals + 1);
  const Layer layer = next_layer("command line: " + text, true, {});
  toml::table table;
  try {
    table = toml::parse(fmt::format("x = {}", value));
  } catch (const toml::parse_error&) {
    table.clear();
  }
  const ConfigKey* key = find_config_key(path);
  const toml::node* parsed = table.get("x");
  // A corpus may be called 2024, and a bare word is no TOML: then the text itself is the value.
  if (!parsed || table.size() != 1 || (key && is_string_key(*key) && !parsed->is_string()))
    table = toml::table{{"x", value}};
  const toml::node& node = *table.get("x");
  out_.raw_text += fmt::format("# ---- {}\n", layer.name);
  if (const toml::table* inner = node.as_table(); inner && !inner->empty())
    walk(path, *inner, layer);
  else
    enter({path, layer.name, node}, layer);
}

void Loader::walk(const std::string& prefix, const toml::table& table, const Layer& layer) {
  for (auto&& [name, node] : table) {
    const std::string path =
        prefix.empty() ? std::string(name.str()) : fmt::format("{}.{}", prefix, name.str());
    const toml::table* inner = node.as_table();
    if (inner && !inner->empty())
      walk(path, *inner, layer);
    else if (!inner || !is_table_of_keys(path))
      enter({path, layer.where(name.source()), node}, layer);
  }
}

void Loader::enter(const Found& found, const Layer& layer) {
  constexpr std::string_view kSweep = "sweep.";
  if (found.path == "sweep.zip")
    zip(found, layer);
  else if (found.path.starts_with(kSweep))
    sweep({found.path.substr(kSweep.size()), found.where, found.node}, layer);
  else
    set(found, layer);
}

// Of what sets a key, plainly or in a sweep, the last layer wins; one layer must not do both.
void Loader::take_over(const Found& found, const Layer& layer) {
  for (const auto* seen : {&set_in_, &swept_in_})
    if (const auto other = seen->find(found.path); other != seen->end() && other->second == layer.rank)
      fail_usage("{}: {} is given twice, by itself or in a sweep: keep one of them", found.where, found.path);
  if (!swept_in_.erase(found.path)) return;
  for (PlacedAxis& placed : axes_) {
    SweepAxis& axis = placed.axis;
    const auto column = std::ranges::find(axis.paths, found.path) - axis.paths.begin();
    if (static_cast<size_t>(column) == axis.paths.size()) continue;
    axis.paths.erase(axis.paths.begin() + column);
    for (SweepAxis::Point& point : axis.points) {
      point.values.erase(point.values.begin() + column);
      point.sources.erase(point.sources.begin() + column);
    }
  }
  std::erase_if(axes_, [](const PlacedAxis& placed) { return placed.axis.paths.empty(); });
}

void Loader::set(const Found& found, const Layer& layer) {
  const ConfigKey& key = known_key(found.path, found.where);
  take_over(found, layer);
  set_value(key, out_.config, decode(key, found.node, layer));
  out_.sources[found.path] = layer.where(found.node.source());
  set_in_[found.path] = layer.rank;
  if (found.path != "study.claims") return;
  out_.claim_files.clear();
  for (const std::string& file : out_.config.study.claims) out_.claim_files.push_back(layer.beside(file));
}

// One more key of an axis: its list becomes a column of the points.
void Loader::add_column(PlacedAxis& placed, const Found& found, const Layer& layer) {
  const ConfigKey& key = known_key(found.path, found.where);
  if (key.path == "train.seed" || key.path.starts_with("study."))
    fail_usage("{}: {} cannot be swept: seeds are an axis of their own, study.seeds = [0, 1]", found.where,
               found.path);
  const toml::array* list = found.node.as_array();
  if (!list || list->empty())
    fail_usage("{}: sweep of {} is {}: must be a list of the values to try", layer.where(found.node.source()),
               found.path, described(found.node));
  SweepAxis& axis = placed.axis;
  if (!axis.paths.empty() && list->size() != axis.points.size())
    fail_usage(
        "{}: {} lists {} values and {} lists {}: keys in one [[sweep.zip]] need lists of the same length",
        layer.where(found.node.source()), found.path, list->size(), axis.paths[0], axis.points.size());
  take_over(found, layer);
  swept_in_[found.path] = layer.rank;
  axis.paths.push_back(found.path);
  axis.points.resize(list->size());
  for (size_t i = 0; i < list->size(); ++i) {
    const toml::node& node = (*list)[i];
    axis.points[i].values.push_back(decode(key, node, layer));
    axis.points[i].sources.push_back(layer.where(node.source()));
  }
}

void refuse_repeated_points(const SweepAxis& axis) {
  for (size_t i = 0; i < axis.points.size(); ++i)
    for (size_t j = 0; j < i; ++j)
      if (axis.points[i].values == axis.points[j].values)
        fail_usage("{}: the sweep of {} lists {} twice: remove one", axis.points[i].sources[0], axis.paths[0],
                   toml_of(axis.points[i].values[0]));
}

void Loader::sweep(const Found& found, const Layer& layer) {
  if (found.path.starts_with("zip."))
    fail_usage("{}: sweep.zip is a list of tables: write [[sweep.zip]] above its keys", found.where);
  PlacedAxis placed{{}, layer.rank, found.node.source().begin};
  add_column(placed, found, layer);
  refuse_repeated_points(placed.axis);
  axes_.push_back(std::move(placed));
}

void Loader::zip(const Found& found, const Layer& layer) {
  const toml::array* tables = found.node.as_array();
  if (!tables || !tables->is_homogeneous(toml::node_type::table))
    fail_usage("{}: sweep.zip is {}: write [[sweep.zip]] above the keys that change together", found.where,
               described(found.node));
  for (const toml::node& table : *tables) {
    PlacedAxis placed{{}, layer.rank, table.source().begin};
    const auto add = [&](const auto& self, const std::string& prefix, const toml::table& keys) -> void {
      for (auto&& [name, node] : keys) {
        const std::string path =
            prefix.empty() ? std::string(name.str()) : fmt::format("{}.{}", prefix, name.str());
        if (const toml::table* inner = node.as_table(); inner && !inner->empty())
          self(self, path, *inner);
        else
          add_column(placed, {path, layer.where(name.source()), node}, layer);
      }
    };
    add(add, "", *table.as_table());
    if (placed.axis.paths.empty())
      fail_usage("{}: a [[sweep.zip]] without keys: list the keys that change together",
                 layer.where(table.source()));
    refuse_repeated_points(placed.axis);
    axes_.push_back(std::move(placed));
  }
}

void Loader::settle_seeds() {
  const auto one = set_in_.find("train.seed"), many = set_in_.find("study.seeds");
  if (one == set_in_.end()) return;
  if (many != set_in_.end() && many->second >= one->second) return;
  out_.config.study.seeds = {out_.config.train.seed};
  out_.sources["study.seeds"] = out_.sources["train.seed"];
}

LoadedConfig Loader::finish(const std::string& path) {
  settle_seeds();
  if (out_.config.study.name.empty()) {
    out_.config.study.name = fs::path(path).stem().string();
    out_.sources["study.name"] = "name of the file";
  }
  std::ranges::stable_sort(axes_, [](const PlacedAxis& a, const PlacedAxis& b) {
    return a.rank != b.rank ? a.rank < b.rank : a.position < b.position;
  });
  for (PlacedAxis& placed : axes_) out_.axes.push_back(std::move(placed.axis));
  out_.path = path;
  return std::move(out_);
}

}  // namespace

LoadedConfig load_config(const std::string& path, std::span<const std::string> overrides,
                         ReadInitialModel read_initial) {
  try {
    Loader loader;
    loader.read(path, "");
    for (const std::string& text : overrides) loader.override_with(text);
    LoadedConfig loaded = loader.finish(path);
    loaded.read_initial = std::move(read_initial);
    adopt_initial_model(loaded.config, loaded.sources, loaded.read_initial);
    for (const RunVariant& variant : expand(loaded)) validate(variant.config, variant.sources);
    return loaded;
  } catch (const UserError& error) {
    throw UserError(error.code(), on_one_line(error.what()));
  }
}

Config config_from_text(std::string_view text, const std::string& name) {
  try {
    Loader loader;
    loader.read_text(name, text, {});  // a record of values, paths among them as they were resolved
    LoadedConfig loaded = loader.finish(name);
    validate(loaded.config, loaded.sources);
    return loaded.config;
  } catch (const UserError& error) {
    throw UserError(ExitCode::input, on_one_line(error.what()));
  }
}

}  // namespace fovea
