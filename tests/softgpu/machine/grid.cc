#include "machine/grid.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <new>

#include "machine/block_clock.h"
#include "machine/decode.h"
#include "machine/global_shadow.h"
#include "machine/launch_order.h"
#include "machine/machine.h"
#include "machine/runner.h"
#include "machine/shared_memory.h"
#include "machine/traffic.h"

namespace softgpu {
namespace {

constexpr uint64_t kMaxThreads = 1024;
constexpr uint64_t kMaxShared = 163 << 10;  // of a block, compute capability 8.0

Program& program_of(const Launch& launch) {
  static std::mutex mutex;
  static std::map<const ptx::Kernel*, std::unique_ptr<Program>> programs;
  const std::lock_guard lock(mutex);
  auto& program = programs[launch.kernel];
  if (program == nullptr) program = decode(*launch.module, *launch.kernel);
  return *program;
}

uint64_t volume(const Dim3& size) { return uint64_t{size.x} * size.y * size.z; }

void check_shape(const Launch& launch, const Program& program) {
  const auto& kernel = *launch.kernel;
  auto fail = [&](const std::string& text) {
    throw Fault("launch", fmt::format("kernel {}: {}", kernel.name, text));
  };
  const uint64_t threads = volume(launch.block);
  if (volume(launch.grid) == 0 || threads == 0) fail("an empty grid or block");
  if (launch.grid.y > 65535 || launch.grid.z > 65535 || launch.grid.x > 0x7FFFFFFF) {
    fail(fmt::format("a grid of {} x {} x {} blocks", launch.grid.x, launch.grid.y, launch.grid.z));
  }
  if (threads > kMaxThreads || launch.block.z > 64) fail(fmt::format("{} threads in a block", threads));
  if (kernel.max_threads != 0 && threads > kernel.max_threads) {
    fail(fmt::format("{} threads in a block, and it was built for {}", threads, kernel.max_threads));
  }
  const uint64_t shared = program.shared.dynamic_offset + launch.dynamic_shared_bytes;
  if (shared > kMaxShared) fail(fmt::format("{} bytes of shared memory, of {}", shared, kMaxShared));
  if (launch.parameters.size() != kernel.parameter_bytes) {
    fail(fmt::format("{} bytes of parameters, and it has {}", launch.parameters.size(),
                     kernel.parameter_bytes));
  }
}

struct Aligned {
  std::byte* bytes;
  explicit Aligned(size_t count)
      : bytes(static_cast<std::byte*>(::operator new (std::max<size_t>(count, 64), std::align_val_t{64}))) {}
  ~Aligned() { ::operator delete (bytes, std::align_val_t{64}); }
  Aligned(const Aligned&) = delete;
  Aligned& operator=(const Aligned&) = delete;
};

// What a special register is in a lane.
class Specials {
 public:
  explicit Specials(const Machine& machine) : m_(machine) {}

  uint64_t value(std::string_view name, const Warp& warp, uint32_t lane) const {
    const Dim3& block = m_.launch->block;
    const Dim3& grid = m_.launch->grid;
    const uint32_t thread = warp.index * kLanes + lane;
    if (name.starts_with("%tid.")) {
      return pick(name, {thread % block.x, thread / block.x % block.y, thread / block.x / block.y});
    }
    if (name.starts_with("%ntid.")) return pick(name, block);
    if (name.starts_with("%ctaid.")) return pick(name, m_.block_index);
    if (name.starts_with("%nctaid.")) return pick(name, grid);
    if (name == "%laneid") return lane;
    if (name == "%warpid") return warp.index;
    if (name == "%nwarpid") return m_.warps.size();
    if (name == "%nsmid") return 1;
    if (name == "%lanemask_eq") return 1U << lane;
    if (name == "%lanemask_lt") return (1U << lane) - 1;
    if (name == "%lanemask_le") return (uint64_t{2} << lane) - 1;
    if (name == "%lanemask_gt") return ~((uint64_t{2} << lane) - 1);
    if (name == "%lanemask_ge") return ~((uint64_t{1} << lane) - 1);
    if (name == "%dynamic_smem_size") return m_.launch->dynamic_shared_bytes;
    if (name == "%total_smem_size") return m_.shared->size();
    return 0;  // %smid, %gridid
  }

