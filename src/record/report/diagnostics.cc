#include "record/report/diagnostics.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/error.h"

namespace fovea::report {
namespace {

const AttributeValue* value_of(const Run& run, const std::string& path) {
  for (const Attribute& attribute : run.record->attributes)
    if (attribute.path == path) return &attribute.value;
  return nullptr;
}

/// The keys in which these groups' runs differ.
std::vector<std::string> differing_keys(const std::vector<Inspected>& groups) {
  std::vector<std::string> keys;
  for (const Attribute& attribute : groups.front().runs.front()->record->attributes) {
    const bool differs = std::any_of(groups.begin(), groups.end(), [&](const Inspected& g) {
      const AttributeValue* value = value_of(*g.runs.front(), attribute.path);
      return value && *value != attribute.value;
    });
    if (differs && !is_aside(attribute.path)) keys.push_back(attribute.path);
  }
  return keys;
}

struct Words {
  std::string plain, cited;
};

/// "attention_scale = 0.125"; nothing for a list, which has no short form.
Words words_of(const Run& run, const std::string& key) {
  const AttributeValue& value = *value_of(run, key);
  const std::string name = key.substr(key.find('.') + 1), place = run.h5(("/resolved@" + key).c_str());
  std::string text;
  std::string cited;
  if (const auto* word = std::get_if<std::string>(&value)) {
    text = *word;
    cited = cite_text(*word, place);
  } else if (std::holds_alternative<int64>(value) || std::holds_alternative<double>(value)) {
    const double number = std::holds_alternative<int64>(value) ? static_cast<double>(std::get<int64>(value))
                                                               : std::get<double>(value);
    text = fmt::format("{:.6g}", number);
    const size_t point = text.find('.');
    cited = text.find('e') == std::string::npos
                ? cite({number, place},
                       point == std::string::npos ? 0 : static_cast<int>(text.size() - point - 1))
                : cite({number, place}, 9);
  } else {
    return {};
  }
  return {name + " = " + text, escape_html(name) + " = " + cited};
}

void name_groups(const Study& study, std::vector<Inspected>& groups) {
  const std::vector<std::string> keys = differing_keys(groups);
  for (Inspected& g : groups) {
    const Run& run = *g.runs.front();
    if (study.is_gqa()) {
      g.name = g.group->role == RunRole::uptrained ? g.group->conversion
                                                   : plot::label_of(g.group->role, g.group->conversion);
      if (g.group->kv_heads > 0 && g.group->role != RunRole::baseline)
        g.name += fmt::format(", G = {}, α = {:g}", g.group->kv_heads, g.group->alpha);
    } else {
      for (const std::string& key : keys) {
        const Words words = words_of(run, key);
        if (words.plain.empty()) continue;
        g.name += (g.name.empty() ? "" : ", ") + words.plain;
        g.cited += (g.cited.empty() ? "" : ", ") + words.cited;
      }
    }
    if (g.cited.empty()) g.cited = cite_text(run.record->name, run.h5("/@name"));
    if (g.name.empty()) g.name = plot::label_of(g.group->role, g.group->conversion);
  }
}

/// Of a GQA study the baseline and what was uptrained longest to the fewest KV heads, the lowest loss first.
std::vector<Inspected> to_show_heads_of(const Study& study, const std::vector<Inspected>& groups) {
  if (!study.is_gqa()) return groups;
  std::vector<Inspected> baselines, uptrained;
  int64 fewest = study.q_heads;
  double longest = 0;
  for (const Inspected& of : groups)
    if (of.group->role == RunRole::uptrained && of.group->kv_heads > 0) {
      fewest = std::min(fewest, of.group->kv_heads);
      longest = std::max(longest, of.group->alpha);
    }
  for (const Inspected& of : groups) {
    if (of.group->role == RunRole::baseline) baselines.push_back(of);
    if (of.group->role == RunRole::uptrained && of.group->kv_heads == fewest && of.group->alpha == longest)
      uptrained.push_back(of);
  }
  std::stable_sort(uptrained.begin(), uptrained.end(), [](const Inspected& a, const Inspected& b) {
    return mean(a.group->loss) < mean(b.group->loss);
  });
  baselines.insert(baselines.end(), uptrained.begin(), uptrained.end());
  return baselines.empty() ? groups : baselines;
}

template <class Record>
std::string column_name(std::span<const StatisticColumn<Record>> columns,
                        std::vector<double> Record::*member) {
  const auto found = std::find_if(columns.begin(), columns.end(),
                                  [&](const auto& column) { return column.values == member; });
  FOVEA_CHECK(found != columns.end(), "a statistic that no file holds");
  return found->name;
}

const ModelStatistics* statistics_of(const Inspection& i, bool initial) {
  if (!initial) return &i.trained;
  return i.initial ? &*i.initial : nullptr;
}

}  // namespace

std::vector<Inspected> inspected_groups(const Study& study) {
  std::vector<Inspected> groups;
  for (const Group& group : study.groups) {
    Inspected inspected{&group, {}, {}, {}};
    for (const Run* run : group.runs)
      if (run->inspection) inspected.runs.push_back(run);
    if (!inspected.runs.empty()) groups.push_back(std::move(inspected));
  }
  if (!groups.empty()) name_groups(study, groups);
  return groups;
}

Statistic head_statistic(std::vector<double> HeadStatistics::*member, bool initial) {
  return {(initial ? "/initial/attention/" : "/attention/") + column_name(head_columns(), member),
          [member, initial](const Inspection& i) {
            const ModelStatistics* s = statistics_of(i, initial);
            return s ? &(s->heads.*member) : nullptr;
          }};
}

Statistic gradient_statistic(std::vector<double> GradientNorms::*member, bool initial) {
  return {(initial ? "/initial/gradients/" : "/gradients/") + column_name(gradient_columns(), member),
          [member, initial](const Inspection& i) {
            const ModelStatistics* s = statistics_of(i, initial);
            return s ? &(s->gradients.*member) : nullptr;
          }};
}

Statistic cosine_statistic(std::vector<double> GroupCosines::*member) {
  return {"/cosine/" + column_name(cosine_columns(), member),
          [member](const Inspection& i) { return i.cosines.groups > 0 ? &(i.cosines.*member) : nullptr; }};
}

Datum datum_of(const Run& run, const Statistic& statistic, int64 layer, int64 column) {
  const std::vector<double>* values = statistic.values(*run.inspection);
  if (!values) return {std::numeric_limits<double>::quiet_NaN(), ""};
  const int64 layers = run.inspection->layers, columns = static_cast<int64>(values->size()) / layers;
  const std::string index = columns == 1 && statistic.path.find("gradients") != std::string::npos
                                ? fmt::format("[{}]", layer)
                                : fmt::format("[{},{}]", layer, column);
  return {(*values)[static_cast<size_t>(layer * columns + column)], run.inspected(statistic.path + index)};
}

Sample layer_sample(const Inspected& of, const Statistic& statistic, int64 layer) {
  Sample sample;
  for (const Run* run : of.runs) {
    const std::vector<double>* values = statistic.values(*run->inspection);
    if (!values || layer >= run->inspection->layers) continue;
    const int64 columns = static_cast<int64>(values->size()) / run->inspection->layers;
    for (int64 column = 0; column < columns; ++column)
      if (Datum datum = datum_of(*run, statistic, layer, column); std::isfinite(datum.value))
        sample.push_back(std::move(datum));
  }
  return sample;
}

Sample whole_sample(const Inspected& of, const Statistic& statistic) {
  Sample whole;
  for (int64 layer = 0; layer < of.first().layers; ++layer)
    for (Datum& datum : layer_sample(of, statistic, layer)) whole.push_back(std::move(datum));
  return whole;
}

std::string index_cell(const Run& run, const char* scale, int64 index) {
  return "<td class=n>" +
         cite({static_cast<double>(index), run.inspected(fmt::format("/{}[{}]", scale, index))}, 0) + "</td>";
}

std::vector<Shown> diagnostic_figures(const Study& study) {
  const std::vector<Inspected> groups = inspected_groups(study);
  if (groups.empty()) return {};
  std::vector<Shown> shown;
  if (!study.is_gqa()) shown.push_back(scores_figure(groups));
  shown.push_back(heads_figure(to_show_heads_of(study, groups)));
  for (const Inspected& of : groups)
    if (of.first().cosines.groups > 0) {
      shown.push_back(cosines_figure(of));
      break;
    }
  return shown;
}

void score_findings(const Study& study, std::vector<std::string>& out) {
  if (study.is_gqa()) return;
  const std::vector<Inspected> groups = inspected_groups(study);
  if (groups.size() < 2) return;
  for (const Inspected& of : groups) {
    const auto state = [&](bool initial) {
      const auto heads = [&](auto member) { return whole_sample(of, head_statistic(member, initial)); };
      return fmt::format(
          "{} % of the rows are saturated, the softmax has a slope of {}, and the gradient by queries and "
          "keys "
          "a norm of {} per layer",
          cite(How::mean, {heads(&HeadStatistics::saturated)}, 1, 0.01),
          cite(How::mean, {heads(&HeadStatistics::softmax_slope)}, 2),
          cite(How::mean, {whole_sample(of, gradient_statistic(&GradientNorms::query_key, initial))}, 3));
    };
    std::string text = "<strong>" + of.cited + "</strong>: ";
    if (of.first().initial) text += "as drawn, " + state(true) + "; ";
    out.push_back(text + "after training, " + state(false) + ".");
  }
}

}  // namespace fovea::report
