// Exports: streams and events.

#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include <chrono>
#include <memory>
#include <set>

#include "runtime/handles.h"
#include "runtime/status.h"
#include "runtime/streams.h"

namespace softgpu {

namespace {

using Clock = std::chrono::steady_clock;

std::set<Event*>& events() {
  static auto& all = *new std::set<Event*>;
  return all;
}

Event* event_of(cudaEvent_t handle) {
  auto* const event = reinterpret_cast<Event*>(handle);
  return events().contains(event) ? event : nullptr;
}

template <class Body>
cudaError_t call_with_stream(cudaStream_t handle, const Body& body) {
  return call([&] {
    const auto stream = stream_of(handle);
    return stream == nullptr ? cudaErrorInvalidResourceHandle : body(stream);
  });
}

template <class Body>
cudaError_t call_with_event(cudaEvent_t handle, const Body& body) {
  return call([&] {
    Event* const event = event_of(handle);
    return event == nullptr ? cudaErrorInvalidResourceHandle : body(*event);
  });
}

// A host that asks again and again gets there in the end, and not at its first question.
cudaError_t query(const Point& point) {
  if (point.reached()) return cudaSuccess;
  streams().step_towards(point);
  return cudaErrorNotReady;
}

cudaError_t no_capture(const char* name) {
  return remember(refuse(cudaErrorNotSupported, fmt::format("{}: graphs are not supported", name)));
}

}  // namespace

}  // namespace softgpu

using namespace softgpu;

extern "C" {

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  return call([&] {
    if ((flags & ~unsigned{cudaStreamNonBlocking}) != 0) return cudaErrorInvalidValue;
    *stream = reinterpret_cast<cudaStream_t>(streams().create(flags == cudaStreamDefault).get());
    return cudaSuccess;
  });
}
cudaError_t cudaStreamCreate(cudaStream_t* stream) {
  return cudaStreamCreateWithFlags(stream, cudaStreamDefault);
}
cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned flags, int /*priority*/) {
  return cudaStreamCreateWithFlags(stream, flags);
}
cudaError_t cudaStreamDestroy(cudaStream_t handle) {
  return call_with_stream(handle, [](const std::shared_ptr<Stream>& stream) {
    if (stream == streams().legacy() || stream == streams().per_thread())
      return cudaErrorInvalidResourceHandle;
    streams().retire(stream);
    return cudaSuccess;
  });
}
cudaError_t cudaStreamGetFlags(cudaStream_t handle, unsigned* flags) {
  return call_with_stream(handle, [&](const std::shared_ptr<Stream>& stream) {
    *flags = stream->blocking ? cudaStreamDefault : cudaStreamNonBlocking;
    return cudaSuccess;
  });
}
cudaError_t cudaStreamSynchronize(cudaStream_t handle) {
  return call_with_stream(handle, [](const std::shared_ptr<Stream>& stream) {
    streams().run_until(Streams::now(stream));
    return cudaSuccess;
  });
}
cudaError_t cudaStreamQuery(cudaStream_t handle) {
  return call_with_stream(handle,
                          [](const std::shared_ptr<Stream>& stream) { return query(Streams::now(stream)); });
}
cudaError_t cudaStreamWaitEvent(cudaStream_t handle, cudaEvent_t event_handle, unsigned /*flags*/) {
  return call_with_stream(handle, [&](const std::shared_ptr<Stream>& stream) {
    const Event* const event = event_of(event_handle);
    if (event == nullptr) return cudaErrorInvalidResourceHandle;
    streams().enqueue_wait(stream, event->point);
    return cudaSuccess;
  });
}
cudaError_t cudaLaunchHostFunc(cudaStream_t handle, cudaHostFn_t function, void* data) {
  return call_with_stream(handle, [&](const std::shared_ptr<Stream>& stream) {
    streams().enqueue(stream, [=] { function(data); });
    return cudaSuccess;
  });
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  return call([&] {
    auto* const made = new Event;
    made->timed = (flags & cudaEventDisableTiming) == 0;
    events().insert(made);
    *event = reinterpret_cast<cudaEvent_t>(made);
    return cudaSuccess;
  });
}
cudaError_t cudaEventCreate(cudaEvent_t* event) { return cudaEventCreateWithFlags(event, cudaEventDefault); }
cudaError_t cudaEventDestroy(cudaEvent_t handle) {
  return call_with_event(handle, [](Event& event) {
    events().erase(&event);
    delete &event;
    return cudaSuccess;
  });
}
cudaError_t cudaEventRecordWithFlags(cudaEvent_t handle, cudaStream_t stream_handle, unsigned /*flags*/) {
  return call_with_event(handle, [&](Event& event) {
    const auto stream = stream_of(stream_handle);
    if (stream == nullptr) return cudaErrorInvalidResourceHandle;
    event.time = std::make_shared<Clock::time_point>();
    streams().enqueue(stream, [time = event.time] { *time = Clock::now(); });
    event.point = Streams::now(stream);
    return cudaSuccess;
  });
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  return cudaEventRecordWithFlags(event, stream, 0);
}
cudaError_t cudaEventSynchronize(cudaEvent_t handle) {
  return call_with_event(handle, [](const Event& event) {
    streams().run_until(Point(event.point));
    return cudaSuccess;
  });
}
cudaError_t cudaEventQuery(cudaEvent_t handle) {
  return call_with_event(handle, [](const Event& event) { return query(Point(event.point)); });
}
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t from, cudaEvent_t to) {
  return call([&] {
    const Event* const first = event_of(from);
    const Event* const last = event_of(to);
    if (first == nullptr || last == nullptr || !first->time || !last->time || !first->timed || !last->timed) {
      return cudaErrorInvalidResourceHandle;
    }
    if (!first->point.reached() || !last->point.reached()) return cudaErrorNotReady;
    *milliseconds = std::chrono::duration<float, std::milli>(*last->time - *first->time).count();
    return cudaSuccess;
  });
}

cudaError_t cudaStreamBeginCapture(cudaStream_t /*stream*/, cudaStreamCaptureMode /*mode*/) {
  return no_capture("cudaStreamBeginCapture");
}
cudaError_t cudaStreamEndCapture(cudaStream_t /*stream*/, cudaGraph_t* /*graph*/) {
  return no_capture("cudaStreamEndCapture");
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* /*executable*/, cudaGraph_t /*graph*/,
                                 unsigned long long /*flags*/) {
  return no_capture("cudaGraphInstantiate");
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t /*executable*/, cudaStream_t /*stream*/) {
  return no_capture("cudaGraphLaunch");
}
cudaError_t cudaGraphDestroy(cudaGraph_t /*graph*/) { return no_capture("cudaGraphDestroy"); }
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t /*executable*/) {
  return no_capture("cudaGraphExecDestroy");
}
cudaError_t cudaStreamIsCapturing(cudaStream_t handle, cudaStreamCaptureStatus* status) {
  return call_with_stream(handle, [&](const std::shared_ptr<Stream>&) {
    *status = cudaStreamCaptureStatusNone;
    return cudaSuccess;
  });
}

}  // extern "C"
