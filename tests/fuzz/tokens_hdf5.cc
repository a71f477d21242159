#include "experiments/tokens.h"
#include "target.h"

using namespace fovea;  // NOLINT(google-build-using-namespace)

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::filesystem::path file = fuzz::folder().write("tokens.h5", fuzz::text_of(data, size));
  DecoderShape shape;
  shape.vocab = 101;
  shape.context = 48;
  fuzz::may_refuse([&] { read_tokens(file, shape); });
  return 0;
}
