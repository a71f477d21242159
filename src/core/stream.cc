#include "core/stream.h"

#include <algorithm>
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
  by_operation_[work.name] += work.flops;
}

void Stream::reset_counters() {
  flops_ = 0;
  peak_scratch_ = 0;
  by_operation_.clear();
}

void Stream::execute(int64 scratch_bytes, FunctionRef<void(Execution&)> run) {
  if (scratch_bytes > scratch_.bytes()) {
    scratch_ = Buffer();  // the old one first: never both at once
    scratch_ = Buffer(scratch_bytes);
  }
  if (poison_ && scratch_bytes > 0) std::memset(scratch_.data(), 0xff, static_cast<size_t>(scratch_bytes));
  Execution execution(pool_, scratch_.data(), scratch_bytes);
  run(execution);
}

void Stream::synchronize() {
  std::vector<Queued> queue = std::move(queue_);
  queue_.clear();
  for (Queued& queued : queue) execute(queued.scratch_bytes, FunctionRef<void(Execution&)>(queued.run));
}

}  // namespace fovea
