#include <fmt/format.h>

#include <type_traits>

#include "config/schema.h"

namespace fovea {
namespace {

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\')
      out += {'\\', c};
    else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
      out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    else
      out += c;
  }
  return out + '"';
}

std::string plain(const std::string& x) { return quoted(x); }
std::string plain(int64 x) { return fmt::format("{}", x); }
std::string plain(bool x) { return x ? "true" : "false"; }
// -0 and 0 are one value.
std::string plain(double x) { return fmt::format("{}", x == 0 ? 0.0 : x); }

template <class Element>
std::string plain(const std::vector<Element>& list) {
  std::string out = "[";
  for (size_t i = 0; i < list.size(); ++i) out += (i ? ", " : "") + plain(list[i]);
  return out + ']';
}

std::string_view table_of(std::string_view path) { return path.substr(0, path.find('.')); }
std::string_view name_in_table(std::string_view path) { return path.substr(path.find('.') + 1); }

std::string_view about(std::string_view table) {
  if (table == "study") return "What is run, and how often.";
  if (table == "model")
    return "The decoder. `family` chooses a published shape, the other keys its sizes and details.";
  if (table == "data") return "The text, and what of it is held out.";
  if (table == "train") return "The recipe of one run.";
  if (table == "init") return "Where the weights come from.";
  if (table == "run") return "How it is computed; no part of a run's identity.";
  return "The study of grouped-query attention: kv_heads x inits x alphas x seeds, with two controls.";
}

constexpr std::string_view kReferenceHead = R"(# Configuration reference

Generated from the schema table in `src/config/schema_keys.cc`; a test keeps the two equal.

A configuration is a TOML file. `fovea explain FILE` prints every effective value and where it came from.

- `base = ["other.toml"]` at the top reads other files first, relative to this one; what is read later wins.
- `key.path=value` on the command line stands over every file: a TOML value, or else a bare string.
- `[sweep]` lists values of keys (`"train.lr" = [1e-3, 2e-3]`, or nested tables); several lists multiply.
- `[[sweep.zip]]` lists keys that change together; its lists have the same length.
- `study.seeds` is one more axis: every point is run once per seed.

Keys marked with a dagger are no part of a run's identity: changing them does not make it another run.
)";

}  // namespace

std::string toml_of(const ConfigValue& value) {
  return std::visit([](const auto& x) { return plain(x); }, value);
}

std::string source_of(const Sources& sources, std::string_view path) {
  const auto found = sources.find(path);
  return found == sources.end() ? "default" : found->second;
}

std::vector<ResolvedValue> resolved_values(const Config& config, const Sources& sources) {
  std::vector<ResolvedValue> values;
  for (const ConfigKey& key : config_keys())
    values.push_back(
        {std::string(key.path), value_of(key, config), std::string(key.unit), source_of(sources, key.path)});
  return values;
}

std::string canonical(const Config& config) {
  const Config defaults;
  std::string text;
  for (const ConfigKey& key : config_keys()) {
    const ConfigValue value = value_of(key, config);
    if (key.identity && !(key.silent_default && value == value_of(key, defaults)))
      text += fmt::format("{} = {}\n", key.path, toml_of(value));
  }
  return text;
}

std::string toml_text(const Config& config) {
  std::string text, table;
  for (const ConfigKey& key : config_keys()) {
    if (table_of(key.path) != table) {
      text += fmt::format("{}[{}]\n", table.empty() ? "" : "\n", table_of(key.path));
      table = table_of(key.path);
    }
    text += fmt::format("{} = {}\n", name_in_table(key.path), toml_of(value_of(key, config)));
  }
  return text;
}

std::string config_reference_markdown() {
  const Config defaults;
  std::string text{kReferenceHead}, table;
  for (const ConfigKey& key : config_keys()) {
    if (table_of(key.path) != table) {
      table = table_of(key.path);
      text += fmt::format(
          "\n## [{}]\n\n{}\n\n| key | meaning | takes | default | unit |\n|---|---|---|---|---|\n", table,
          about(table));
    }
    text +=
        fmt::format("| `{}`{} | {} | {} | `{}` | {} |\n", name_in_table(key.path), key.identity ? "" : " †",
                    key.description, expectation(key), toml_of(value_of(key, defaults)), key.unit);
  }
  return text;
}

}  // namespace fovea
