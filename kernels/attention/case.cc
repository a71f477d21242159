#include "kernels/attention/case.h"

#include "core/random.h"
#include "kernels/check/projection.h"

namespace fovea::check {

Case attention_call(const AttentionCase& c, DType dtype, uint64 seed) {
  const AttentionProblem& p = c.problem;
  const DType statistics = dtype == DType::f64 ? DType::f64 : DType::f32;
  const Layout layout{c.gap, c.offset};
  const std::vector<int64> q{p.batch, p.q_len, p.q_heads, p.qk_dim},
      k{p.batch, p.kv_len, p.kv_heads, p.qk_dim}, v{p.batch, p.kv_len, p.kv_heads, p.v_dim},
      out{p.batch, p.q_len, p.q_heads, p.v_dim},
      sink = c.sink ? std::vector<int64>{p.q_heads} : std::vector<int64>{};
  const auto drawn = [&](uint32 stream, double gain) {
    return [random = RandomSequence{seed, RandomUse::synthetic, stream}, gain](int64 e) {
      return gain * random.normal(static_cast<uint64>(e));
    };
  };
  const auto dout = [seed](int64 e) { return projection(seed, e); };
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

}  // namespace fovea::check
