#include "config/explain.h"

#include <fmt/format.h>

#include <algorithm>

namespace fovea {
namespace {

struct Line {
  std::string mark, name, value, source;
};

std::string_view table_of(std::string_view path) { return path.substr(0, path.find('.')); }
std::string_view name_in_table(std::string_view path) { return path.substr(path.find('.') + 1); }

bool is_swept(const LoadedConfig& loaded, std::string_view path) {
  return std::ranges::any_of(loaded.axes, [&](const SweepAxis& axis) {
    return std::ranges::find(axis.paths, path) != axis.paths.end();
  });
}

Line line_of(const LoadedConfig& loaded, const ConfigKey& key) {
  static const Config defaults;
  const ConfigValue value = value_of(key, loaded.config);
  const std::string name{name_in_table(key.path)};
  if (is_swept(loaded, key.path)) return {"*", name, "swept", "see [sweep] below"};
  std::string text = toml_of(value);
  if (!key.unit.empty()) text += fmt::format(" {}", key.unit);
  return {value == value_of(key, defaults) ? " " : "*", name, text, source_of(loaded.sources, key.path)};
}

std::string sweep_text(const LoadedConfig& loaded) {
  std::string text;
  for (const SweepAxis& axis : loaded.axes) {
    text += text.empty() ? "\n[sweep]\n" : "";
    for (size_t k = 0; k < axis.paths.size(); ++k) {
      std::string values;
      for (const SweepAxis::Point& point : axis.points)
        values += (values.empty() ? "" : ", ") + toml_of(point.values[k]);
      text += fmt::format("* {} = {}  ({}{})\n", axis.paths[k], values, axis.points[0].sources[k],
                          k ? ", tied to " + axis.paths[0] : "");
    }
  }
  return text;
}

}  // namespace

std::string explain(const LoadedConfig& loaded) {
  std::vector<Line> lines;
  for (const ConfigKey& key : config_keys()) lines.push_back(line_of(loaded, key));
  size_t name_width = 0, value_width = 0;
  constexpr size_t kWidest = 32;  // a long value pushes its own line only
  for (const Line& line : lines) {
    name_width = std::max(name_width, line.name.size());
    if (line.value.size() <= kWidest) value_width = std::max(value_width, line.value.size());
  }
  const size_t count = expand(loaded).size();
  std::string text =
      fmt::format("{}: {} {} \"{}\" (* differs from the default)\n", loaded.path, count,
                  loaded.config.study.kind == "train" ? (count == 1 ? "run" : "runs") : "study",
                  loaded.config.study.name);
  std::string_view table;
  for (size_t i = 0; i < lines.size(); ++i) {
    const std::string_view path = config_keys()[i].path;
    if (table_of(path) != table) text += fmt::format("\n[{}]\n", table = table_of(path));
    text += fmt::format("{} {:<{}}  {:<{}}  {}\n", lines[i].mark, lines[i].name, name_width, lines[i].value,
                        value_width, lines[i].source);
  }
  return text + sweep_text(loaded);
}

}  // namespace fovea
