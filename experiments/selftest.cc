#include "experiments/selftest.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/buffer.h"
#include "core/host_copy.h"
#include "core/random.h"
#include "experiments/progress_line.h"
#include "kernels/attention/attention.h"

namespace fovea {
namespace {

struct Case {
  const char* name;
  AttentionProblem problem;
};

std::vector<Case> cases() {
  const auto make = [](DType dtype, int64 q_heads, int64 kv_heads, int64 q_len, int64 kv_len, int64 dim,
                       Mask mask) {
    AttentionProblem p;
    p.batch = 2;
    p.q_len = q_len;
    p.kv_len = kv_len;
    p.q_heads = q_heads;
    p.kv_heads = kv_heads;
    p.qk_dim = p.v_dim = dim;
    p.dtype = dtype;
    p.mask = std::move(mask);
    p.scale = 1 / std::sqrt(static_cast<float>(dim));
    return p;
  };
  std::vector<Case> list = {
      {"full, 4 heads of 64", make(DType::f32, 4, 4, 100, 100, 64, {})},
      {"causal, 4 heads of 64", make(DType::f32, 4, 4, 129, 129, 64, causal_mask())},
      {"causal GQA 8:2, heads of 16", make(DType::f32, 8, 2, 128, 128, 16, causal_mask())},
      {"causal MQA 8:1, odd heads of 33", make(DType::f32, 8, 1, 77, 77, 33, causal_mask())},
      {"window of 32, more keys than queries", make(DType::f32, 4, 2, 65, 190, 64, sliding_window_mask(32))},
      {"blind rows: more queries than keys", make(DType::f32, 2, 2, 90, 40, 32, causal_mask())},
      {"decode: one query, 300 keys", make(DType::f32, 8, 2, 1, 300, 128, causal_mask())},
      {"bf16 causal GQA 8:2", make(DType::bf16, 8, 2, 128, 128, 64, causal_mask())},
      {"f16 causal", make(DType::f16, 4, 4, 100, 100, 64, causal_mask())},
  };
  AttentionProblem capped = make(DType::f32, 4, 4, 100, 100, 64, causal_mask());
  capped.softcap = 20;
  list.push_back({"softcap 20", capped});
  AttentionProblem packed = make(DType::f32, 4, 2, 160, 160, 32, causal_mask());
  packed.batch = 1;
  const std::vector<int64> bounds = {0, 7, 7, 100, 160};
  packed.mask.documents = std::make_shared<const DocumentBounds>(DocumentBounds{bounds, bounds});
  list.push_back({"four packed documents, one empty", packed});
  return list;
}

struct Tensors {
  Buffer q, k, v, dout, out, lse, dq, dk, dv;
};

// The problem's operands in this dtype, all from the same numbers rounded to `rounded`.
Tensors make_tensors(const AttentionProblem& p, DType dtype, DType rounded) {
  Tensors t;
  const auto drawn = [&](int64 s, int64 h, int64 d, uint32 stream) {
    Buffer buffer(dtype, {p.batch, s, h, d});
    const View flat = buffer.view().reshape({buffer.view().elements()});
    const RandomSequence random{1, RandomUse::synthetic, stream};
    Buffer one(rounded, {1});
    for (int64 i = 0; i < flat.elements(); ++i) {
      store(one, {0}, random.normal(static_cast<uint64>(i)));
      store(flat, {i}, load(one, {0}));
    }
    return buffer;
  };
  t.q = drawn(p.q_len, p.q_heads, p.qk_dim, 1);
  t.k = drawn(p.kv_len, p.kv_heads, p.qk_dim, 2);
  t.v = drawn(p.kv_len, p.kv_heads, p.v_dim, 3);
  t.dout = drawn(p.q_len, p.q_heads, p.v_dim, 4);
  t.out = Buffer(dtype, {p.batch, p.q_len, p.q_heads, p.v_dim});
  t.lse = Buffer(dtype == DType::f64 ? DType::f64 : DType::f32, {p.batch, p.q_heads, p.q_len});
  t.dq = Buffer(dtype, {p.batch, p.q_len, p.q_heads, p.qk_dim});
  t.dk = Buffer(dtype, {p.batch, p.kv_len, p.kv_heads, p.qk_dim});
  t.dv = Buffer(dtype, {p.batch, p.kv_len, p.kv_heads, p.v_dim});
  return t;
}

Tensors solve(AttentionProblem p, Backend backend, int threads) {
  const DType rounded = p.dtype;
  if (backend == Backend::reference) p.dtype = DType::f64;
  Tensors t = make_tensors(p, p.dtype, rounded);
  Stream stream(backend, threads);
  const auto there = [&](const Buffer& buffer) { return DeviceCopy(buffer, stream.device()); };
  const DeviceCopy q = there(t.q), k = there(t.k), v = there(t.v), dout = there(t.dout), out = there(t.out),
                   lse = there(t.lse), dq = there(t.dq), dk = there(t.dk), dv = there(t.dv);
  attention(stream, {p, q, k, v, {}, out, lse});
  attention_backward(stream, {p, q, k, v, {}, out, lse, dout, dq, dk, dv, {}});
  stream.synchronize();
  for (const DeviceCopy* answer : {&out, &lse, &dq, &dk, &dv}) answer->fetch();
  return t;
}

// What the error rule allows of one tensor: in terms of the plain implementation's own error, which is not
// there to judge that implementation itself; it gets the rounding of its dtype, grown as a sum of this many
// terms grows.
struct Allowance {
  DType dtype;
  double most_lse, factor, terms;
  bool plain;  ///< the tensor is the plain implementation's
};

double epsilon(DType dtype) {
  return dtype == DType::f32 ? 0x1p-23 : dtype == DType::bf16 ? 0x1p-7 : 0x1p-10;
}

// The largest error as a part of what is allowed.
double error_ratio(const View& x, const View& low, const View& reference, const Allowance& allowance) {
  const int64 n = reference.elements();
  const View flat = x.reshape({n}), flat_low = low.reshape({n}), flat_reference = reference.reshape({n});
  Buffer rounded(allowance.dtype, {1});
  const auto round = [&](double value) {
    store(rounded, {0}, value);
    return load(rounded, {0});
  };
  double error = 0, low_error = 0, fuzz = 0, most = 0;
  for (int64 i = 0; i < n; ++i) {
    const double ref = load(flat_reference, {i}), value = load(flat, {i});
    if (!std::isfinite(value)) return INFINITY;
    error = std::max(error, std::abs(value - ref));
    low_error = std::max(low_error, std::abs(load(flat_low, {i}) - ref));
    const double r = round(ref);
    fuzz = std::max(fuzz, std::abs(round(round(r + double{0.3f}) - double{0.3f}) - r));
    most = std::max(most, std::abs(ref));
  }
  const double scale = std::max(1.0, allowance.most_lse) * most;
  const double allowed = allowance.plain
                             ? epsilon(allowance.dtype) * std::sqrt(allowance.terms) * scale
                             : std::max(allowance.factor * low_error + 2 * fuzz, 4 * 0x1p-23 * scale);
  return allowed > 0 ? error / allowed : (error > 0 ? INFINITY : 0);
}

// lse, of blind rows too: -inf must be -inf.
double lse_ratio(const View& x, const View& reference) {
  double worst = 0;
  const View flat = x.reshape({x.elements()}), flat_reference = reference.reshape({x.elements()});
  for (int64 i = 0; i < x.elements(); ++i) {
    const double ref = load(flat_reference, {i}), value = load(flat, {i});
    if (value == ref) continue;
    const double ratio = std::abs(value - ref) / (1e-5 * std::max(1.0, std::abs(ref)));
    worst = std::isfinite(ratio) ? std::max(worst, ratio) : INFINITY;
  }
  return worst;
}

double worst_ratio(const Case& c, Backend backend, int threads) {
  const Tensors reference = solve(c.problem, Backend::reference, threads),
                low = solve(c.problem, Backend::naive, threads), x = solve(c.problem, backend, threads);
  double most_lse = 0;
  const View lse = reference.lse.view().reshape({reference.lse.view().elements()});
  for (int64 i = 0; i < lse.elements(); ++i)
    if (const double value = std::abs(load(lse, {i})); std::isfinite(value))
      most_lse = std::max(most_lse, value);
  const AttentionProblem& p = c.problem;
  const bool plain = backend == Backend::naive;
  Allowance allowance{p.dtype, most_lse, 2, static_cast<double>(p.kv_len), plain};
  double worst =
      std::max(lse_ratio(x.lse, reference.lse), error_ratio(x.out, low.out, reference.out, allowance));
  allowance.factor = 3;
  allowance.terms = static_cast<double>((p.q_len + p.kv_len) * p.group());
  for (const auto member : {&Tensors::dq, &Tensors::dk, &Tensors::dv})
    worst = std::max(worst, error_ratio(x.*member, low.*member, reference.*member, allowance));
  return worst;
}

}  // namespace

ExitCode selftest(const std::string& name, int threads) {
  std::vector<Backend> backends = {Backend::cpu, Backend::naive};
  if (name != "auto")
    backends = {backend_named(name)};
  else if (find_device().device)
    backends.push_back(Backend::cuda);
  if (device_of(backends.back()) == Device::cuda) require_device();
  int64 failures = 0, checks = 0;
  for (const Backend backend : backends) {
    fmt::print("{}: {}\n", name_of(backend), attention_backend(backend).description());
    for (const Case& c : cases()) {
      if (const Support support = attention_backend(backend).supports(c.problem); !support.yes) {
        fmt::print("  {:<40} not done: {}\n", c.name, support.why_not);
        continue;
      }
      const double ratio = worst_ratio(c, backend, threads);
      const bool good = ratio <= 1;
      fmt::print("  {:<40} {:>6.3f} of the allowed error  {}\n", c.name, ratio,
                 good ? styled("32", "ok") : styled("31", "WRONG"));
      failures += !good;
      ++checks;
    }
  }
  fmt::print("{} checks, {} failed\n", checks, failures);
  return failures == 0 ? ExitCode::done : ExitCode::failed;
}

}  // namespace fovea
