#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "convert/safetensors.h"

namespace fovea {

/// The tensors of a model: one safetensors file, or the shards that an index names. All are mapped.
class TensorFiles {
 public:
  /// Of one file.
  explicit TensorFiles(const std::filesystem::path& path);
  /// model.safetensors of a Hugging Face folder; without one, the shards that model.safetensors.index.json
  /// names. Throws UserError (input): missing, damaged, an index that does not tell what its shards hold.
  static TensorFiles of_folder(const std::filesystem::path& folder);

  /// What holds the tensors, for messages: the file or the index.
  const std::filesystem::path& path() const { return path_; }
  bool has(std::string_view name) const { return where_.contains(name); }
  std::vector<std::string_view> names() const;
  int64 elements() const;
  /// One line where there is none.
  const SafeTensors::Tensor& tensor(std::string_view name) const;
  std::span<const std::byte> bytes(std::string_view name) const;
  const std::vector<std::shared_ptr<const SafeTensors>>& files() const { return files_; }

 private:
  TensorFiles() = default;
  const SafeTensors& file_of(std::string_view name) const;

  std::filesystem::path path_;
  std::vector<std::shared_ptr<const SafeTensors>> files_;
  std::map<std::string, size_t, std::less<>> where_;  ///< the file of each tensor
};

}  // namespace fovea
