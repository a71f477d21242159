#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/file.h"
#include "core/view.h"

namespace fovea {

/// A tensor that a file is to hold.
struct TensorSpec {
  std::string name;
  DType dtype = DType::f32;
  std::vector<int64> shape;
  int64 elements() const;
  int64 bytes() const { return elements() * size_of(dtype); }
};

/// The order in which the format's own writer lays tensors down: by dtype, the widest first, then by name.
void sort_as_in_file(std::vector<TensorSpec>& tensors);

using SafeTensorsMetadata = std::map<std::string, std::string, std::less<>>;

/// Writes a safetensors file tensor by tensor, none of them held, as the format's own writer would: in its
/// order, the header padded with spaces to a multiple of 8 bytes. The file is there after commit(), or not at
/// all. Throws UserError (as AtomicFile).
class SafeTensorsWriter {
 public:
  SafeTensorsWriter(const std::filesystem::path& path, std::vector<TensorSpec> tensors,
                    SafeTensorsMetadata metadata);

  /// In the file's order.
  const std::vector<TensorSpec>& tensors() const { return tensors_; }
  /// The data of the next tensor, whole.
  void append(std::span<const std::byte> data);
  /// Another value, as long as the one before: what is known when all tensors have been seen.
  void set_metadata(std::string_view key, std::string value);
  /// After the last tensor.
  void commit();

 private:
  std::string header() const;

  std::vector<TensorSpec> tensors_;
  SafeTensorsMetadata metadata_;
  AtomicFile file_;
  size_t appended_ = 0, header_bytes_ = 0;
};

struct NamedView {
  std::string name;
  View view;  ///< contiguous
};

TensorSpec spec_of(const NamedView& tensor);
/// The same of what is in memory.
void write_safetensors(const std::filesystem::path& path, std::vector<NamedView> tensors,
                       const SafeTensorsMetadata& metadata);
/// Puts them into the file's order.
void sort_as_in_file(std::vector<NamedView>& tensors);

}  // namespace fovea
