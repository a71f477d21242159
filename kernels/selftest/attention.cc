#include "kernels/selftest/attention.h"

#include "kernels/attention/judge.h"

namespace fovea {
namespace {

using namespace check;

std::vector<AttentionCase> attention_cases() {
  std::vector<AttentionCase> cases = {
      {"full, 2 heads of 64", attention_problem(100, 100, 2, 2, 64)},
      {"causal, 4 heads of 64", attention_problem(129, 129, 4, 4, 64, causal_mask())},
      {"causal GQA 8:2, heads of 16", attention_problem(128, 128, 8, 2, 16, causal_mask())},
      {"causal GQA 2:1, heads of 128", attention_problem(140, 140, 2, 1, 128, causal_mask())},
      {"causal MQA 8:1, odd heads of 33", attention_problem(77, 77, 8, 1, 33, causal_mask())},
      {"values of 128, keys of 192", attention_problem(70, 90, 2, 1, 192, causal_mask())},
      {"window of 32, more keys than queries", attention_problem(65, 190, 4, 2, 64, sliding_window_mask(32))},
      {"blind rows: more queries than keys", attention_problem(90, 40, 2, 2, 32, causal_mask())},
      {"decode: one query, 300 keys", attention_problem(1, 300, 4, 1, 128, causal_mask())},
      {"decode: one query, 3000 keys", attention_problem(1, 3000, 8, 1, 32, causal_mask())}};
  cases[5].problem.v_dim = 128;
  for (const size_t several : {0, 2, 6, 7}) cases[several].problem.batch = 2;
  cases.push_back({.name = "softcap 20, sink",
                   .problem = attention_problem(100, 100, 4, 4, 64, causal_mask()),
                   .sink = true});
  cases.back().problem.softcap = 20;
  cases.push_back(
      {"four packed documents, one empty",
       attention_problem(160, 160, 4, 2, 32, document_mask({0, 7, 7, 100, 160}, {0, 7, 7, 100, 160}))});
  cases.push_back({.name = "added to gradients, rows apart",
                   .problem = attention_problem(66, 67, 4, 2, 64, causal_mask()),
                   .gap = 3,
                   .offset = 1,
                   .accumulate = true});
  return cases;
}

/// What the answers [first, last) come to.
Finding finding_of(const AttentionJudge& judge, Backend backend, const Outcome& once, const Outcome& again,
                   size_t first, size_t last) {
  Finding finding{.worst = {}, .trespass = once.trespass};
  for (size_t place = first; place < last; ++place) {
    Deviation found = judge.deviation(backend, place, once.operands[place]);
    if (found.share > finding.worst.share) {
      found.text = judge.call().operands[place].name + found.text;
      finding.worst = std::move(found);
    }
    finding.same_bits = finding.same_bits && once.operands[place].bits() == again.operands[place].bits();
  }
  return finding;
}

}  // namespace

void check_attention(Backend backend, int threads, const std::function<void(const Row&)>& done) {
  const std::vector<AttentionCase> cases = attention_cases();
  for (const DType dtype : {DType::f32, DType::bf16, DType::f16}) {
    Row forward("attention", "forward", dtype), backward("attention", "backward", dtype);
    for (const AttentionCase& c : cases) {
      if (const std::string reason = why_not(attention_call(c, dtype), backend); !reason.empty()) {
        forward.leave_out(reason);
        backward.leave_out(reason);
        continue;
      }
      const AttentionJudge judge(c, dtype, 1, threads);
      const Outcome once = outcome_of(judge.call(), judge.values(), backend, threads),
                    again = outcome_of(judge.call(), judge.values(), backend);
      forward.add(c.name, finding_of(judge, backend, once, again, kOut, kDq));
      backward.add(c.name, finding_of(judge, backend, once, again, kDq, kPlaces));
    }
    done(forward);
    done(backward);
  }
}

}  // namespace fovea
