#pragma once

#include <memory>

#include "cases.h"
#include "core/error.h"
#include "error_rule.h"
#include "harness.h"
#include "instruction_sets.h"

namespace fovea {

inline void PrintTo(const AttentionCase& c, std::ostream* to) { *to << c.name; }

namespace harness {

/// An implementation, and the storage that it is tried in: those that differ in what they multiply.
struct Arithmetic {
  Backend backend;
  DType dtype;
};
inline std::vector<Arithmetic> arithmetics() {
  if (backend_under_test() == Backend::cudnn)
    return {{Backend::cudnn, DType::bf16}, {Backend::cudnn, DType::f16}};
  if (backend_under_test() == Backend::cuda)
    return {{Backend::cuda, DType::f32}, {Backend::cuda, DType::bf16}, {Backend::cuda, DType::f16}};
  return {{Backend::reference, DType::f64},
          {Backend::naive, DType::f32},
          {Backend::cpu, DType::f32},
          {Backend::cpu, DType::bf16}};
}
/// The backends that are held to the oracle.
inline std::vector<Backend> backends_under_test() {
  if (device_of(backend_under_test()) == Device::cuda) return {backend_under_test()};
  return {Backend::naive, Backend::cpu};
}
/// Whether the backend does this call. All but cuDNN do every one; it is asked by planning memory.
inline bool does(const Case& call, Backend backend) {
  if (backend != Backend::cudnn) return true;
  Stream planning(backend, 1, Stream::Mode::plan);
  try {
    const std::vector<Tensor> operands = make_operands(call, Backend::naive);
    call.call(planning, views_of(operands));
  } catch (const UserError& error) {
    if (error.code() != ExitCode::unavailable) throw;
    return false;
  }
  return true;
}
/// check() of a backend: of the cpu's on each instruction set.
inline void for_each_variant(Backend backend, const std::function<void()>& check) {
  if (backend != Backend::cpu) return check();
  for_each_instruction_set(check);
}
inline std::string name_of(const Arithmetic& how) {
  const bool plain = how.dtype == DType::f32 || how.dtype == DType::f64;
  return std::string(fovea::name_of(how.backend)) +
         (plain ? "" : fmt::format("_{}", fovea::name_of(how.dtype)));
}

}  // namespace harness

/// Places of the operands of attention_call().
enum Place : size_t { kQ, kK, kV, kSink, kDout, kOut, kLse, kDq, kDk, kDv, kDsink, kPlaces };

/// Forward and backward as one call of the common harness.
inline harness::Case attention_call(const AttentionCase& c, DType dtype, uint64 seed = 1) {
  using harness::Role;
  const AttentionProblem& p = c.problem;
  const DType statistics = dtype == DType::f64 ? DType::f64 : DType::f32;
  const harness::Layout layout{c.gap, c.offset};
  const std::vector<int64> q{p.batch, p.q_len, p.q_heads, p.qk_dim},
      k{p.batch, p.kv_len, p.kv_heads, p.qk_dim}, v{p.batch, p.kv_len, p.kv_heads, p.v_dim},
      out{p.batch, p.q_len, p.q_heads, p.v_dim},
      sink = c.sink ? std::vector<int64>{p.q_heads} : std::vector<int64>{};
  const auto drawn = [&](uint32 stream, double gain) {
    return [random = RandomSequence{seed, RandomUse::synthetic, stream}, gain](int64 e) {
      return gain * random.normal(static_cast<uint64>(e));
    };
  };
  const auto dout = [seed](int64 e) { return harness::projection(seed, e); };
  const Role gradient = c.accumulate ? Role::inout : Role::out;
  return {.operands = {{"q", dtype, q, Role::in, drawn(101, c.gain), layout},
                       {"k", dtype, k, Role::in, drawn(102, c.gain), layout},
                       {"v", dtype, v, Role::in, drawn(103, 1), layout},
                       {"sink", statistics, sink, Role::in, drawn(104, 2)},
                       {"dout", dtype, out, Role::in, dout, layout},
                       {"out", dtype, out, Role::out, nullptr, layout},
                       {"lse", statistics, {p.batch, p.q_heads, p.q_len}, Role::out, nullptr, layout},
                       {"dq", dtype, q, gradient, nullptr, layout},
                       {"dk", dtype, k, gradient, nullptr, layout},
                       {"dv", dtype, v, gradient, nullptr, layout},
                       {"dsink", statistics, sink, gradient}},
          .call =
              [p, accumulate = c.accumulate](Stream& stream, const std::vector<View>& x) {
                AttentionProblem problem = p;
                problem.dtype = x[kQ].dtype();
                attention(stream, {problem, x[kQ], x[kK], x[kV], x[kSink], x[kOut], x[kLse]});
                attention_backward(stream, {problem, x[kQ], x[kK], x[kV], x[kSink], x[kOut], x[kLse],
                                            x[kDout], x[kDq], x[kDk], x[kDv], x[kDsink], accumulate});
              },
          .seed = seed};
}

inline std::vector<double> values_of(const harness::Tensor& x) {
  std::vector<double> values(static_cast<size_t>(x.elements()));
  for (size_t i = 0; i < values.size(); ++i) values[i] = x.get(static_cast<int64>(i));
  return values;
}

/// The oracle's answers to a case in a dtype, and those of the plain implementation.
class Judge {
 public:
  Judge(const AttentionCase& c, DType dtype, uint64 seed = 1)
      : call_(attention_call(c, dtype, seed)),
        dtype_(dtype),
        summed_(std::sqrt(static_cast<double>(1 + c.problem.q_len * c.problem.group()))),
        few_pairs_(visible_pairs(c.problem) * c.problem.q_heads < kFewPairs) {
    for (const harness::Tensor& x : harness::run(call_, Backend::reference))
      expected_.push_back(values_of(x));
    for (const harness::Tensor& x : harness::run(call_, Backend::naive)) low_.push_back(values_of(x));
  }
  const harness::Case& call() const { return call_; }

