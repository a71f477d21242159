#include "experiments/head_statistics.h"

#include <algorithm>
#include <cmath>

namespace fovea {
namespace {

constexpr double kSaturated = 0.99;

// The rows (S, D) of one head of one batch row.
std::vector<double> head_of(const View& x, int64 batch, int64 head, Range rows) {
  std::vector<double> values;
  values.reserve(static_cast<size_t>(rows.size() * x.size(3)));
  for (int64 i = rows.begin; i < rows.end; ++i)
    for (int64 d = 0; d < x.size(3); ++d) values.push_back(load(x, {batch, i, head, d}));
  return values;
}

double score(const AttentionProblem& p, const double* q, const double* k) {
  double product = 0;
  for (int64 d = 0; d < p.qk_dim; ++d) product += q[d] * k[d];
  const double s = double{p.scale} * product;
  return p.softcap > 0 ? p.softcap * std::tanh(s / p.softcap) : s;
}

// Welford's running mean and sum of squared distances.
void add_score(HeadSums& sums, double s) {
  sums.score_largest = sums.scores == 0 ? s : std::max(sums.score_largest, s);
  const double before = s - sums.score_mean;
  sums.score_mean += before / static_cast<double>(++sums.scores);
  sums.score_squares += before * (s - sums.score_mean);
}

// One row: p[j] = exp(s[j] - most) / total over the keys that it sees.
class Row {
 public:
  Row(Range keys, std::vector<double>& scores) : keys_(keys), scores_(scores) {
    most_ = *std::max_element(scores.begin(), scores.end());
    for (const double s : scores) total_ += std::exp(s - most_);
  }
  double probability(int64 key) const {
    if (key < keys_.begin || key >= keys_.end) return 0;
    return std::exp(scores_[static_cast<size_t>(key - keys_.begin)] - most_) / total_;
  }
  void add_to(HeadSums& sums) const {
    // -sum p ln p = ln(total) - sum p (s - most)
    double entropy = std::log(total_), squares = 0;
    for (const double s : scores_) {
      const double p = std::exp(s - most_) / total_;
      entropy -= p * (s - most_);
      squares += p * p;
      add_score(sums, s);
    }
    ++sums.rows;
    sums.entropy += entropy;
    sums.relative_entropy += entropy / std::log(static_cast<double>(keys_.size()));
    sums.saturated += 1 / total_ > kSaturated ? 1 : 0;  // the largest probability is exp(0) / total
    sums.slope += 1 - squares;
  }

 private:
  Range keys_;
  const std::vector<double>& scores_;
  double most_ = 0, total_ = 0;
};

void add_rows(const AttentionProblem& p, const AttentionSequence& sequence, const std::vector<double>& q,
              const std::vector<double>& k, int64 repeated, HeadSums& sums) {
  std::vector<double> scores;
  for (int64 i = 0; i < sequence.q.size(); ++i) {
    const Range keys = sequence.mask.keys_of(i);
    const bool second_copy = repeated > 0 && i >= repeated;
    if (keys.size() < 1 || (keys.size() < 2 && !second_copy)) continue;
    scores.clear();
    for (int64 j = keys.begin; j < keys.end; ++j)
      scores.push_back(score(p, q.data() + i * p.qk_dim, k.data() + j * p.qk_dim));
    const Row row(keys, scores);
    if (second_copy) {
      ++sums.repeated_rows;
      sums.induction += row.probability(i - repeated + 1);
    }
    if (keys.size() < 2) continue;
    row.add_to(sums);
    sums.previous_token += row.probability(i - 1);
    sums.first_token += row.probability(0);
  }
}

}  // namespace

void add_head_sums(ThreadPool& pool, const AttentionProblem& problem, const View& q, const View& k,
                   int64 repeated, HeadSums* sums) {
  const std::vector<AttentionSequence> sequences = sequences_of(problem);
  pool.run(problem.q_heads, [&](int64 head, int) {
    for (const AttentionSequence& sequence : sequences)
      add_rows(problem, sequence, head_of(q, sequence.batch, head, sequence.q),
               head_of(k, sequence.batch, head / problem.group(), sequence.k), repeated, sums[head]);
  });
}

}  // namespace fovea
