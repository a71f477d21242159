#include "convert/tensor_files.h"

#include "core/error.h"
#include "core/file.h"
#include "core/json.h"

namespace fovea {
namespace {

namespace fs = std::filesystem;
constexpr const char* kOneFile = "model.safetensors";
constexpr const char* kIndex = "model.safetensors.index.json";

// A file of the index's own folder, and no other.
bool is_plain_name(const std::string& name) {
  return name.ends_with(".safetensors") && name.find('/') == name.npos && name.find('\0') == name.npos &&
         name.size() < 200;
}

}  // namespace

TensorFiles::TensorFiles(const fs::path& path) : path_(path) {
  files_.push_back(std::make_shared<const SafeTensors>(path));
  for (const auto& [name, tensor] : files_[0]->tensors()) where_[name] = 0;
}

TensorFiles TensorFiles::of_folder(const fs::path& folder) {
  std::error_code error;
  if (fs::exists(folder / kOneFile, error)) return TensorFiles(folder / kOneFile);
  const fs::path index = folder / kIndex;
  if (!fs::exists(index, error)) fail_input("{}: holds neither {} nor {}", folder.string(), kOneFile, kIndex);
  const nlohmann::json json = read_json(index);
  const auto map = json.find("weight_map");
  if (!json.is_object() || map == json.end() || !map->is_object() || map->empty())
    fail_input("{}: has no weight_map that names each tensor's file", index.string());
  TensorFiles result;
  result.path_ = index;
  std::map<std::string, size_t> opened;
  for (const auto& [tensor, file] : map->items()) {
    if (!file.is_string() || !is_plain_name(file.get<std::string>()))
      fail_input("{}: tensor {} is said to be in {}: must be a .safetensors file of the same folder",
                 index.string(), printable(tensor), printable_json(file));
    const auto name = file.get<std::string>();
    const auto [at, is_new] = opened.emplace(name, result.files_.size());
    if (is_new) result.files_.push_back(std::make_shared<const SafeTensors>(folder / name));
    if (result.files_[at->second]->left_out(tensor)) continue;
    result.where_[tensor] = at->second;
    if (!result.files_[at->second]->has(tensor))
      fail_input("{}: tensor {} is not in {}, where it is said to be", index.string(), printable(tensor),
                 printable(name));
  }
  for (size_t i = 0; i < result.files_.size(); ++i)
    for (const auto& [name, tensor] : result.files_[i]->tensors())
      if (const auto at = result.where_.find(name); at == result.where_.end() || at->second != i)
        fail_input("{}: holds tensor {}, which {} does not say", result.files_[i]->path().string(),
                   printable(name), kIndex);
  return result;
}

const SafeTensors& TensorFiles::file_of(std::string_view name) const {
  const auto found = where_.find(name);
  if (found == where_.end()) fail_input("{}: holds no tensor {}", path_.string(), name);
  return *files_[found->second];
}

std::vector<std::string_view> TensorFiles::names() const {
  std::vector<std::string_view> names;
  for (const auto& [name, file] : where_) names.push_back(name);
  return names;
}

int64 TensorFiles::elements() const {
  int64 n = 0;
  for (const auto& file : files_)
    for (const auto& [name, tensor] : file->tensors()) n += tensor.elements();
  return n;
}

const SafeTensors::Tensor& TensorFiles::tensor(std::string_view name) const {
  return file_of(name).tensor(name);
}

std::span<const std::byte> TensorFiles::bytes(std::string_view name) const {
  const SafeTensors& file = file_of(name);
  return file.bytes(file.tensor(name));
}

}  // namespace fovea
