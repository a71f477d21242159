#include "record/report/judge.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "core/error.h"
#include "core/text.h"

namespace fovea::report {
namespace {

using RunOfSeed = std::map<int64, const Run*>;

bool is_done(const Run& run) { return run.record && run.problem.empty(); }

bool meets_all(const Run& run, const Selector& runs) {
  return std::all_of(runs.begin(), runs.end(), [&](const Condition& c) { return meets(*run.record, c); });
}

/// Why no run is what was asked for: the condition that none meets, if it is one alone.
std::string why_none(const Study& study, const Selector& runs) {
  for (const Condition& condition : runs) {
    const bool met = std::any_of(study.runs.begin(), study.runs.end(), [&](const Run& run) {
      return is_done(run) && meets(*run.record, condition);
    });
    if (!met) return fmt::format("no run that is done has {}", text_of(Selector{condition}));
  }
  return fmt::format("no run that is done has {}", text_of(runs));
}

/// The run that weights come from, by its identity; empty: the run's own draw.
std::string origin(const Run& run) {
  const RunRecord& r = *run.record;
  return r.role == RunRole::baseline ? r.identity : r.lineage.baseline;
}

/// A verdict's reason where there can be no verdict; else the runs of every term, seed by seed.
struct Paired {
  std::string problem;
  std::vector<RunOfSeed> terms;
  std::vector<int64> seeds;  // that all terms have
};

std::string gather(const Study& study, const Selector& runs, RunOfSeed& found) {
  for (const Run& run : study.runs) {
    if (!is_done(run) || !meets_all(run, runs)) continue;
    const auto [place, is_new] = found.emplace(run.record->seed, &run);
    if (!is_new)
      return fmt::format("{} and {} both have {}: the claim must say which is meant",
                         place->second->record->name, run.record->name, text_of(runs));
  }
  return found.empty() ? why_none(study, runs) : "";
}

/// Runs of one seed must come from one baseline, where they come from one at all.
std::string different_origins(const Paired& paired, int64 seed) {
  const Run* first = nullptr;
  for (const RunOfSeed& term : paired.terms) {
    const Run* run = term.at(seed);
    if (origin(*run).empty()) continue;
    if (first && origin(*first) != origin(*run))
      return fmt::format("{} and {} come from different baselines", first->record->name, run->record->name);
    first = run;
  }
  return {};
}

Paired pair_by_seed(const Study& study, const Claim& claim) {
  Paired paired;
  for (const Term& term : claim.terms) {
    paired.problem = gather(study, term.runs, paired.terms.emplace_back());
    if (!paired.problem.empty()) return paired;
  }
  for (const auto& of_seed : paired.terms[0]) {
    const int64 seed = of_seed.first;
    if (std::all_of(paired.terms.begin(), paired.terms.end(),
                    [&](const auto& t) { return t.contains(seed); }))
      paired.seeds.push_back(seed);
  }
  if (paired.seeds.empty()) paired.problem = "no seed has all the runs that are compared";
  for (const int64 seed : paired.seeds)
    if (paired.problem.empty()) paired.problem = different_origins(paired, seed);
  return paired;
}

Contrast contrast_of(const Claim& claim, const Paired& paired) {
  const Quantity& quantity = *find_quantity(claim.quantity);
  const std::string path(quantity.path);
  Contrast contrast;
  for (size_t k = 0; k < claim.terms.size(); ++k) {
    contrast.weights.push_back(claim.terms[k].weight);
    Sample& sample = contrast.samples.emplace_back();
    for (const int64 seed : paired.seeds) {
      const Run& run = *paired.terms[k].at(seed);
      sample.push_back(run.datum(quantity.of(*run.record), path.c_str()));
    }
  }
  return contrast;
}

std::string what_is_missing(const Claim& claim, const Paired& paired) {
  const Quantity& quantity = *find_quantity(claim.quantity);
  for (const RunOfSeed& term : paired.terms)
    for (const int64 seed : paired.seeds)
      if (const RunRecord& record = *term.at(seed)->record; !std::isfinite(quantity.of(record)))
        return fmt::format("{} has no {}", record.name, claim.quantity);
  return {};
}

/// Whether a value is where the claim has it.
bool is_claimed(Relation relation, double value, double threshold) {
  switch (relation) {
    case Relation::below:
      return value < threshold;
    case Relation::at_most:
      return value <= threshold;
    case Relation::above:
      return value > threshold;
    case Relation::at_least:
      break;
  }
  return value >= threshold;
}

Verdict verdict_on(const Claim& claim, const Contrast& contrast) {
  if (contrast.size() < 2) return Verdict::underpowered;
  const bool low = is_claimed(claim.relation, derive(Part::low, contrast), claim.threshold);
  const bool high = is_claimed(claim.relation, derive(Part::high, contrast), claim.threshold);
  if (low != high) return Verdict::underpowered;
  return low ? Verdict::holds : Verdict::fails;
}

Judgement judge_one(const Study& study, const Claim& claim) {
  Judgement judgement{claim, Verdict::untestable, claim.untestable, {}};
  if (!claim.untestable.empty()) return judgement;
  if (claim.study != study.index.kind && claim.study != study.index.name) {
    judgement.reason =
        fmt::format("it reads the study {}, and this one is {}", claim.study, study.index.name);
    return judgement;
  }
  const Paired paired = pair_by_seed(study, claim);
  judgement.reason = paired.problem;
  if (!paired.problem.empty()) return judgement;
  judgement.contrast = contrast_of(claim, paired);
  judgement.reason = what_is_missing(claim, paired);
  if (judgement.reason.empty()) judgement.verdict = verdict_on(claim, judgement.contrast);
  return judgement;
}

}  // namespace

std::string_view name_of(Verdict verdict) {
  switch (verdict) {
    case Verdict::holds:
      return "holds";
    case Verdict::fails:
      return "fails";
    case Verdict::underpowered:
      return "underpowered";
    case Verdict::untestable:
      break;
  }
  return "not testable";
}

std::vector<Judgement> judge(const Study& study, const std::vector<Claim>& claims) {
  std::vector<Judgement> judgements;
  for (const Claim& claim : claims) judgements.push_back(judge_one(study, claim));
  return judgements;
}

std::vector<Claim> parse_all(const std::vector<ClaimFile>& files) {
  std::vector<Claim> all;
  std::map<std::string, std::string> where_named;
  for (const ClaimFile& file : files) {
    std::vector<Claim> claims = parse_claims(file);
    for (const Claim& claim : claims) {
      const auto [place, is_new] = where_named.emplace(claim.name, claim.where);
      if (!is_new && place->second != claim.where)
        throw UserError(ExitCode::usage,
                        on_one_line(fmt::format("{}: the claim \"{}\" has its name from {}: rename one",
                                                claim.where, claim.name, place->second)));
    }
    std::move(claims.begin(), claims.end(), std::back_inserter(all));
  }
  return all;
}

}  // namespace fovea::report
