#include "experiments/devices.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>
#include <thread>

#include "core/device.h"
#include "experiments/progress_line.h"
#include "kernels/attention/attention.h"
#include "kernels/simd/instruction_set.h"
#include "record/provenance.h"

namespace fovea {
namespace {

bool on_path(const std::string& program) {
  const char* path = std::getenv("PATH");
  std::string rest = path ? path : "";
  while (!rest.empty()) {
    const size_t colon = rest.find(':');
    const std::string file = rest.substr(0, colon) + "/" + program;
    if (::access(file.c_str(), X_OK) == 0) return true;
    rest = colon == std::string::npos ? "" : rest.substr(colon + 1);
  }
  return false;
}

}  // namespace

std::string describe_devices() {
  const Provenance machine = collect_provenance(0, "", {});
  std::string text =
      fmt::format("processor  {}, {} cores, up to {}\n", machine.cpu, machine.cores, machine.instruction_set);
  for (const InstructionSet set : instruction_sets())
    text += fmt::format("kernels    {:<11} {}{}\n", name_of(set), describe(set),
                        set == instruction_set() ? " (in use)" : "");
  text += fmt::format("threads    {} at once\n", std::thread::hardware_concurrency());
  text += fmt::format("memory     {}\n", bytes_text(machine.memory_bytes));
  for (const AttentionBackend* backend : attention_backends())
    text += fmt::format("backend    {:<10} {}\n", backend->name(), backend->description());
  if (const DeviceSearch& search = find_device(); search.device) {
    const DeviceInfo& gpu = *search.device;
    text += fmt::format("GPU        {}, compute capability {}.{}, {} multiprocessors, {}\n", gpu.name,
                        gpu.major, gpu.minor, gpu.multiprocessors, bytes_text(gpu.memory_bytes));
  } else {
    text += fmt::format("GPU        absent: {}\n", search.why_not);
  }
  for (const char* launcher : {"mpirun", "srun"})
    text += fmt::format(
        "launcher   {:<10} {}\n", launcher,
        on_path(launcher) ? "is installed, but this build starts local processes alone" : "absent");
  return text;
}

}  // namespace fovea
