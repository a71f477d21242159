#include "convert/safetensors_writer.h"

#include <algorithm>
#include <bit>
#include <nlohmann/json.hpp>
#include <tuple>
#include <utility>

#include "convert/safetensors.h"
#include "core/error.h"

namespace fovea {
namespace {

static_assert(std::endian::native == std::endian::little, "safetensors are little-endian");

// The format's dtypes in the order of its own enumeration, whose last come first in a file.
int rank(DType dtype) {
  switch (dtype) {
    case DType::f16:
      return 0;
    case DType::bf16:
      return 1;
    case DType::i32:
      return 2;
    case DType::f32:
      return 3;
    case DType::f64:
      return 4;
  }
  return 0;
}

bool comes_before(const TensorSpec& a, const TensorSpec& b) {
  return std::pair(-rank(a.dtype), std::string_view(a.name)) <
         std::pair(-rank(b.dtype), std::string_view(b.name));
}

std::span<const std::byte> bytes_of(const View& view) {
  return {static_cast<const std::byte*>(view.data()), static_cast<size_t>(view.bytes())};
}

std::span<const std::byte> bytes_of(const std::string& text) { return std::as_bytes(std::span(text)); }

}  // namespace

TensorSpec spec_of(const NamedView& tensor) {
  TensorSpec spec{tensor.name, tensor.view.dtype(), {}};
  for (int axis = 0; axis < tensor.view.rank(); ++axis) spec.shape.push_back(tensor.view.size(axis));
  return spec;
}

int64 TensorSpec::elements() const {
  int64 n = 1;
  for (const int64 size : shape) n *= size;
  return n;
}

void sort_as_in_file(std::vector<TensorSpec>& tensors) {
  std::sort(tensors.begin(), tensors.end(), comes_before);
}

void sort_as_in_file(std::vector<NamedView>& tensors) {
  std::sort(tensors.begin(), tensors.end(),
            [](const NamedView& a, const NamedView& b) { return comes_before(spec_of(a), spec_of(b)); });
}

SafeTensorsWriter::SafeTensorsWriter(const std::filesystem::path& path, std::vector<TensorSpec> tensors,
                                     SafeTensorsMetadata metadata)
    : tensors_(std::move(tensors)), metadata_(std::move(metadata)), file_(path) {
  sort_as_in_file(tensors_);
  const std::string text = header();
  header_bytes_ = text.size();
  if (std::cmp_greater(header_bytes_, sizeof(uint64) + kMaxSafetensorsHeader))
    fail_input("{}: cannot be written: its header would have {} bytes, of the {} that readers allow",
               path.string(), header_bytes_, kMaxSafetensorsHeader);
  file_.append(bytes_of(text));
}

// The length, then the JSON.
std::string SafeTensorsWriter::header() const {
  nlohmann::ordered_json json = nlohmann::ordered_json::object();
  if (!metadata_.empty()) json["__metadata__"] = metadata_;
  int64 offset = 0;
  for (const TensorSpec& tensor : tensors_) {
    json[tensor.name] = {{"dtype", safetensors_name(tensor.dtype)},
                         {"shape", tensor.shape},
                         {"data_offsets", {offset, offset + tensor.bytes()}}};
    offset += tensor.bytes();
  }
  std::string text = json.dump();
  text.resize(static_cast<size_t>(round_up(static_cast<int64>(text.size()), 8)), ' ');  // data begin aligned
  const uint64 length = text.size();
  return std::string(reinterpret_cast<const char*>(&length), sizeof length) + text;
}

void SafeTensorsWriter::append(std::span<const std::byte> data) {
  FOVEA_CHECK(appended_ < tensors_.size() && std::cmp_equal(data.size(), tensors_[appended_].bytes()),
              "{} bytes for tensor {} of {}", data.size(), appended_, tensors_.size());
  file_.append(data);
  ++appended_;
}

void SafeTensorsWriter::set_metadata(std::string_view key, std::string value) {
  const auto found = metadata_.find(key);
  FOVEA_CHECK(found != metadata_.end() && found->second.size() == value.size(), "metadata {} cannot be {}",
              key, value);
  found->second = std::move(value);
  const std::string text = header();
  FOVEA_CHECK(text.size() == header_bytes_, "a header of {} bytes instead of {}", text.size(), header_bytes_);
  file_.replace(0, bytes_of(text));
}

void SafeTensorsWriter::commit() {
  FOVEA_CHECK(appended_ == tensors_.size(), "{} of {} tensors", appended_, tensors_.size());
  file_.commit();
}

void write_safetensors(const std::filesystem::path& path, std::vector<NamedView> tensors,
                       const SafeTensorsMetadata& metadata) {
  sort_as_in_file(tensors);
  std::vector<TensorSpec> specs;
  for (const NamedView& tensor : tensors) specs.push_back(spec_of(tensor));
  SafeTensorsWriter writer(path, std::move(specs), metadata);
  for (const NamedView& tensor : tensors) {
    FOVEA_CHECK(tensor.view.contiguous(), "{} is written from strided memory", tensor.name);
    writer.append(bytes_of(tensor.view));
  }
  writer.commit();
}

}  // namespace fovea