  /// What of the backend's answers breaks the error rule, or nothing; nothing of what it does not do.
  std::string verdict(Backend backend, int threads = 1) const {
    if (!harness::does(call_, backend)) return {};
    const std::vector<harness::Tensor> tensors = backend == Backend::naive && threads == 1
                                                     ? std::vector<harness::Tensor>{}
                                                     : harness::run(call_, backend, threads);
    for (size_t i = kOut; i < kPlaces; ++i) {
      const std::vector<double> actual = tensors.empty() ? low_[i] : values_of(tensors[i]);
      const std::string found =
          i == kLse ? broken_lse(actual, expected_[kLse]) : verdict_on(backend, i, actual);
      if (!found.empty()) return call_.operands[i].name + " " + found;
    }
    return {};
  }

 private:
  std::string verdict_on(Backend backend, size_t i, const std::vector<double>& actual) const {
    ErrorRule rule{.dtype = dtype_,
                   .factor = i == kOut ? 2.0 : 3.0,
                   .low_error = most_apart(low_[i], expected_[i]),
                   .most_lse = most_of(expected_[kLse]),
                   .least = 1};
    // The plain implementation is its own measure elsewhere; here a few roundings of scores and
    // probabilities, and what a sum over rows may gather where its terms cancel.
    if (backend == Backend::naive)
      rule.low_error = 3 * harness::epsilon_of(dtype_) * std::max(1.0, rule.most_lse) *
                       std::max(summed_, most_of(expected_[i]));
    // Of a handful of numbers the plain implementation may by luck get all right; every one is two roundings
    // off. Where few pairs are visible, all numbers of an answer share the roundings of a handful of scores
    // and probabilities, and one problem's plain errors say little of another's: docs/lab-notes.md has how
    // both are spread.
    const double of_few = dtype_ == DType::f32 ? 8 : 2;
    const double roundings = few_pairs_ ? of_few : expected_[i].size() < kMany ? 0.5 : 0;
    rule.low_error = std::max(rule.low_error,
                              roundings * harness::epsilon_of(dtype_) * std::max(1.0, most_of(expected_[i])));
    return broken(rule, actual, expected_[i]);
  }
  static constexpr size_t kMany = 64;
  static constexpr int64 kFewPairs = 256;
  harness::Case call_;
  DType dtype_;
  double summed_;  // size of a sum over the query rows of a key, of terms about 1
  bool few_pairs_;
  std::vector<std::vector<double>> expected_, low_;
};

}  // namespace fovea
