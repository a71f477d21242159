#include "tokenizer/tokenizer.h"

#include "target.h"

using namespace fovea;  // NOLINT(google-build-using-namespace)

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::filesystem::path file = fuzz::folder().write("tokenizer.model", fuzz::text_of(data, size));
  fuzz::may_refuse([&] {
    const Tokenizer tokenizer = open_tokenizer(file.string());
    const std::string text = "A tokenizer's text: 12 \xc3\xa9t\xc3\xa9s,\n\tand \xff bytes. <s></s>";
    const Encoding encoding = tokenizer.encode_with_special(text);
    tokenizer.decode(encoding.ids);
  });
  return 0;
}
