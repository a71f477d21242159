#include "core/stream.h"

#include <algorithm>
#include <chrono>
#include <cstring>

#include "core/build_info.h"

namespace fovea {

std::string_view name_of(Backend backend) {
  switch (backend) {
    case Backend::reference:
      return "reference";
    case Backend::naive:
      return "naive";
    case Backend::cpu:
      return "cpu";
    case Backend::cuda:
      return "cuda";
    case Backend::cudnn:
      return "cudnn";
  }
  return "?";
}

Backend backend_named(std::string_view name) {
  if (name == "auto") return find_device().device ? Backend::cuda : Backend::cpu;
  for (Backend backend : {Backend::reference, Backend::naive, Backend::cpu})
    if (name == name_of(backend)) return backend;
  if (name == "cuda") {
    if (built_with_cuda()) return Backend::cuda;
    fail_unavailable("backend {}: {}; choose cpu, naive or reference", name, find_device().why_not);
  }
  if (name == "cudnn") {
    if (built_with("cuDNN")) return Backend::cudnn;
    fail_unavailable(
        "backend {}: this build has no cuDNN (needs nvcc, cudnn.h and `fovea setup gpu`); choose {}", name,
        built_with_cuda() ? "cuda or cpu" : "cpu, naive or reference");
  }
  fail_usage("unknown backend \"{}\": choose auto, cpu, cuda, cudnn, naive or reference", name);
}

Stream::Stream(Backend backend, int threads, Mode mode) : backend_(backend), mode_(mode), pool_(threads) {
  if (device() == Device::cuda && mode != Mode::plan) device_ = std::make_unique<DeviceSide>();
}

void Stream::account(const Work& work) {
  flops_ += work.flops;
  peak_scratch_ = std::max(peak_scratch_, work.scratch_bytes);
}

void Stream::reset_counters() {
  flops_ = 0;
  peak_scratch_ = 0;
}

void Stream::reserve_scratch(int64 bytes) {
  if (bytes <= scratch_.bytes()) return;
  if (device_) device_->queue.synchronize();  // what was launched may still use the old one
  scratch_ = Buffer();                        // the old one first: never both at once
  scratch_ = Buffer(bytes, device());
}

namespace {
void add(OperationTotal& total, const Work& work, double seconds) {
  ++total.calls;
  total.seconds += seconds;
  total.flops += work.flops;
  total.bytes += static_cast<double>(work.bytes);
  total.dtype = work.dtype;
}
}  // namespace

void Stream::execute(const Work& work, FunctionRef<void(Execution&)> run) {
  using Clock = std::chrono::steady_clock;
  const bool by_clock = profile_ && !device_;
  const Clock::time_point start = by_clock ? Clock::now() : Clock::time_point();
  const int64 scratch_bytes = work.scratch_bytes;
  reserve_scratch(scratch_bytes);
  if (poison_ && scratch_bytes > 0) {
    if (device_)
      device_->queue.fill(scratch_.data(), 0xff, scratch_bytes);
    else
      std::memset(scratch_.data(), 0xff, static_cast<size_t>(scratch_bytes));
  }
  Execution execution(pool_, scratch_.data(), scratch_bytes, device_.get());
  const int begin = profile_ && device_ ? device_->queue.mark() : 0;
  run(execution);
  if (by_clock)
    add(operations_[work.name], work, std::chrono::duration<double>(Clock::now() - start).count());
  else if (profile_)
    timed_.push_back({work, begin, device_->queue.mark()});
}

void Stream::finish_device_work() {
  device_->queue.synchronize();
  const std::vector<std::function<void()>> arrivals = std::move(device_->arrivals);
  device_->arrivals.clear();
  for (const std::function<void()>& arrive : arrivals) arrive();
  for (const Timed& one : timed_)
    add(operations_[one.work.name], one.work, device_->queue.seconds_between(one.begin, one.end));
  timed_.clear();
  device_->queue.forget_marks();
}

void Stream::synchronize() {
  std::vector<Queued> queue = std::move(queue_);
  queue_.clear();
  for (Queued& queued : queue) execute(queued.work, FunctionRef<void(Execution&)>(queued.run));
  if (device_) finish_device_work();
}

void Stream::copy(const View& to, const View& from) {
  FOVEA_CHECK(
      to.contiguous() && from.contiguous() && to.dtype() == from.dtype() && to.elements() == from.elements(),
      "a copy of {} to {}", from.describe(), to.describe());
  const bool on_host = to.device() == Device::cpu && from.device() == Device::cpu;
  FOVEA_CHECK(on_host || device() == Device::cuda, "memory of the device on a stream of the host");
  enqueue(Work{"copy", 0, 0, to.bytes() + from.bytes()}, [to, from](Execution& execution) {
    if (to.device() == Device::cpu && from.device() == Device::cpu)
      std::memcpy(to.data(), from.data(), static_cast<size_t>(to.bytes()));
    else
      execution.queue().copy(to.data(), from.data(), to.bytes());
  });
}

}  // namespace fovea
