#include "core/host_copy.h"

#include <algorithm>

#include "core/device.h"

namespace fovea {

HostCopy::HostCopy(const View& view, Fetch fetch) : view_(view) {
  if (!view || view.device() == Device::cpu) return;
  FOVEA_CHECK(view.contiguous(), "a host's copy of {} with gaps", view.describe());
  memory_ = Buffer(std::max<int64>(1, view.bytes()));  // never nothing: a copy is known by its memory
  copy_ = view.on(memory_.data(), Device::cpu);
  if (fetch == Fetch::now) device::copy(copy_.data(), view.data(), view.bytes());
}

void HostCopy::store() const {
  if (memory_.data()) device::copy(view_.data(), copy_.data(), view_.bytes());
}

DeviceCopy::DeviceCopy(const View& view, Device device) : view_(view) {
  if (!view || view.device() == device) return;
  FOVEA_CHECK(view.contiguous(), "a device's copy of {} with gaps", view.describe());
  memory_ = Buffer(std::max<int64>(1, view.bytes()), device);
  copy_ = view.on(memory_.data(), device);
  device::copy(copy_.data(), view.data(), view.bytes());
}

void DeviceCopy::fetch() const {
  if (memory_.data()) device::copy(view_.data(), copy_.data(), view_.bytes());
}

Buffer to_host(Buffer buffer) {
  if (buffer.device() == Device::cpu) return buffer;
  Buffer host(buffer.view().dtype(), {buffer.view().elements()});
  device::copy(host.data(), buffer.data(), buffer.bytes());
  return host;
}

}  // namespace fovea
