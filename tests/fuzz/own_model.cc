#include "experiments/model_file.h"
#include "target.h"

using namespace fovea;  // NOLINT(google-build-using-namespace)

// A checkpoint or model.safetensors of fovea.
int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::filesystem::path file = fuzz::folder().write("own.safetensors", fuzz::text_of(data, size));
  fuzz::may_refuse([&] {
    const StoredModel model = open_model(file);
    read_all(model.parameters, model.layout);
  });
  return 0;
}
