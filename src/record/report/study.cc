#include "record/report/study.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "core/error.h"
#include "record/run_file.h"

namespace fovea::report {
namespace {

Run load_run(const std::filesystem::path& directory, const StudyRun& entry) {
  Run run{.entry = entry, .record = {}, .inspection = {}, .problem = {}};
  const std::filesystem::path path = directory / entry.directory / kRunFileName;
  if (!std::filesystem::exists(path)) {
    run.problem = entry.error.empty() ? fmt::format("{}, no results yet", name_of(entry.state)) : entry.error;
    run.waits = entry.state == RunState::waiting;
    return run;
  }
  try {
    run.record = read_run_file(path);
    const std::filesystem::path inspection = path.parent_path() / kInspectionFileName;
    if (std::filesystem::exists(inspection)) run.inspection = read_inspection(inspection);
  } catch (const UserError& e) {  // one damaged file must not hide the others
    run.problem = e.what();
    return run;
  }
  if (run.record->state != RunState::done) {
    run.problem = run.record->error.empty() ? std::string(name_of(run.record->state)) : run.record->error;
  } else if (run.record->evaluations.empty() || !std::isfinite(run.record->evaluations.back().loss)) {
    run.problem = "it has no finite evaluation";
  }
  return run;
}

/// Of plain runs only the configuration knows what they differ in. A key that one program had and the other
/// had not is no difference.
bool same_but_for_the_seed(const RunRecord& a, const RunRecord& b) {
  std::map<std::string, const AttributeValue*> of_b;
  for (const Attribute& attribute : b.attributes) of_b[attribute.path] = &attribute.value;
  return std::none_of(a.attributes.begin(), a.attributes.end(), [&](const Attribute& x) {
    const auto found = of_b.find(x.path);
    return !is_aside(x.path) && found != of_b.end() && *found->second != x.value;
  });
}

void add_to_group(Study& study, const Run& run) {
  const RunRecord& r = *run.record;
  const Lineage& l = r.lineage;
  const RunRole role = r.role == RunRole::converted ? RunRole::uptrained : r.role;
  Group* group = nullptr;
  for (Group& g : study.groups)
    if (g.role == role && g.kv_heads == l.kv_heads && g.conversion == l.conversion && g.alpha == l.alpha &&
        (role != RunRole::train || same_but_for_the_seed(*g.runs[0]->record, r)))
      group = &g;
  if (!group) {
    study.groups.push_back({role, l.kv_heads, l.conversion, l.alpha, {}, {}, {}, {}, {}});
    group = &study.groups.back();
  }
  group->runs.push_back(&run);
  group->loss.push_back(run.datum(final_evaluation(r).loss, "/final/loss"));
  group->kv_bytes.push_back(
      run.datum(static_cast<double>(r.counts.kv_bytes_per_token), "/counts/kv_bytes_per_token"));
  group->kv_heads_read.push_back(run.datum(static_cast<double>(l.kv_heads), "/lineage@kv_heads"));
  group->alpha_read.push_back(run.datum(l.alpha, "/lineage@alpha"));
  study.q_heads = std::max(study.q_heads, l.q_heads);
}

template <class T, class Get>
std::vector<T> distinct(const Study& study, Get get) {
  std::vector<T> values;
  for (const Group& g : study.groups)
    if (g.role == RunRole::uptrained && std::find(values.begin(), values.end(), get(g)) == values.end())
      values.push_back(get(g));
  return values;
}

}  // namespace

bool is_aside(std::string_view path) {
  return path == "train.seed" || path == "data.cache" || path.starts_with("study.") ||
         (path.starts_with("run.") && path != "run.backend");
}

std::string Run::h5(const char* path) const {
  return fmt::format("{}/{}:{}", entry.directory, kRunFileName, path);
}

std::string Run::inspected(const std::string& path) const {
  return fmt::format("{}/{}:{}", entry.directory, kInspectionFileName, path);
}

Study load_study(const std::filesystem::path& directory) {
  Study study;
  study.index = read_study_index(directory);
  for (const StudyRun& entry : study.index.runs) study.runs.push_back(load_run(directory, entry));
  for (const Run& run : study.runs)
    if (run.problem.empty()) add_to_group(study, run);
  return study;
}

Contrast loss_difference(const Group& a, const Group& b) {
  Sample of_a, of_b;
  for (size_t i = 0; i < a.runs.size(); ++i)
    for (size_t k = 0; k < b.runs.size(); ++k)
      if (a.runs[i]->record->seed == b.runs[k]->record->seed) {
        of_a.push_back(a.loss[i]);
        of_b.push_back(b.loss[k]);
      }
  return difference(std::move(of_a), std::move(of_b));
}

const Group* Study::find(RunRole role, int64 kv_heads, const std::string& conversion, double alpha) const {
  for (const Group& g : groups)
    if (g.role == role && g.kv_heads == kv_heads && g.conversion == conversion && g.alpha == alpha) return &g;
  return nullptr;
}

const Group* Study::baseline() const {
  for (const Group& g : groups)
    if (g.role == RunRole::baseline) return &g;
  return nullptr;
}

const Group* Study::mha_control(double alpha) const {
  if (alpha == 0) return baseline();
  for (const Group& g : groups)
    if (g.role == RunRole::control_mha && g.alpha == alpha) return &g;
  return nullptr;
}

const Group* Study::scratch_control(int64 kv_heads) const {
  const Group* found = nullptr;
  for (const Group& g : groups)
    if (g.role == RunRole::control_scratch && g.kv_heads == kv_heads && (!found || g.alpha > found->alpha))
      found = &g;
  return found;
}

std::vector<double> Study::alphas() const {
  auto values = distinct<double>(*this, [](const Group& g) { return g.alpha; });
  std::sort(values.begin(), values.end());
  return values;
}

std::vector<int64> Study::kv_heads() const {
  auto values = distinct<int64>(*this, [](const Group& g) { return g.kv_heads; });
  std::sort(values.rbegin(), values.rend());
  return values;
}

std::vector<std::string> Study::conversions() const {
  auto values = distinct<std::string>(*this, [](const Group& g) { return g.conversion; });
  const auto rank = [](const std::string& name) {
    return name == "mean" ? 0 : name == "first" ? 1 : name == "random" ? 2 : 3;
  };
  std::stable_sort(values.begin(), values.end(),
                   [&](const std::string& a, const std::string& b) { return rank(a) < rank(b); });
  return values;
}

}  // namespace fovea::report
