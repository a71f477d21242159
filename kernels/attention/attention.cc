#include "kernels/attention/attention.h"

#include <cstdlib>
#include <vector>

#include "core/build_info.h"
#include "core/error.h"
#include "kernels/attention/backends.h"

namespace fovea {
namespace {

void check_documents(const AttentionProblem& p) {
  const DocumentBounds* documents = p.mask.documents.get();
  if (!documents) return;
  FOVEA_CHECK(p.batch == 1, "packed documents in a batch of {}", p.batch);
  const auto climbs = [](const std::vector<int64>& bounds, int64 rows) {
    if (bounds.empty() || bounds.front() != 0 || bounds.back() != rows) return false;
    for (size_t n = 1; n < bounds.size(); ++n)
      if (bounds[n] < bounds[n - 1]) return false;
    return true;
  };
  FOVEA_CHECK(documents->q.size() == documents->k.size() && climbs(documents->q, p.q_len) &&
                  climbs(documents->k, p.kv_len),
              "document bounds that do not climb from 0 to {} and {}", p.q_len, p.kv_len);
}

void check_problem(const AttentionProblem& p) {
  FOVEA_CHECK(p.batch >= 0 && p.q_len >= 0 && p.kv_len >= 0 && p.qk_dim > 0 && p.v_dim > 0,
              "attention of batch {}, lengths {} and {}, head sizes {} and {}", p.batch, p.q_len, p.kv_len,
              p.qk_dim, p.v_dim);
  FOVEA_CHECK(p.kv_heads > 0 && p.q_heads > 0 && p.q_heads % p.kv_heads == 0,
              "{} query heads over {} KV heads", p.q_heads, p.kv_heads);
  FOVEA_CHECK(p.dtype != DType::i32, "attention in {}", name_of(p.dtype));
  FOVEA_CHECK(std::abs(p.first_position()) < int64{1} << 48, "query 0 stands at key {}", p.first_position());
  check_documents(p);
}

DType statistics_dtype(const AttentionProblem& p) { return p.dtype == DType::f64 ? DType::f64 : DType::f32; }

template <class Op>
void check_inputs(const Op& op) {
  const AttentionProblem& p = op.problem;
  check_problem(p);
  expect(op.q, "attention: q", {p.batch, p.q_len, p.q_heads, p.qk_dim}, p.dtype);
  expect(op.k, "attention: k", {p.batch, p.kv_len, p.kv_heads, p.qk_dim}, p.dtype);
  expect(op.v, "attention: v", {p.batch, p.kv_len, p.kv_heads, p.v_dim}, p.dtype);
  expect(op.out, "attention: out", {p.batch, p.q_len, p.q_heads, p.v_dim}, p.dtype);
  expect(op.lse, "attention: lse", {p.batch, p.q_heads, p.q_len}, statistics_dtype(p));
  if (op.sink) expect(op.sink, "attention: sink", {p.q_heads}, statistics_dtype(p));
}

template <class Op>
const AttentionBackend& supporting_backend(const Stream& stream, const Op& op) {
  const AttentionBackend& backend = attention_backend(stream.backend());
  Support support = backend.supports(op.problem);
  if (support.yes) support = backend.takes(op);
  if (!support.yes)
    fail_unavailable("backend {} cannot do this attention: {}", backend.name(), support.why_not);
  return backend;
}

}  // namespace

const AttentionBackend& attention_backend(Backend backend) {
  switch (backend) {
    case Backend::reference:
      return reference_attention_backend();
    case Backend::naive:
      return naive_attention_backend();
    case Backend::cpu:
      return cpu_attention_backend();
    case Backend::cuda:
      FOVEA_CHECK(built_with_cuda(), "attention on cuda in a build without it");
      return cuda_attention_backend();
    case Backend::cudnn:
      break;
  }
  FOVEA_CHECK(built_with("cuDNN"), "attention on cudnn in a build without it");
  return cudnn_attention_backend();
}

std::span<const AttentionBackend* const> attention_backends() {
  static const std::vector<const AttentionBackend*> backends = [] {
    std::vector<const AttentionBackend*> all = {&reference_attention_backend(), &naive_attention_backend(),
                                                &cpu_attention_backend()};
    if (built_with_cuda()) all.push_back(&cuda_attention_backend());
    if (built_with("cuDNN")) all.push_back(&cudnn_attention_backend());
    return all;
  }();
  return backends;
}

void attention(Stream& stream, const AttentionForward& op) {
  check_inputs(op);
  const AttentionBackend& backend = supporting_backend(stream, op);
  stream.enqueue({"attention", attention_flops(op.problem, Pass::forward),
                  backend.workspace_bytes(op.problem, Pass::forward, stream.threads()),
                  bytes_of(op.q, op.k, op.v, op.out, op.lse), op.problem.dtype},
                 [op, &backend](Execution& execution) { backend.forward(execution, op); });
}

void attention_backward(Stream& stream, const AttentionBackward& op) {
  check_inputs(op);
  const AttentionProblem& p = op.problem;
  expect(op.dout, "attention: dout", {p.batch, p.q_len, p.q_heads, p.v_dim}, p.dtype);
  expect(op.dq, "attention: dq", {p.batch, p.q_len, p.q_heads, p.qk_dim}, p.dtype);
  expect(op.dk, "attention: dk", {p.batch, p.kv_len, p.kv_heads, p.qk_dim}, p.dtype);
  expect(op.dv, "attention: dv", {p.batch, p.kv_len, p.kv_heads, p.v_dim}, p.dtype);
  FOVEA_CHECK(!op.dsink || op.sink, "attention: dsink without sink");
  if (op.dsink) expect(op.dsink, "attention: dsink", {p.q_heads}, statistics_dtype(p));
  const AttentionBackend& backend = supporting_backend(stream, op);
  stream.enqueue({"attention_backward", attention_flops(p, Pass::backward),
                  backend.workspace_bytes(p, Pass::backward, stream.threads()),
                  bytes_of(op.q, op.k, op.v, op.out, op.lse, op.dout, op.dq, op.dk, op.dv), p.dtype},
                 [op, &backend](Execution& execution) { backend.backward(execution, op); });
}

double attention_flops(const AttentionProblem& p, Pass pass) {
  const double pairs = static_cast<double>(visible_pairs(p)) * static_cast<double>(p.q_heads);
  const int64 per_pair = pass == Pass::forward ? 2 * (p.qk_dim + p.v_dim) : 2 * (3 * p.qk_dim + 2 * p.v_dim);
  return pairs * static_cast<double>(per_pair);
}

}  // namespace fovea
