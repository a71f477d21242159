#include <cstring>

#include "convert/hugging_face.h"
#include "target.h"

using namespace fovea;  // NOLINT(google-build-using-namespace)

// A Hugging Face folder: config.json, an index and a shard, each after its length in two bytes; without an
// index the rest is model.safetensors.
int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view rest = fuzz::text_of(data, size);
  const auto part = [&] {
    uint16 length = 0;
    std::memcpy(&length, rest.data(), std::min(rest.size(), sizeof(length)));
    rest.remove_prefix(std::min(rest.size(), sizeof(length)));
    const std::string_view text = rest.substr(0, length);
    rest.remove_prefix(text.size());
    return text;
  };
  const std::filesystem::path folder = fuzz::folder().path() / "model";
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder);
  fuzz::folder().write("model/config.json", part());
  if (const std::string_view index = part(); !index.empty()) {
    fuzz::folder().write("model/model.safetensors.index.json", index);
    fuzz::folder().write("model/a.safetensors", part());
    fuzz::folder().write("model/b.safetensors", rest);
  } else {
    fuzz::folder().write("model/model.safetensors", rest);
  }
  fuzz::may_refuse([&] {
    const StoredModel model = open_hugging_face(folder);
    // What is read is as large as the file is.
    read_all(model.parameters, model.layout);
  });
  return 0;
}
