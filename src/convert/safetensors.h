#pragma once

#include <filesystem>
#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/file.h"
#include "core/view.h"

namespace fovea {

/// As the format's own reader allows.
constexpr int64 kMaxSafetensorsHeader = 100'000'000;

/// What the format calls our dtypes.
std::string_view safetensors_name(DType dtype);
/// "4, 7"
std::string shape_text(std::span<const int64> shape);

/// A safetensors file, mapped for reading: an 8-byte little-endian header length, a JSON header, the tensors'
/// bytes. Nothing in it is trusted: lengths, offsets (within the file, no overlap, no gap), shapes and dtypes
/// are checked when it is opened, and no name may come twice. Tensors of dtypes that DType has not (masks of
/// booleans) are checked and left out. Throws UserError (input), one line that names the file and the tensor.
class SafeTensors {
 public:
  struct Tensor {
    DType dtype = DType::f32;
    std::vector<int64> shape;
    Range bytes;  ///< within the data
    int64 elements() const;
  };

  explicit SafeTensors(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return path_; }
  const std::map<std::string, Tensor, std::less<>>& tensors() const { return tensors_; }
  const std::map<std::string, std::string, std::less<>>& metadata() const { return metadata_; }
  std::span<const std::byte> data() const { return data_; }

  bool has(std::string_view name) const { return tensors_.contains(name); }
  /// Whether it is one of those that were left out.
  bool left_out(std::string_view name) const { return left_out_.contains(name); }
  const Tensor& tensor(std::string_view name) const;  ///< one line where there is none
  std::span<const std::byte> bytes(const Tensor& tensor) const;
  /// All elements, converted to float.
  std::vector<float> read_f32(std::string_view name) const;
  /// Copies into contiguous memory of the same dtype and shape; anything else is one line.
  void read_into(std::string_view name, const View& to) const;
  /// By where they lie in the file.
  std::vector<std::pair<std::string_view, const Tensor*>> in_file_order() const;

 private:
  std::filesystem::path path_;
  MappedFile file_;
  std::span<const std::byte> data_;
  std::map<std::string, Tensor, std::less<>> tensors_;
  std::set<std::string, std::less<>> left_out_;
  std::map<std::string, std::string, std::less<>> metadata_;
};

}  // namespace fovea
