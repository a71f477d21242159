#include "runtime/copies.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <iterator>
#include <list>
#include <string>
#include <utility>
#include <vector>

#include "memory/global_memory.h"
#include "runtime/status.h"

namespace softgpu {

namespace {

uint64_t number(const void* address) { return reinterpret_cast<uint64_t>(address); }
std::byte* bytes_of(const void* device) {
  return global_memory().data + (number(device) - global_memory().base);
}
uint8_t* states_of(const void* device) {
  return global_memory().state + (number(device) - global_memory().base);
}

// Bytes from the first to behind the last, over all rows.
size_t extent(const Copy& copy, size_t pitch) { return (copy.height - 1) * pitch + copy.width; }

// Host ranges that enqueued copies have still to read: these are not to be poisoned.
using Reads = std::list<std::pair<uint64_t, size_t>>;
Reads& pending_reads() {
  static auto& reads = *new Reads;
  return reads;
}

bool still_to_be_read(const void* address, size_t bytes) {
  const auto& reads = pending_reads();
  return std::any_of(reads.begin(), reads.end(), [&](const auto& read) {
    return read.first < number(address) + bytes && number(address) < read.first + read.second;
  });
}

template <class Address>
Address row(Address base, size_t i, size_t pitch) {
  return base + i * pitch;
}

void move_row(void* to, const void* from, size_t bytes) {
  const void* const source = on_device(from) ? bytes_of(from) : from;
  void* const target = on_device(to) ? bytes_of(to) : to;
  std::memmove(target, source, bytes);
  if (!on_device(to)) return;
  if (on_device(from)) {
    std::memmove(states_of(to), states_of(from), bytes);  // what was not written stays so
  } else {
    global_memory().mark_written(number(to), bytes);
  }
}

void run(const Copy& copy) {
  for (size_t i = 0; i < copy.height; ++i) {
    move_row(row(static_cast<std::byte*>(copy.to), i, copy.to_pitch),
             row(static_cast<const std::byte*>(copy.from), i, copy.from_pitch), copy.width);
  }
}

cudaError_t judge_address(const char* call, const char* role, const void* address, size_t bytes,
                          bool device) {
  if (on_device(address) != device) {
    return refuse(cudaErrorInvalidValue, fmt::format("{}: the {} {} is {} memory", call, role, address,
                                                     device ? "no device" : "device"));
  }
  if (device && !global_memory().allocated(number(address), bytes)) {
    return refuse(cudaErrorInvalidValue, fmt::format("{}: {} bytes of the {}: {}", call, bytes, role,
                                                     global_memory().describe(number(address))));
  }
  return cudaSuccess;
}

cudaError_t judge(const char* call, const Copy& copy, cudaMemcpyKind kind) {
  if (copy.height > 1 && (copy.width > copy.to_pitch || copy.width > copy.from_pitch)) {
    return refuse(cudaErrorInvalidValue,
                  fmt::format("{}: rows of {} bytes are wider than the pitch", call, copy.width));
  }
  const bool to_device = kind == cudaMemcpyDefault
                             ? on_device(copy.to)
                             : kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  const bool from_device = kind == cudaMemcpyDefault
                               ? on_device(copy.from)
                               : kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  const cudaError_t first =
      judge_address(call, "destination", copy.to, extent(copy, copy.to_pitch), to_device);
  return first != cudaSuccess
             ? first
             : judge_address(call, "source", copy.from, extent(copy, copy.from_pitch), from_device);
}

// The copy with its rows taken along: the host may do with them what it likes.
std::function<void()> staged(const Copy& copy) {
  std::vector<std::byte> rows(extent(copy, copy.from_pitch));
  std::memcpy(rows.data(), copy.from, rows.size());
  return [copy, rows = std::move(rows)] {
    Copy from_rows = copy;
    from_rows.from = rows.data();
    run(from_rows);
  };
}

std::function<void()> reading_later(const Copy& copy) {
  Reads& reads = pending_reads();
  reads.emplace_back(number(copy.from), extent(copy, copy.from_pitch));
  return [copy, &reads, read = std::prev(reads.end())] {
    run(copy);
    reads.erase(read);
  };
}

void poison(const Copy& copy) {
  for (size_t i = 0; i < copy.height; ++i) {
    std::byte* const start = row(static_cast<std::byte*>(copy.to), i, copy.to_pitch);
    if (!still_to_be_read(start, copy.width)) std::memset(start, 0xFF, copy.width);
  }
}

}  // namespace

std::map<uint64_t, size_t>::const_iterator PinnedMemory::range_of(const void* address) const {
  const auto above = ranges.upper_bound(number(address));
  if (above == ranges.begin()) return ranges.end();
  const auto found = std::prev(above);
  return number(address) - found->first < found->second ? found : ranges.end();
}

bool PinnedMemory::contains(const void* address, size_t bytes) const {
  const auto found = range_of(address);
  return found != ranges.end() && bytes <= found->second - (number(address) - found->first);
}

PinnedMemory& pinned_memory() {
  static auto& memory = *new PinnedMemory;
  return memory;
}

bool on_device(const void* address) { return global_memory().contains(number(address)); }

cudaError_t enqueue_copy(const char* call, const Copy& copy, cudaMemcpyKind kind,
                         const std::shared_ptr<Stream>& stream) {
  if (copy.width == 0 || copy.height == 0) return cudaSuccess;
  const cudaError_t judged = judge(call, copy, kind);
  if (judged != cudaSuccess) return judged;
  if (on_device(copy.from)) {
    if (!on_device(copy.to)) poison(copy);
    streams().enqueue(stream, [copy] { run(copy); });
  } else if (pinned_memory().contains(copy.from, extent(copy, copy.from_pitch))) {
    streams().enqueue(stream, reading_later(copy));
  } else {
    streams().enqueue(stream, staged(copy));
  }
  return cudaSuccess;
}

cudaError_t enqueue_fill(const char* call, const Copy& rows, uint8_t value,
                         const std::shared_ptr<Stream>& stream) {
  if (rows.width == 0 || rows.height == 0) return cudaSuccess;
  const cudaError_t judged = judge_address(call, "destination", rows.to, extent(rows, rows.to_pitch), true);
  if (judged != cudaSuccess) return judged;
  streams().enqueue(stream, [rows, value] {
    for (size_t i = 0; i < rows.height; ++i) {
      std::byte* const start = row(static_cast<std::byte*>(rows.to), i, rows.to_pitch);
      std::memset(bytes_of(start), value, rows.width);
      global_memory().mark_written(number(start), rows.width);
    }
  });
  return cudaSuccess;
}

}  // namespace softgpu
