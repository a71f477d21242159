#include "core/stream.h"

#include <algorithm>
#include <chrono>
#include <cstring>

namespace fovea {

std::string_view name_of(Backend backend) {
  switch (backend) {
    case Backend::reference:
      return "reference";
    case Backend::naive:
      return "naive";
    case Backend::cpu:
      return "cpu";
  }
  return "?";
}

Backend backend_named(std::string_view name) {
  if (name == "auto") return Backend::cpu;
  for (Backend backend : {Backend::reference, Backend::naive, Backend::cpu})
    if (name == name_of(backend)) return backend;
  if (name == "cuda" || name == "cudnn")
    fail_unavailable("backend {}: this build has no CUDA; choose cpu, naive or reference", name);
  fail_usage("unknown backend \"{}\": choose auto, cpu, naive or reference", name);
}

Stream::Stream(Backend backend, int threads, Mode mode) : backend_(backend), mode_(mode), pool_(threads) {}

void Stream::account(const Work& work) {
  flops_ += work.flops;
  peak_scratch_ = std::max(peak_scratch_, work.scratch_bytes);
}

void Stream::reset_counters() {
  flops_ = 0;
  peak_scratch_ = 0;
}

void Stream::execute(const Work& work, FunctionRef<void(Execution&)> run) {
  using Clock = std::chrono::steady_clock;
  const Clock::time_point start = profile_ ? Clock::now() : Clock::time_point();
  const int64 scratch_bytes = work.scratch_bytes;
  if (scratch_bytes > scratch_.bytes()) {
    scratch_ = Buffer();  // the old one first: never both at once
    scratch_ = Buffer(scratch_bytes);
  }
  if (poison_ && scratch_bytes > 0) std::memset(scratch_.data(), 0xff, static_cast<size_t>(scratch_bytes));
  Execution execution(pool_, scratch_.data(), scratch_bytes);
  run(execution);
  if (!profile_) return;
  OperationTotal& total = operations_[work.name];
  ++total.calls;
  total.seconds += std::chrono::duration<double>(Clock::now() - start).count();
  total.flops += work.flops;
  total.bytes += static_cast<double>(work.bytes);
  total.dtype = work.dtype;
}

void Stream::synchronize() {
  std::vector<Queued> queue = std::move(queue_);
  queue_.clear();
  for (Queued& queued : queue) execute(queued.work, FunctionRef<void(Execution&)>(queued.run));
}

}  // namespace fovea
