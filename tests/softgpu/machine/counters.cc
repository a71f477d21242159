#include "machine/counters.h"

#include <fmt/format.h>

#include <algorithm>

namespace softgpu {
namespace {

std::string json(const Traffic& traffic) {
  return fmt::format(R"({{"accesses": {}, "actual": {}, "ideal": {}, "bytes": {}}})", traffic.accesses,
                     traffic.actual, traffic.ideal, traffic.bytes);
}

std::string json(const KernelCounters& kernel) {
  std::string kinds;
  for (size_t kind = 0; kind < kernel.threads_by_kind.size(); ++kind) {
    if (kernel.threads_by_kind[kind] == 0) continue;
    kinds += fmt::format("{}\"{}\": {}", kinds.empty() ? "" : ", ", name(static_cast<Kind>(kind)),
                         kernel.threads_by_kind[kind]);
  }
  return fmt::format(R"({{
    "launches": {}, "blocks": {}, "warp_instructions": {}, "thread_instructions": {},
    "block_threads": {}, "dynamic_shared_bytes": {},
    "threads_by_kind": {{{}}},
    "mma_flops": {},
    "shared_loads": {},
    "shared_stores": {},
    "global_loads": {},
    "global_stores": {}
  }})",
                     kernel.launches, kernel.blocks, kernel.warp_instructions, kernel.thread_instructions,
                     kernel.block_threads, kernel.dynamic_shared_bytes, kinds, kernel.mma_flops,
                     json(kernel.shared_loads), json(kernel.shared_stores), json(kernel.global_loads),
                     json(kernel.global_stores));
}

}  // namespace

const char* name(Kind kind) {
  static constexpr std::array<const char*, static_cast<size_t>(Kind::count)> names{
      "integer",   "floating",    "half",         "convert",     "compare",      "move",       "mma",
      "ldmatrix",  "shared_load", "shared_store", "global_load", "global_store", "async_copy", "local_memory",
      "parameter", "atomic",      "shuffle",      "barrier",     "branch",       "special"};
  return names[static_cast<size_t>(kind)];
}

void Traffic::add(const Traffic& other) {
  accesses += other.accesses;
  actual += other.actual;
  ideal += other.ideal;
  bytes += other.bytes;
}

void KernelCounters::add(const KernelCounters& other) {
  launches += other.launches;
  blocks += other.blocks;
  warp_instructions += other.warp_instructions;
  thread_instructions += other.thread_instructions;
  block_threads = std::max(block_threads, other.block_threads);
  dynamic_shared_bytes = std::max(dynamic_shared_bytes, other.dynamic_shared_bytes);
  for (size_t kind = 0; kind < threads_by_kind.size(); ++kind)
    threads_by_kind[kind] += other.threads_by_kind[kind];
  mma_flops += other.mma_flops;
  shared_loads.add(other.shared_loads);
  shared_stores.add(other.shared_stores);
  global_loads.add(other.global_loads);
  global_stores.add(other.global_stores);
}

std::string to_json(const Counters& counters) {
  std::string text = "{";
  for (const auto& [kernel, values] : counters) {
    text += fmt::format("{}\n  \"{}\": {}", text.size() == 1 ? "" : ",", kernel, json(values));
  }
  return text + "\n}\n";
}

}  // namespace softgpu
