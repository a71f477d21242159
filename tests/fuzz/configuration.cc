#include "config/explain.h"
#include "config/load.h"
#include "target.h"

using namespace fovea;  // NOLINT(google-build-using-namespace)

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::filesystem::path file = fuzz::folder().write("x.toml", fuzz::text_of(data, size));
  fuzz::may_refuse([&] { explain(load_config(file)); });
  fuzz::may_refuse([&] { config_from_text(fuzz::text_of(data, size), "x"); });
  return 0;
}
