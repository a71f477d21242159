#include "kernels/bench/attention_work.h"

#include <algorithm>
#include <utility>

#include "core/host_copy.h"
#include "core/random.h"
#include "kernels/peak/peak.h"
#include "kernels/peak/product.h"

namespace fovea {
namespace {

/// Normal numbers, repeated after some ten thousand: drawing more takes longer than what is timed.
void fill(const View& view, uint32 stream) {
  constexpr int64 kDrawn = int64{1} << 16;
  const int64 n = view.elements(), drawn = std::min(n, kDrawn);
  const View flat = view.reshape({n});
  const RandomSequence random{1, RandomUse::synthetic, stream};
  for (int64 i = 0; i < drawn; ++i) store(flat, {i}, random.normal(static_cast<uint64>(i)));
  auto* bytes = static_cast<std::byte*>(view.data());
  const int64 period = drawn * size_of(view.dtype());
  for (int64 at = period; at < view.bytes(); at += period)
    std::copy_n(bytes, std::min(period, view.bytes() - at), bytes + at);
}

void fill(const Buffer& buffer, uint32 stream) {
  const HostCopy host(buffer, HostCopy::Fetch::never);
  fill(host.view(), stream);
  host.store();
}

}  // namespace

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
  fill(q_, 1), fill(k_, 2), fill(v_, 3);
  forward();
  if (what_.pass == Pass::forward) return;
  dout_ = rows(p.q_len, p.q_heads);
  fill(dout_, 4);
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
  if (stream_.device() == Device::cpu) {
    const double start = bench_seconds(threads());
    for (int i = 0; i < calls; ++i) run();
    return (bench_seconds(threads()) - start) / calls;
  }
  const auto total = [&] {
    stream_.synchronize();
    double seconds = 0;
    for (const auto& [name, operation] : stream_.operations()) seconds += operation.seconds;
    return seconds;
  };
  const double before = total();
  stream_.profile(true);
  for (int i = 0; i < calls; ++i) run();
  const double seconds = (total() - before) / calls;
  stream_.profile(false);
  return seconds;
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
