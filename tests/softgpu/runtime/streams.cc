#include "runtime/streams.h"

#include <algorithm>
#include <utility>

#include "runtime/status.h"

namespace softgpu {

bool Point::reached() const { return stream == nullptr || stream->done >= count; }

Streams::Streams() : streams_{std::make_shared<Stream>(), std::make_shared<Stream>()} {}

std::shared_ptr<Stream> Streams::create(bool blocking) {
  streams_.push_back(std::make_shared<Stream>());
  streams_.back()->blocking = blocking;
  return streams_.back();
}

void Streams::retire(const std::shared_ptr<Stream>& stream) {
  std::erase_if(retired_, [](const auto& old) { return old->items.empty(); });
  if (!stream->items.empty()) retired_.push_back(stream);
  std::erase(streams_, std::shared_ptr<Stream>(stream));
}

std::shared_ptr<Stream> Streams::find(const void* address) const {
  const auto found = std::find_if(streams_.begin(), streams_.end(),
                                  [&](const auto& stream) { return stream.get() == address; });
  return found == streams_.end() ? nullptr : *found;
}

// The legacy default stream waits for what blocking streams have, and they wait for what it has (CUDA runtime
// API, "Stream synchronization behavior").
void Streams::order_after_legacy(const std::shared_ptr<Stream>& stream) {
  if (stream == legacy()) {
    for (const auto* group : {&streams_, &retired_}) {
      for (const auto& other : *group) {
        if (other != stream && other->blocking) enqueue_wait(stream, now(other));
      }
    }
  } else if (stream->blocking) {
    enqueue_wait(stream, now(legacy()));
  }
}

void Streams::enqueue(const std::shared_ptr<Stream>& stream, std::function<void()> run) {
  order_after_legacy(stream);
  stream->items.push_back({std::move(run), {}});
  ++stream->enqueued;
}

void Streams::enqueue_wait(const std::shared_ptr<Stream>& stream, const Point& after) {
  if (after.reached()) return;
  stream->items.push_back({nullptr, after});
  ++stream->enqueued;
}

void Streams::step_towards(const Point& point) {
  Stream& stream = *point.stream;
  Stream::Item& next = stream.items.front();
  if (!next.after.reached()) {
    step_towards(Point(next.after));
    return;
  }
  const Stream::Item item = std::move(next);
  stream.items.pop_front();
  ++stream.done;
  // After a fault nothing more runs on the device.
  if (item.run && device_error() == cudaSuccess) item.run();
}

void Streams::run_until(const Point& point) {
  while (!point.reached()) step_towards(point);
}

void Streams::run_all() {
  // By index from the end: a host function may not create streams, but its item may be the last of a retired
  // one.
  for (const auto* group : {&retired_, &streams_}) {
    for (size_t i = group->size(); i-- > 0;) run_until(now((*group)[i]));
  }
}

Streams& streams() {
  static auto& all = *new Streams;
  return all;
}

}  // namespace softgpu
