#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "experiments/inspect.h"

namespace fovea {
namespace {

struct TableColumn {
  const char* heading;
  std::vector<double> HeadStatistics::*values;
  int decimals;
};
constexpr TableColumn kColumns[] = {
    {"entropy", &HeadStatistics::entropy, 3},           {"of most", &HeadStatistics::relative_entropy, 3},
    {"previous", &HeadStatistics::previous_token, 3},   {"first", &HeadStatistics::first_token, 3},
    {"induction", &HeadStatistics::induction, 3},       {"score", &HeadStatistics::score_mean, 2},
    {"deviation", &HeadStatistics::score_deviation, 2}, {"largest", &HeadStatistics::score_largest, 2},
    {"saturated", &HeadStatistics::saturated, 3},       {"slope", &HeadStatistics::softmax_slope, 3}};

std::string cell(const char* heading, double value, int decimals) {
  return fmt::format("  {:>{}.{}f}", value, std::max<size_t>(7, std::string_view(heading).size()), decimals);
}
std::string heading_cell(const char* heading) { return fmt::format("  {:>7}", heading); }

std::string head_table(const Inspection& i) {
  std::string text = "layer  head";
  for (const TableColumn& column : kColumns) text += heading_cell(column.heading);
  text += "\n";
  for (int64 layer = 0; layer < i.layers; ++layer)
    for (int64 head = 0; head < i.q_heads; ++head) {
      text += fmt::format("{:>5}  {:>4}", layer, head);
      for (const TableColumn& column : kColumns)
        text += cell(column.heading,
                     (i.trained.heads.*column.values)[static_cast<size_t>(layer * i.q_heads + head)],
                     column.decimals);
      text += "\n";
    }
  return text;
}

double mean_of(const std::vector<double>& values, int64 layer, int64 columns) {
  double sum = 0;
  int64 n = 0;
  for (int64 k = layer * columns; k < (layer + 1) * columns; ++k)
    if (const double value = values[static_cast<size_t>(k)]; !std::isnan(value)) {
      sum += value;
      ++n;
    }
  return n > 0 ? sum / static_cast<double>(n) : NAN;
}

/// A line per layer: saturation and gradients of one set of weights.
std::string layer_table(const char* of, const Inspection& i, const ModelStatistics& s) {
  std::string text = fmt::format(
      "\n{}: loss {:.4f} nat/token\nlayer  deviation  saturated    slope  gradient: q, k   v, out      MLP\n",
      of, s.loss);
  for (int64 layer = 0; layer < i.layers; ++layer) {
    const auto at = static_cast<size_t>(layer);
    text += fmt::format("{:>5}  {:>9.2f}  {:>9.3f}  {:>7.3f}  {:>14.2e}  {:.2e}  {:.2e}\n", layer,
                        mean_of(s.heads.score_deviation, layer, i.q_heads),
                        mean_of(s.heads.saturated, layer, i.q_heads),
                        mean_of(s.heads.softmax_slope, layer, i.q_heads), s.gradients.query_key[at],
                        s.gradients.value_out[at], s.gradients.mlp[at]);
  }
  return text;
}

std::string cosine_table(const Inspection& i) {
  const GroupCosines& c = i.cosines;
  std::string text = fmt::format(
      "\ncosine between the KV heads of groups of {}\nlayer      key  aligned    value  aligned\n", c.heads);
  for (int64 layer = 0; layer < i.layers; ++layer) {
    text += fmt::format("{:>5}", layer);
    for (const auto& column : cosine_columns()) {
      const double value = mean_of(c.*column.values, layer, c.groups);
      text += std::isnan(value) ? fmt::format("  {:>7}", "-") : fmt::format("  {:>7.3f}", value);
    }
    text += "\n";
  }
  return text;
}

// 8, or by layer 8/4/4.
std::string by_layer(const std::vector<int64>& values) {
  if (std::adjacent_find(values.begin(), values.end(), std::not_equal_to<>()) == values.end())
    return std::to_string(values.front());
  std::string text;
  for (const int64 value : values) text += fmt::format("{}{}", text.empty() ? "" : "/", value);
  return text;
}

}  // namespace

std::string describe(const Inspection& i) {
  std::string text = fmt::format(
      "{}: {} layers of {} query and {} KV heads of {}, scores times {:.4g}\n{} sequences of {} tokens ({})",
      i.model, i.layers, i.q_heads, by_layer(i.kv_heads), i.head_dim, i.attention_scale, i.sequences,
      i.length, i.text);
  text += i.repeated > 0 ? fmt::format("; induction over {} tokens laid down twice\n\n", i.repeated)
                         : std::string("; too short for induction\n\n");
  text += head_table(i);
  text += layer_table("mean over heads", i, i.trained);
  if (i.initial) text += layer_table("as it was drawn", i, *i.initial);
  if (i.cosines.heads > 0) text += cosine_table(i);
  return text;
}

}  // namespace fovea
