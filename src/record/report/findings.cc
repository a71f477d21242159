#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "record/report/diagnostics.h"
#include "record/report/frontier.h"
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

enum class Order { below, above, not_told_apart };

/// How the loss of a stands to that of b, paired by seed: told apart where the 95 % interval of the
/// difference has one sign. Curves that overlap are not ranked.
Order order(const Group& a, const Group& b) {
  const Contrast difference = loss_difference(a, b);
  if (derive(Part::high, difference) < 0) return Order::below;
  if (derive(Part::low, difference) > 0) return Order::above;
  return Order::not_told_apart;  // also where an end is NaN: one seed
}

/// The size of a difference that seeds tell: "0.107 ± 0.012".
std::string gap(const Group& upper, const Group& lower) {
  const Contrast difference = loss_difference(upper, lower);
  return cite(Part::mean, difference, kLossDecimals) + " ± " +
         cite(Part::half_width, difference, kLossDecimals);
}

/// The end of a sentence about two that are not ranked.
std::string undecided(const Group& a, const Group& b) {
  return loss_difference(a, b).size() < 2 ? "one seed does not tell them apart"
                                          : "the seeds do not tell them apart";
}

/// By their mean, the lowest first; that is not yet a ranking.
std::vector<const Group*> by_mean(std::vector<const Group*> groups) {
  std::stable_sort(groups.begin(), groups.end(),
                   [](const Group* a, const Group* b) { return mean(a->loss) < mean(b->loss); });
  return groups;
}

std::vector<const Group*> uptrained(const Study& study, int64 kv_heads, double at) {
  std::vector<const Group*> groups;
  for (const std::string& conversion : study.conversions())
    if (const Group* g = study.find(RunRole::uptrained, kv_heads, conversion, at)) groups.push_back(g);
  return by_mean(std::move(groups));
}

/// The lowest mean; the paper's way, mean pooling, where seeds do not tell them apart.
const Group* best(const Study& study, int64 kv_heads, double at) {
  const std::vector<const Group*> groups = uptrained(study, kv_heads, at);
  if (groups.empty()) return nullptr;
  const Group* pooled = study.find(RunRole::uptrained, kv_heads, "mean", at);
  return pooled && order(*groups[0], *pooled) == Order::not_told_apart ? pooled : groups[0];
}

std::string against_scratch(const Group& up, const Group& control) {
  switch (order(up, control)) {
    case Order::below:
      return " The same model trained from scratch ends " + gap(control, up) + " above it.";
    case Order::above:
      return " The same model trained from scratch ends " + gap(up, control) + " below it.";
    case Order::not_told_apart:
      break;
  }
  return " The same model trained from scratch ends at " + loss(control) + "; " + undecided(up, control) +
         ".";
}

std::string against_mha(const Group& up, const Group& mha, bool same_tokens) {
  const std::string is_at =
      fmt::format(" MHA {} is at {}", same_tokens ? "trained for the same tokens" : "as it was", loss(mha));
  switch (order(up, mha)) {
    case Order::below:
      return is_at + ": worse by " + gap(mha, up) + ".";
    case Order::above:
      return is_at + ": better by " + gap(up, mha) + ".";
    case Order::not_told_apart:
      break;
  }
  return is_at + "; " + undecided(up, mha) + ".";
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
  if (before && before != after) {
    if (order(*before, *mha) == Order::above)
      text += fmt::format(" This recovers {} % of the gap that conversion opened (from {}).",
                          cite(How::recovery, {before->loss, after->loss, mha->loss}, 0), loss(*before));
    else
      text += " Before any uptraining it is at " + loss(*before) + ".";
  }
  text += against_mha(*after, *mha, same_tokens);
  if (const Group* control = study.scratch_control(kv_heads)) text += against_scratch(*after, *control);
  out.push_back(std::move(text));
}

/// The first of `groups`, in the order of their means, that the lowest is not told from; null: it is the
/// best.
const Group* rival(const std::vector<const Group*>& groups) {
  for (const Group* g : groups)
    if (g != groups[0] && order(*groups[0], *g) != Order::below) return g;
  return nullptr;
}

/// Which initialisation is best at the smallest alpha that trains at all, where they differ most.
void initialisations(const Study& study, std::vector<std::string>& out) {
  std::vector<double> alphas = study.alphas();
  std::erase(alphas, 0.0);
  if (alphas.empty()) return;
  for (const int64 kv_heads : study.kv_heads()) {
    const std::vector<const Group*> groups = uptrained(study, kv_heads, alphas.front());
    if (groups.size() < 2) continue;
    const Group& first = *groups[0];
    const std::string at =
        fmt::format("At {} and {}, {}", heads(first), alpha(first), manner(first.conversion));
    if (const Group* other = rival(groups))
      out.push_back(fmt::format("{} ({}) and {} ({}) are not ranked: {}.", at, loss(first),
                                manner(other->conversion), loss(*other), undecided(first, *other)));
    else
      out.push_back(fmt::format("{} does best ({}); {} follows {} behind.", at, loss(first),
                                manner(groups[1]->conversion), gap(*groups[1], first)));
  }
}

/// A plain group by the name of its first run.
std::string example(const Group& g) { return cite_text(g.runs[0]->record->name, g.runs[0]->h5("/@name")); }

void best_of_plain(const Study& study, std::vector<std::string>& out) {
  std::vector<const Group*> groups;
  for (const Group& g : study.groups)
    if (g.role == RunRole::train) groups.push_back(&g);
  if (groups.empty()) return;
  groups = by_mean(std::move(groups));
  const Group& first = *groups[0];
  std::string text = fmt::format("{} held-out loss is {} nat/token",
                                 groups.size() > 1 ? "The lowest mean" : "The", loss(first));
  if (first.loss.size() > 1) text += fmt::format(" ± {}", cite(How::interval, {first.loss}, kLossDecimals));
  text += fmt::format(", by {}.", example(first));
  if (const Group* other = rival(groups))
    text += fmt::format(" It is not ranked before {} ({}): {}.", example(*other), loss(*other),
                        undecided(first, *other));
  else if (groups.size() > 1)
    text += fmt::format(" The next is {}, {} above it.", example(*groups[1]), gap(*groups[1], first));
  out.push_back(std::move(text));
}

void memory(const Study& study, std::vector<std::string>& out) {
  Sample measured, predicted;
  for (const Run& run : study.runs) {
    if (!run.record || run.record->memory.measured_peak_bytes <= 0 || run.record->memory.predicted_bytes <= 0)
      continue;
    // The prediction is of training: gradients and moments that no step writes to take no memory.
    if (run.record->counts.tokens == 0) continue;
    measured.push_back(
        run.datum(static_cast<double>(run.record->memory.measured_peak_bytes), "/memory/measured_peak"));
    predicted.push_back(
        run.datum(static_cast<double>(run.record->memory.predicted_bytes), "/memory/predicted"));
  }
  if (measured.empty()) return;
  out.push_back(
      fmt::format("The measured peak of memory is {} to {} times the prediction, over {} runs that train.",
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
  memory_findings(study, out);
  memory(study, out);
  for (std::string& text : out) text = capital(std::move(text));
  return out;
}

}  // namespace fovea::report
