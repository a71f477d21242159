#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "record/report/diagnostics.h"
#include "record/report/study.h"

namespace fovea::report {
namespace {

constexpr int kLossDecimals = 3;

std::string heads(const Group& g) { return "G = " + cite(How::mean, {g.kv_heads_read}, 0); }
std::string alpha(const Group& g) { return "α = " + cite(How::mean, {g.alpha_read}, 2); }
std::string loss(const Group& g) { return cite(How::mean, {g.loss}, kLossDecimals); }

/// 50, 12.5: a decimal only where there is one.
std::string percent(const Sample& part, const Sample& whole) {
  const double value = derive(How::percent, {part, whole});
  return cite(How::percent, {part, whole}, std::abs(value - std::round(value)) < 0.05 ? 0 : 1);
}

std::string manner(const std::string& conversion) {
  if (conversion == "mean") return "mean pooling";
  if (conversion == "first") return "keeping the first head";
  if (conversion == "random") return "drawing new heads";
  if (conversion == "mean_scaled") return "scaled mean pooling";
  if (conversion == "aligned") return "pooling aligned heads";
  if (conversion == "aligned_unscaled") return "pooling aligned heads without scaling";
  if (conversion == "aligned_activations") return "pooling heads aligned by activations";
  if (const size_t end = conversion.find(" similar"); end != conversion.npos)
    return manner(conversion.substr(0, end)) + " in searched groups";
  return conversion;
}

std::string capital(std::string text) {
  if (!text.empty() && text[0] >= 'a' && text[0] <= 'z') text[0] = static_cast<char>(text[0] - 'a' + 'A');
  return text;
}

/// What seeds say about a difference; the end of a sentence.
std::string trust(const Group& a, const Group& b) {
  if (a.loss.size() < 2 || b.loss.size() < 2) return " (from one seed)";
  return differ(a.loss, b.loss) ? " (beyond seed noise)" : " (within seed noise)";
}

const Group* lowest(const Study& study, int64 kv_heads, double at) {
  const Group* found = nullptr;
  for (const std::string& conversion : study.conversions())
    if (const Group* g = study.find(RunRole::uptrained, kv_heads, conversion, at))
      if (!found || mean(g->loss) < mean(found->loss)) found = g;
  return found;
}

/// The lowest mean; the paper's way, mean pooling, where seeds do not tell them apart.
const Group* best(const Study& study, int64 kv_heads, double at) {
  const Group* found = lowest(study, kv_heads, at);
  const Group* pooled = study.find(RunRole::uptrained, kv_heads, "mean", at);
  if (pooled && pooled->loss.size() > 1 && !differ(pooled->loss, found->loss)) return pooled;
  return found;
}

std::string against_scratch(const Group& up, const Group& control) {
  const bool better = mean(up.loss) <= mean(control.loss);
  return fmt::format(" The same model trained from scratch ends {} {} it{}.",
                     better ? cite(How::difference, {control.loss, up.loss}, kLossDecimals)
                            : cite(How::difference, {up.loss, control.loss}, kLossDecimals),
                     better ? "above" : "below", trust(up, control));
}

/// How far one number of KV heads came back towards MHA, and at which cost.
void recovery(const Study& study, int64 kv_heads, std::vector<std::string>& out) {
  const std::vector<double> alphas = study.alphas();
  const Group* after = best(study, kv_heads, alphas.back());
  if (!after) return;
  const Group* mha = study.mha_control(after->alpha);
  const bool same_tokens = mha != nullptr;
  if (!mha) mha = study.baseline();
  if (!mha) return;
  std::string text = fmt::format("<strong>{}</strong>, {}, reaches {} nat/token after {}", heads(*after),
                                 manner(after->conversion), loss(*after), alpha(*after));
  text += fmt::format(", with {} % of the KV cache of MHA.", percent(after->kv_bytes, mha->kv_bytes));
  const Group* before = study.find(RunRole::uptrained, kv_heads, after->conversion, 0);
  if (before && before != after && mean(before->loss) > mean(mha->loss))
    text += fmt::format(" This recovers {} % of the gap that conversion opened (from {}).",
                        cite(How::recovery, {before->loss, after->loss, mha->loss}, 0), loss(*before));
  const bool worse = mean(after->loss) >= mean(mha->loss);
  text +=
      fmt::format(" MHA {} is at {}: {} by {}{}.", same_tokens ? "trained for the same tokens" : "as it was",
                  loss(*mha), worse ? "better" : "worse",
                  worse ? cite(How::difference, {after->loss, mha->loss}, kLossDecimals)
                        : cite(How::difference, {mha->loss, after->loss}, kLossDecimals),
                  trust(*after, *mha));
  if (const Group* control = study.scratch_control(kv_heads)) text += against_scratch(*after, *control);
  out.push_back(std::move(text));
}

/// Which initialisation is best at the smallest alpha that trains at all, where they differ most.
void initialisations(const Study& study, std::vector<std::string>& out) {
  std::vector<double> alphas = study.alphas();
  std::erase(alphas, 0.0);
  if (alphas.empty() || study.conversions().size() < 2) return;
  for (const int64 kv_heads : study.kv_heads()) {
    const Group* first = lowest(study, kv_heads, alphas.front());
    const Group* second = nullptr;
    for (const std::string& conversion : study.conversions()) {
      const Group* g = study.find(RunRole::uptrained, kv_heads, conversion, alphas.front());
      if (g && g != first && (!second || mean(g->loss) < mean(second->loss))) second = g;
    }
    if (!first || !second) continue;
    out.push_back(fmt::format(
        "At {} and {}, {} does best ({}); {} follows {} behind{}.", heads(*first), alpha(*first),
        manner(first->conversion), loss(*first), manner(second->conversion),
        cite(How::difference, {second->loss, first->loss}, kLossDecimals), trust(*first, *second)));
  }
}

void best_of_plain(const Study& study, std::vector<std::string>& out) {
  const Group* found = nullptr;
  for (const Group& g : study.groups)
    if (g.role == RunRole::train && (!found || mean(g.loss) < mean(found->loss))) found = &g;
  if (!found) return;
  const Run& run = *found->runs[0];
  std::string text = fmt::format("The lowest held-out loss is {} nat/token", loss(*found));
  if (found->loss.size() > 1) text += fmt::format(" ± {}", cite(How::interval, {found->loss}, kLossDecimals));
  text += fmt::format(", by {}.", cite_text(run.record->name, run.h5("/@name")));
  out.push_back(std::move(text));
}

void memory(const Study& study, std::vector<std::string>& out) {
  Sample measured, predicted;
  for (const Run& run : study.runs) {
    if (!run.record || run.record->memory.measured_peak_bytes <= 0 || run.record->memory.predicted_bytes <= 0)
      continue;
    measured.push_back(
        run.datum(static_cast<double>(run.record->memory.measured_peak_bytes), "/memory/measured_peak"));
    predicted.push_back(
        run.datum(static_cast<double>(run.record->memory.predicted_bytes), "/memory/predicted"));
  }
  if (measured.empty()) return;
  out.push_back(fmt::format("The measured peak of memory is {} to {} times the prediction, over {} runs.",
                            cite(How::min_ratio, {measured, predicted}, 2),
                            cite(How::max_ratio, {measured, predicted}, 2), cite(How::count, {measured}, 0)));
}

}  // namespace

std::vector<std::string> findings(const Study& study) {
  std::vector<std::string> out;
  if (!study.alphas().empty()) {
    for (const int64 kv_heads : study.kv_heads())
      if (kv_heads < study.q_heads) recovery(study, kv_heads, out);
    initialisations(study, out);
  }
  best_of_plain(study, out);
  score_findings(study, out);
  memory(study, out);
  for (std::string& text : out) text = capital(std::move(text));
  return out;
}

}  // namespace fovea::report
