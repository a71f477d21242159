#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "record/inspection.h"
#include "record/report/cited.h"
#include "record/run_record.h"
#include "record/study_index.h"

namespace fovea::report {

struct Run {
  StudyRun entry;
  std::optional<RunRecord> record;  ///< absent: `problem` says why
  std::optional<Inspection> inspection;
  std::string problem;  ///< why it is in no figure; empty: it is in them
  bool waits = false;   ///< because its turn has not come

  std::string h5(const char* path) const;                ///< "run/run.h5:/final/loss"
  std::string inspected(const std::string& path) const;  ///< "run/inspect.h5:/attention/entropy[2,1]"
  Datum datum(double value, const char* path) const { return {value, h5(path)}; }
};

/// Whether a key of the configuration may differ between runs of one group: the seed, and what is no part of
/// a run's identity.
bool is_aside(std::string_view path);

/// Runs that differ by their seed alone.
struct Group {
  RunRole role = RunRole::train;  ///< converted counts as uptrained with alpha = 0
  int64 kv_heads = 0;
  std::string conversion;
  double alpha = 0;
  std::vector<const Run*> runs;
  Sample loss, kv_bytes, kv_heads_read, alpha_read;
};

struct Study {
  StudyIndex index;
  std::vector<Run> runs;
  std::vector<Group> groups;  ///< of the runs without a problem
  int64 q_heads = 0;

  bool is_gqa() const { return index.kind == "gqa"; }
  const Group* find(RunRole role, int64 kv_heads, const std::string& conversion, double alpha) const;
  const Group* baseline() const;
  /// MHA trained for the same extra tokens; the baseline itself at alpha = 0. Null: not there.
  const Group* mha_control(double alpha) const;
  /// GQA from scratch, at the largest alpha that there is. Null: not there.
  const Group* scratch_control(int64 kv_heads) const;
  std::vector<double> alphas() const;            ///< of uptrained groups, ascending
  std::vector<int64> kv_heads() const;           ///< of uptrained groups, descending
  std::vector<std::string> conversions() const;  ///< of uptrained groups: mean, first, random first
};

Study load_study(const std::filesystem::path& directory);

/// The loss of a less that of b, over the seeds that both have.
Contrast loss_difference(const Group& a, const Group& b);

/// Findings computed from the numbers, each one sentence or two of HTML.
std::vector<std::string> findings(const Study& study);

}  // namespace fovea::report
