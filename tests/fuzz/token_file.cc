#include "data/token_files.h"

#include "target.h"

using namespace fovea;  // NOLINT(google-build-using-namespace)

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::filesystem::path file = fuzz::folder().write("x.bin", fuzz::text_of(data, size));
  fuzz::may_refuse([&] {
    const TokenFiles tokens({file.string()}, 0);
    std::vector<int32> values(static_cast<size_t>(tokens.tokens()));
    tokens.read(0, tokens.tokens(), values.data());
    for (const int32 value : values)
      FOVEA_CHECK(0 <= value && value < tokens.vocabulary(), "token {}", value);
  });
  return 0;
}
