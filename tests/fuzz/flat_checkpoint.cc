#include "convert/flat_checkpoint.h"
#include "target.h"

using namespace fovea;  // NOLINT(google-build-using-namespace)

// A checkpoint of llm.c or llama2.c.
int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::filesystem::path file = fuzz::folder().write("flat.bin", fuzz::text_of(data, size));
  fuzz::may_refuse([&] {
    const StoredModel model = open_flat_checkpoint(file);
    read_all(model.parameters, model.layout);
  });
  return 0;
}
