#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "record/claims/claim.h"
#include "record/report/study.h"

namespace fovea::report {

enum class Verdict {
  holds,         ///< the whole 95 % interval is where the claim has it
  fails,         ///< the whole interval is where the claim excludes it
  underpowered,  ///< the interval has both, or there is one seed only
  untestable,    ///< the claim says so, or the study lacks its runs
};
std::string_view name_of(Verdict);

struct Judgement {
  Claim claim;
  Verdict verdict = Verdict::untestable;
  std::string reason;  ///< why it is untestable, one line; else empty
  Contrast contrast;   ///< one sample per term, over the seeds that have a run for each of them
};

/// What the study's results say of claims, from its run files alone. Runs are paired by seed, those made from
/// a baseline with those of the same baseline.
std::vector<Judgement> judge(const Study& study, const std::vector<Claim>& claims);

/// The claims of several files, in order. Throws UserError as parse_claims() does, and where two files name a
/// claim alike.
std::vector<Claim> parse_all(const std::vector<ClaimFile>& files);

/// The page's section; what is quoted from a claim stands in elements with data-claim="NAME/FIELD".
std::string claims_section(const std::vector<Judgement>& judgements);
/// The same as a table in Markdown, to be quoted elsewhere.
std::string claims_markdown(const std::vector<Judgement>& judgements);

}  // namespace fovea::report
