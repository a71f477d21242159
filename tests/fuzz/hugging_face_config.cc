#include "convert/hugging_face_config.h"

#include "convert/hugging_face_rope.h"
#include "model/families.h"
#include "model/rope.h"
#include "target.h"

using namespace fovea;  // NOLINT(google-build-using-namespace)

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::filesystem::path file = fuzz::folder().write("config.json", fuzz::text_of(data, size));
  fuzz::may_refuse([&] {
    const HuggingFaceConfig config = read_hugging_face_config(file);
    const DecoderShape shape = decoder_shape(config.model, config.vocabulary);
    rope_frequencies(shape.rope, 2 * shape.context);
    write_rope(config.model);
  });
  return 0;
}
