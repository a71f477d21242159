#pragma once

#include "cases.h"
#include "harness.h"
#include "instruction_sets.h"
#include "kernels/attention/judge.h"

namespace fovea {

namespace check {
inline void PrintTo(const AttentionCase& c, std::ostream* to) { *to << c.name; }
}  // namespace check

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
/// Whether the backend does this call. All but cuDNN do every one.
inline bool does(const Case& call, Backend backend) {
  return backend != Backend::cudnn || check::why_not(call, backend).empty();
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

using check::attention_call;
using check::kDk, check::kDout, check::kDq, check::kDsink, check::kDv, check::kK, check::kLse, check::kOut,
    check::kPlaces, check::kQ, check::kSink, check::kV;

/// What of the backend's answers breaks the error rule, or nothing; nothing of what it does not do.
inline std::string verdict(const check::AttentionJudge& judge, Backend backend, int threads = 1) {
  if (!judge.trespass().empty()) return judge.trespass();
  if (!harness::does(judge.call(), backend)) return {};
  std::vector<harness::Tensor> made;
  if (backend != Backend::naive || threads != 1) made = harness::run(judge.call(), backend, threads);
  const std::vector<harness::Tensor>& answers = made.empty() ? judge.plain() : made;
  for (size_t place = kOut; place < kPlaces; ++place) {
    const std::string found = check::broken(judge.deviation(backend, place, answers[place]));
    if (!found.empty()) return judge.call().operands[place].name + found;
  }
  return {};
}

}  // namespace fovea
