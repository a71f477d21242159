#include "experiments/initial_model.h"

#include "convert/hugging_face.h"
#include "convert/hugging_face_config.h"
#include "core/hash.h"
#include "train/checkpoint.h"
#include "train/initial_weights.h"

namespace fovea {
namespace {

namespace fs = std::filesystem;

InitialModel of_folder(const fs::path& folder) {
  const HuggingFaceConfig config = read_hugging_face_config(folder / "config.json");
  InitialModel initial{config.model, ""};
  initial.model.vocab = config.vocabulary;
  for (const char* name : {"tokenizer.json", "tokenizer.model"})
    if (initial.tokenizer.empty() && fs::is_regular_file(folder / name))
      initial.tokenizer = (folder / name).string();
  return initial;
}

std::string hash_of_file(const fs::path& path) {
  const MappedFile file(path);
  const std::string hash = hash128(file.bytes());
  release_pages(file.bytes());
  return hash;
}

}  // namespace

std::optional<InitialModel> read_initial_model(const std::string& path) {
  if (is_hugging_face_model(path)) return of_folder(path);
  const SafeTensors file(initial_weights_file(path));
  if (!file.metadata().contains("format")) return std::nullopt;
  const Config config = config_from_text(checkpoint_info(file).config, file.path().string() + ": config");
  return InitialModel{config.model, config.data.tokenizer};
}

std::string hash_of_initial_weights(const std::string& path) {
  if (!is_hugging_face_model(path)) return hash_of_file(initial_weights_file(path));
  std::string hashes = hash_of_file(fs::path(path) / "config.json");
  const TensorFiles tensors = TensorFiles::of_folder(path);
  for (const auto& file : tensors.files()) hashes += hash_of_file(file->path());
  return hash128(hashes);
}

}  // namespace fovea
