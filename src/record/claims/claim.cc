#include "record/claims/claim.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "core/error.h"

namespace fovea {
namespace {

std::optional<double> number(const AttributeValue& value) {
  if (const auto* whole = std::get_if<int64>(&value)) return static_cast<double>(*whole);
  if (const auto* real = std::get_if<double>(&value)) return *real;
  return std::nullopt;
}

/// What a run is in the words of kRunKeys, or its configuration's value. None: it has no such key.
std::optional<AttributeValue> property(const RunRecord& run, const std::string& key) {
  if (key == "role") return std::string(name_of(run.role));
  if (key == "conversion") return run.lineage.conversion;
  if (key == "alpha") return run.lineage.alpha;
  if (key == "kv_heads") return run.lineage.kv_heads;
  if (key == "q_heads") return run.lineage.q_heads;
  for (const Attribute& attribute : run.attributes)
    if (attribute.path == key) return attribute.value;
  return std::nullopt;
}

std::string text_of(const AttributeValue& value) {
  if (const auto* text = std::get_if<std::string>(&value)) return '"' + *text + '"';
  if (const auto* truth = std::get_if<bool>(&value)) return *truth ? "true" : "false";
  return fmt::format("{}", number(value).value_or(0));
}

bool same(const Condition& a, const Condition& b) { return a.key == b.key && a.value == b.value; }

bool holds(const Selector& runs, const Condition& condition) {
  return std::any_of(runs.begin(), runs.end(), [&](const Condition& c) { return same(c, condition); });
}

}  // namespace

const std::vector<Quantity>& quantities() {
  static const std::vector<Quantity> table = {
      {"loss", "/final/loss", "nat/token", 4, [](const RunRecord& r) { return final_evaluation(r).loss; }},
      {"bits_per_byte", "/final/bits_per_byte", "bit/byte", 4,
       [](const RunRecord& r) { return final_evaluation(r).bits_per_byte.value_or(NAN); }},
      {"parameters", "/counts/parameters", "", 0,
       [](const RunRecord& r) { return static_cast<double>(r.counts.parameters); }},
      {"flops_per_token", "/counts/flops_per_token", "FLOP/token", 0,
       [](const RunRecord& r) { return r.counts.flops_per_token; }},
      {"kv_bytes_per_token", "/counts/kv_bytes_per_token", "byte/token", 0,
       [](const RunRecord& r) { return static_cast<double>(r.counts.kv_bytes_per_token); }},
      {"peak_memory", "/memory/measured_peak", "byte", 0,
       [](const RunRecord& r) {
         const int64 bytes = r.memory.measured_peak_bytes;
         return bytes > 0 ? static_cast<double>(bytes) : NAN;
       }},
      {"seconds", "/timing/total", "s", 1, [](const RunRecord& r) { return r.seconds; }},
  };
  return table;
}

const Quantity* find_quantity(std::string_view name) {
  const auto found = std::find_if(quantities().begin(), quantities().end(),
                                  [&](const Quantity& quantity) { return quantity.name == name; });
  return found == quantities().end() ? nullptr : &*found;
}

bool meets(const RunRecord& run, const Condition& condition) {
  const std::optional<AttributeValue> value = property(run, condition.key);
  if (!value) return false;
  const auto wanted = number(condition.value), found = number(*value);
  return wanted && found ? *wanted == *found : condition.value == *value;
}

std::string_view symbol_of(Relation relation) {
  switch (relation) {
    case Relation::below:
      return "<";
    case Relation::at_most:
      return "<=";
    case Relation::above:
      return ">";
    case Relation::at_least:
      break;
  }
  return ">=";
}

std::string text_of(const Selector& runs) {
  std::string text;
  for (const Condition& condition : runs)
    text += fmt::format("{}{} = {}", text.empty() ? "" : ", ", condition.key, text_of(condition.value));
  return text;
}

std::string statistic_of(const Claim& claim) {
  Selector shared = claim.terms.at(0).runs;
  for (const Term& term : claim.terms)
    std::erase_if(shared, [&](const Condition& c) { return !holds(term.runs, c) || holds(claim.point, c); });
  if (claim.terms.size() == 1) shared.clear();
  const std::string_view unit = find_quantity(claim.quantity)->unit;
  std::string text = fmt::format("{}{}{}:", claim.quantity, unit.empty() ? "" : " in ", unit);
  for (const Term& term : claim.terms) {
    Selector own = term.runs;
    std::erase_if(own, [&](const Condition& c) { return holds(shared, c) || holds(claim.point, c); });
    const double size = std::abs(term.weight);
    const bool first = &term == claim.terms.data();
    text += term.weight < 0 ? " - " : first ? " " : " + ";
    if (size != 1) text += fmt::format("{} ", size);
    text += fmt::format("({})", own.empty() ? "each" : text_of(own));
  }
  if (!shared.empty()) text += ", " + text_of(shared);
  return text;
}

}  // namespace fovea
