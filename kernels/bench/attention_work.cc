#include "kernels/bench/attention_work.h"

#include <algorithm>
#include <utility>

#include "kernels/bench/clock.h"
#include "kernels/bench/fill.h"
#include "kernels/peak/peak.h"
#include "kernels/peak/product.h"

namespace fovea {
AttentionWork::AttentionWork(TimedAttention what, int threads)
    : what_(std::move(what)), stream_(what_.backend, threads) {
  const AttentionProblem& p = what_.problem;
  const auto rows = [&](int64 length, int64 heads) {
    return Buffer(p.dtype, {p.batch, length, heads, p.qk_dim}, stream_.device());
  };
  q_ = rows(p.q_len, p.q_heads);
  k_ = rows(p.kv_len, p.kv_heads);
  v_ = rows(p.kv_len, p.kv_heads);
  out_ = rows(p.q_len, p.q_heads);
  lse_ = Buffer(DType::f32, {p.batch, p.q_heads, p.q_len}, stream_.device());
  fill_normal(q_, 1), fill_normal(k_, 2), fill_normal(v_, 3);
  forward();
  if (what_.pass == Pass::forward) return;
  dout_ = rows(p.q_len, p.q_heads);
  fill_normal(dout_, 4);
  dq_ = rows(p.q_len, p.q_heads);
  dk_ = rows(p.kv_len, p.kv_heads);
  dv_ = rows(p.kv_len, p.kv_heads);
  stream_.reset_counters();
}

void AttentionWork::forward() {
  attention(stream_, {.problem = what_.problem, .q = q_, .k = k_, .v = v_, .out = out_, .lse = lse_});
}

void AttentionWork::run() {
  if (what_.pass == Pass::forward) return forward();
  attention_backward(stream_, {.problem = what_.problem,
                               .q = q_,
                               .k = k_,
                               .v = v_,
                               .out = out_,
                               .lse = lse_,
                               .dout = dout_,
                               .dq = dq_,
                               .dk = dk_,
                               .dv = dv_});
}

double AttentionWork::time(int calls) {
  return seconds_of_call(stream_, calls, [this] { run(); });
}

double AttentionWork::decoding_bound_seconds(double limit_flops) const {
  double read = 0;
  if (stream_.device() == Device::cuda)
    return std::max(static_cast<double>(k_.bytes() + v_.bytes()) / measured_device_bandwidth(),
                    flops() / limit_flops);
  for (const Buffer* keys : {&k_, &v_})
    read +=
        static_cast<double>(keys->bytes()) / measured_read_bandwidth(keys->data(), keys->bytes(), threads());
  return std::max(read, flops() / limit_flops);
}

}  // namespace fovea
