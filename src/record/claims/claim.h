#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "record/run_record.h"

namespace fovea {

/// A file of published claims (docs/claims.md), as it was read and as it is kept with a study.
struct ClaimFile {
  std::string name, text;
};

/// What a run must be: `conversion` = "mean", `model.hidden` = 512.
struct Condition {
  std::string key;
  AttributeValue value;  ///< a text, an integer, a number or a truth value
  std::string where;     ///< file:line:column
};
/// The runs that meet every condition; at most one per seed is meant.
using Selector = std::vector<Condition>;

/// What a condition may ask of a run beside its configuration's keys, which have a full stop in their names.
inline constexpr std::string_view kRunKeys[] = {"role", "conversion", "alpha", "kv_heads", "q_heads"};

struct Term {
  double weight = 1;
  Selector runs;
};

enum class Relation { below, at_most, above, at_least };

/// A sentence somebody published, and the number of a study by which it stands or falls: the weighted sum of
/// a quantity over runs of one seed, held against a threshold.
struct Claim {
  std::string name, source, says;
  std::string study;       ///< kind or name of the study that it reads
  std::string untestable;  ///< why it cannot be tested here; then nothing below is set
  Selector point;          ///< which one of `each`; empty: it has none
  std::string quantity;    ///< one of quantity_names()
  std::vector<Term> terms;
  Relation relation = Relation::below;
  double threshold = 0;  ///< in the quantity's unit
  std::string where;     ///< file:line:column
};

/// The claims of a file in order, one for each point of `each`. Throws UserError (usage), one line with
/// file:line:column.
std::vector<Claim> parse_claims(const ClaimFile& file);

/// A number that a run's file has.
struct Quantity {
  std::string_view name, path, unit;
  int decimals = 0;
  double (*of)(const RunRecord&);  ///< NaN: the run does not have it
};
const std::vector<Quantity>& quantities();
/// Null: there is none of this name.
const Quantity* find_quantity(std::string_view name);

/// Whether a run meets a condition; numbers are compared as numbers.
bool meets(const RunRecord& run, const Condition& condition);

std::string_view symbol_of(Relation relation);
/// `conversion = "mean", alpha = 0.05`.
std::string text_of(const Selector& runs);
/// What is computed, on one line: `loss in nat/token: (conversion = "mean") - (conversion = "random"), alpha
/// = 0.05`. The claim's point is left out: "each" stands for a term that is nothing else.
std::string statistic_of(const Claim& claim);

}  // namespace fovea
