#include "convert/safetensors.h"

#include "target.h"

using namespace fovea;  // NOLINT(google-build-using-namespace)

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::filesystem::path file = fuzz::folder().write("x.safetensors", fuzz::text_of(data, size));
  fuzz::may_refuse([&] {
    const SafeTensors tensors(file);
    for (const auto& [name, tensor] : tensors.tensors()) tensors.read_f32(name);
  });
  return 0;
}