 private:
  static uint32_t pick(std::string_view name, const Dim3& from) {
    return name.back() == 'x' ? from.x : name.back() == 'y' ? from.y : from.z;
  }
  const Machine& m_;
};

void write_preset(const Preset& preset, std::byte* at, int lane, uint64_t value) {
  std::memcpy(at + preset.offset + static_cast<size_t>(lane) * preset.width, &value, preset.width);
}

void fill_presets(const Machine& m, bool first_block) {
  const Specials specials(m);
  for (const Preset& preset : m.program->presets) {
    const bool special = !preset.special.empty();
    if (!first_block && !preset.special.starts_with("%ctaid")) continue;
    for (const Warp& warp : m.warps) {
      for (int lane = 0; lane < kLanes; ++lane) {
        const uint64_t value =
            special ? specials.value(preset.special, warp, static_cast<uint32_t>(lane)) : preset.bits;
        write_preset(preset, warp.registers, lane, value);
      }
    }
  }
}

void begin_block(Machine& m, uint64_t number) {
  const Dim3& grid = m.launch->grid;
  m.block = number;
  m.block_index = {static_cast<uint32_t>(number % grid.x), static_cast<uint32_t>(number / grid.x % grid.y),
                   static_cast<uint32_t>(number / grid.x / grid.y)};
  m.clock->begin_block();
  m.shared->begin_block();
  m.order->begin_block(number);
  m.global->begin_block(number);
  for (Warp& warp : m.warps) {
    warp.live = warp.born;
    warp.state = Warp::State::ready;
    warp.groups.assign(1, {0, warp.born, false});
    warp.copies_used = 0;
    std::fill(std::begin(warp.committed), std::end(warp.committed), 0);
  }
  fill_presets(m, number == 0);
}

void count(const Program& program, const Launch& launch, KernelCounters& counters) {
  ++counters.launches;
  counters.blocks += volume(launch.grid);
  counters.block_threads = std::max(counters.block_threads, volume(launch.block));
  counters.dynamic_shared_bytes =
      std::max<uint64_t>(counters.dynamic_shared_bytes, launch.dynamic_shared_bytes);
  for (size_t i = 0; i < program.ops.size(); ++i) {
    counters.warp_instructions += program.warp_counts[i];
    counters.thread_instructions += program.thread_counts[i];
    counters.threads_by_kind[static_cast<size_t>(program.ops[i].kind)] += program.thread_counts[i];
  }
}

}  // namespace

void Machine::fault(const Op& op, int lane, std::string_view kind, std::string_view text) const {
  const auto& source = *op.source;
  std::string where = fmt::format("kernel {}, block ({}, {}, {})", launch->kernel->name, block_index.x,
                                  block_index.y, block_index.z);
  if (lane < 0) {
    where += fmt::format(", warp {}", warp->index);
  } else {
    const uint32_t thread = warp->index * kLanes + static_cast<uint32_t>(lane);
    const Dim3& size = launch->block;
    where += fmt::format(", thread ({}, {}, {})", thread % size.x, thread / size.x % size.y,
                         thread / size.x / size.y);
  }
  where += fmt::format(", {} at PTX line {}", source.opcode, source.line);
  const auto& files = program->module->files;
  if (source.file > 0 && static_cast<size_t>(source.file) < files.size()) {
    where += fmt::format(", {}:{}", files[source.file], source.source_line);
  }
  throw Fault(std::string(kind), fmt::format("{}: {}", where, text));
}

void check_launch(const Launch& launch) { check_shape(launch, program_of(launch)); }

void run_grid(const Launch& launch, GlobalMemory& memory, Counters& counters) {
  Program& program = program_of(launch);
  check_shape(launch, program);
  const uint64_t threads = volume(launch.block);
  const auto warps = static_cast<uint32_t>((threads + kLanes - 1) / kLanes);
  BlockClock clock(warps);
  SharedMemory shared(program.shared.dynamic_offset + launch.dynamic_shared_bytes, program.shared_granule,
                      clock);
  BankCounter banks;
  LaunchOrder order(clock);
  GlobalShadow global(program.global_granule, clock, order);
  Machine m;
  m.program = &program;
  m.launch = &launch;
  m.memory = &memory;
  m.clock = &clock;
  m.shared = &shared;
  m.banks = &banks;
  m.order = &order;
  m.global = &global;
  m.counters = &counters[launch.kernel->name];
  m.warps.resize(warps);
  const Aligned registers(size_t{warps} * program.register_bytes);
  const Aligned local(size_t{warps} * kLanes * program.local_bytes);
  std::memset(registers.bytes, 0xFF, size_t{warps} * program.register_bytes);
  for (uint32_t w = 0; w < warps; ++w) {
    Warp& warp = m.warps[w];
    warp.index = w;
    warp.born = threads - uint64_t{w} * kLanes >= kLanes ? kAllLanes : (1U << (threads % kLanes)) - 1;
    warp.registers = registers.bytes + size_t{w} * program.register_bytes;
    warp.local = local.bytes + size_t{w} * kLanes * program.local_bytes;
  }
  std::fill(program.warp_counts.begin(), program.warp_counts.end(), 0);
  std::fill(program.thread_counts.begin(), program.thread_counts.end(), 0);
  Runner runner(m);
  const uint64_t blocks = volume(launch.grid);
  for (uint64_t block = 0; block < blocks; ++block) {
    begin_block(m, block);
    runner.run_block();
  }
  count(program, launch, *m.counters);
}

}  // namespace softgpu
