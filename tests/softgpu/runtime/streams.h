#pragma once

// Streams: work that is enqueued, and done when somebody waits for it.

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <vector>

namespace softgpu {

struct Stream;

/// A place in a stream: behind its first `count` items.
struct Point {
  std::shared_ptr<Stream> stream;
  uint64_t count = 0;
  bool reached() const;
};

struct Event {
  Point point;  // where it was recorded last; no stream: nowhere
  std::shared_ptr<std::chrono::steady_clock::time_point> time;
  bool timed = true;
};

struct Stream {
  struct Item {
    std::function<void()> run;  // empty: waits for `after`
    Point after;
  };
  bool blocking = true;  // in order with the legacy default stream
  std::deque<Item> items;
  uint64_t enqueued = 0, done = 0;
};

/// All streams of the process. Nothing runs before somebody waits; then only what the wait needs runs, and
/// where it needs several streams, those that were created last run first. A program that forgot to order two
/// streams by an event therefore sees the order it did not think of.
class Streams {
 public:
  Streams();

  const std::shared_ptr<Stream>& legacy() const { return streams_[0]; }
  const std::shared_ptr<Stream>& per_thread() const { return streams_[1]; }
  std::shared_ptr<Stream> create(bool blocking);
  /// The stream is unknown from here on; its work is still done.
  void retire(const std::shared_ptr<Stream>& stream);
  /// The stream of this address, if there is one.
  std::shared_ptr<Stream> find(const void* address) const;

  void enqueue(const std::shared_ptr<Stream>& stream, std::function<void()> run);
  void enqueue_wait(const std::shared_ptr<Stream>& stream, const Point& after);
  static Point now(const std::shared_ptr<Stream>& stream) { return {stream, stream->enqueued}; }

  /// Does what is needed to reach the point.
  void run_until(const Point& point);
  /// Does everything.
  void run_all();
  /// Does one item of what is needed to reach the point, which is not reached.
  void step_towards(const Point& point);

 private:
  void order_after_legacy(const std::shared_ptr<Stream>& stream);

  std::vector<std::shared_ptr<Stream>> streams_;  // in the order of creation; [0] legacy, [1] per thread
  std::vector<std::shared_ptr<Stream>> retired_;  // that still have work
};

Streams& streams();

}  // namespace softgpu
