#include "train/device_room.h"

#include "core/device.h"
#include "core/error.h"

namespace fovea {
namespace {

double mebibytes(int64 bytes) { return static_cast<double>(bytes) / 0x1p20; }

// What would fit in so many bytes, as advice.
std::string advice(const Decoder& decoder, Config config, Backend backend, int threads, int64 bytes) {
  config.train.fit = fmt::format("{} MiB", bytes >> 20);
  try {
    const TrainingPlan plan = plan_training(decoder, config, backend, threads);
    return fmt::format("train.fit = \"{}\" would: {:.1f} MiB, recomputing {}", config.train.fit,
                       mebibytes(plan.predicted_bytes()), describe(plan.recompute, decoder.shape().layers));
  } catch (const UserError& nothing_fits) {
    return "nor would it with everything recomputed: lower train.grain";
  }
}

}  // namespace

TrainingPlan plan_that_fits(const Decoder& decoder, const Config& config, Backend backend, int threads) {
  TrainingPlan plan = plan_training(decoder, config, backend, threads);
  if (device_of(backend) == Device::cpu) return plan;
  const DeviceInfo& device = require_device();
  const int64 needed = plan.predicted_bytes(), free = device::free_bytes();
  if (needed > free)
    fail_run("training takes {:.1f} MiB of device memory, and {:.1f} of {:.1f} MiB on {} are free; {}",
             mebibytes(needed), mebibytes(free), mebibytes(device.memory_bytes), device.name,
             advice(decoder, config, backend, threads, free));
  return plan;
}

}  // namespace fovea
