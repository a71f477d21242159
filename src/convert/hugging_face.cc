#include "convert/hugging_face.h"

#include <algorithm>
#include <set>
#include <string>
#include <string_view>

#include "convert/hugging_face_config.h"
#include "core/error.h"
#include "core/json.h"
#include "model/families.h"

namespace fovea {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kBuffers[] = {".attn.bias", ".attn.masked_bias", ".attention.bias",
                                         ".attention.masked_bias", ".rotary_emb.inv_freq"};
constexpr std::string_view kCompanions[] = {
    "config.json",     "generation_config.json",  "tokenizer.json",    "tokenizer_config.json",
    "tokenizer.model", "special_tokens_map.json", "added_tokens.json", "vocab.json",
    "merges.txt",      "chat_template.jinja"};
constexpr int64 kLargestCompanion = int64{1} << 26;

// A tensor that nobody reads is a feature that would be missing. Buffers of older files, and the head of tied
// models, are none.
void expect_all_used(const TensorFiles& files, const std::vector<FileTensor>& tensors, bool tied) {
  std::set<std::string_view> used;
  for (const FileTensor& tensor : tensors) used.insert(tensor.name);
  for (const std::string_view name : files.names()) {
    const bool head = tied && is_head(name);
    const bool buffer = std::any_of(std::begin(kBuffers), std::end(kBuffers),
                                    [&](std::string_view end) { return name.ends_with(end); });
    if (!used.contains(name) && !head && !buffer)
      fail_input("{}: tensor {} has no place in the model that config.json describes", files.path().string(),
                 printable(name));
  }
}

// A head beside the embedding that it is tied to: transformers 5 unties those that differ, 4 did not.
void expect_tied_head(const TensorFiles& files, const std::string& embedding) {
  for (const std::string_view name : files.names()) {
    if (!is_head(name)) continue;
    const std::span<const std::byte> head = files.bytes(name), same = files.bytes(embedding);
    if (files.tensor(name).dtype != files.tensor(embedding).dtype ||
        !std::equal(head.begin(), head.end(), same.begin(), same.end()))
      fail_input(
          "{}: tensor {} differs from {}, to which config.json ties it: set tie_word_embeddings to false, or "
          "remove the tensor",
          files.path().string(), name, embedding);
    release_pages(head);
  }
}

std::map<std::string, std::string> companions_of(const fs::path& folder) {
  std::map<std::string, std::string> companions;
  for (const std::string_view name : kCompanions) {
    const fs::path file = folder / name;
    std::error_code error;
    if (!fs::is_regular_file(file, error)) continue;
    if (static_cast<int64>(fs::file_size(file, error)) > kLargestCompanion)
      fail_input("{}: {} bytes are more than such a file holds", file.string(), fs::file_size(file, error));
    companions[std::string(name)] = read_file(file);
  }
  return companions;
}

}  // namespace

bool is_hugging_face_model(const fs::path& folder) {
  std::error_code error;
  return fs::is_regular_file(folder / "config.json", error);
}

bool is_companion(std::string_view file_name) {
  return std::find(std::begin(kCompanions), std::end(kCompanions), file_name) != std::end(kCompanions);
}

StoredModel open_hugging_face(const fs::path& folder) {
  const HuggingFaceConfig config = read_hugging_face_config(folder / "config.json");
  const auto files = std::make_shared<const TensorFiles>(TensorFiles::of_folder(folder));
  StoredModel model;
  model.config = config.model;
  model.vocabulary = config.vocabulary;
  model.layout = layout_of(decoder_shape(config.model, config.vocabulary));
  model.tensors = hugging_face_tensors(config.model_type, model.layout);
  model.bare_names = !files->has(model.tensors.front().name);
  if (model.bare_names) model.tensors = hugging_face_tensors(config.model_type, model.layout, true);
  model.parameters = stored_parameters(files, model.tensors, model.layout, config.model.head_dim);
  const bool tied = model.layout.find("head.weight") == kNoParameter;
  expect_all_used(*files, model.tensors, tied);
  if (tied) expect_tied_head(*files, model.tensors.front().name);
  model.companions = companions_of(folder);
  return model;
}

}  // namespace fovea
