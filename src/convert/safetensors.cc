#include "convert/safetensors.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <optional>

#include "core/error.h"
#include "core/json.h"

namespace fovea {
namespace {

using nlohmann::json;
static_assert(std::endian::native == std::endian::little, "safetensors are little-endian");

struct OtherDType {
  std::string_view name;
  int64 bytes;
};
// Kinds of elements that are in some files beside the weights (masks, counters) and that nothing here reads.
constexpr OtherDType kOthers[] = {{"I64", 8}, {"U64", 8}, {"U32", 4},  {"I16", 2},     {"U16", 2},
                                  {"I8", 1},  {"U8", 1},  {"BOOL", 1}, {"F8_E4M3", 1}, {"F8_E5M2", 1}};

std::optional<DType> dtype_in_file(std::string_view name) {
  if (name == "F32") return DType::f32;
  if (name == "BF16") return DType::bf16;
  if (name == "F16") return DType::f16;
  if (name == "F64") return DType::f64;
  if (name == "I32") return DType::i32;
  return std::nullopt;
}

int64 checked_integer(const json& value) {
  if (!value.is_number_unsigned() || value.get<uint64>() > uint64{1} << 60)
    throw std::invalid_argument("not a size");
  return static_cast<int64>(value.get<uint64>());
}

// Throws std::invalid_argument with the reason.
SafeTensors::Tensor parse_tensor(const json& entry, int64 data_bytes, bool& readable) {
  SafeTensors::Tensor tensor;
  if (!entry.is_object() || !entry.contains("dtype") || !entry.contains("shape") ||
      !entry.contains("data_offsets"))
    throw std::invalid_argument("has no dtype, shape or data_offsets");
  if (!entry["dtype"].is_string()) throw std::invalid_argument("dtype is no string");
  const std::string name = entry["dtype"].get<std::string>();
  const auto dtype = dtype_in_file(name);
  const auto* other = std::find_if(std::begin(kOthers), std::end(kOthers),
                                   [&](const OtherDType& candidate) { return candidate.name == name; });
  if (!dtype && other == std::end(kOthers))
    throw std::invalid_argument("dtype " + printable(name) + " is not supported");
  readable = dtype.has_value();
  tensor.dtype = dtype.value_or(DType::i32);
  if (!entry["shape"].is_array() || !entry["data_offsets"].is_array() || entry["data_offsets"].size() != 2)
    throw std::invalid_argument("shape or data_offsets is not a list as it must be");
  int64 elements = 1;
  for (const json& size : entry["shape"]) {
    tensor.shape.push_back(checked_integer(size));
    if (__builtin_mul_overflow(elements, tensor.shape.back(), &elements) || elements > (int64{1} << 58))
      throw std::invalid_argument("its shape is too large");
  }
  tensor.bytes = {checked_integer(entry["data_offsets"][0]), checked_integer(entry["data_offsets"][1])};
  if (tensor.bytes.begin > tensor.bytes.end || tensor.bytes.end > data_bytes)
    throw std::invalid_argument("its data lie outside of the file: is it truncated?");
  if (tensor.bytes.size() != elements * (readable ? size_of(tensor.dtype) : other->bytes))
    throw std::invalid_argument("its data are not as long as its shape says");
  return tensor;
}

json parse_header(const std::filesystem::path& path, std::span<const std::byte> file, int64& header_bytes) {
  uint64 length = 0;
  if (file.size() < sizeof length)
    fail_input("{}: not a safetensors file: shorter than its header", path.string());
  std::memcpy(&length, file.data(), sizeof length);
  if (length > static_cast<uint64>(kMaxSafetensorsHeader) || length > file.size() - sizeof length)
    fail_input("{}: not a safetensors file, or truncated: its header would be {} bytes long", path.string(),
               length);
  header_bytes = static_cast<int64>(length);
  const char* text = reinterpret_cast<const char*>(file.data()) + sizeof length;
  json header = parse_json({text, length}, path.string() + ": not a safetensors file: its header");
  if (!header.is_object())
    fail_input("{}: not a safetensors file: its header is no JSON object", path.string());
  return header;
}

}  // namespace

std::string_view safetensors_name(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return "F32";
    case DType::bf16:
      return "BF16";
    case DType::f16:
      return "F16";
    case DType::f64:
      return "F64";
    case DType::i32:
      return "I32";
  }
  return "";
}

std::string shape_text(std::span<const int64> shape) {
  std::string text;
  for (const int64 size : shape) text += fmt::format("{}{}", text.empty() ? "" : ", ", size);
  return text;
}

int64 SafeTensors::Tensor::elements() const {
  int64 n = 1;
  for (const int64 size : shape) n *= size;
  return n;
}

SafeTensors::SafeTensors(const std::filesystem::path& path) : path_(path), file_(path) {
  int64 header_bytes = 0;
  const json header = parse_header(path, file_.bytes(), header_bytes);
  data_ = file_.bytes().subspan(sizeof(uint64) + static_cast<size_t>(header_bytes));
  std::vector<Range> ranges;
  for (const auto& [name, entry] : header.items()) {
    if (name == "__metadata__") {
      for (const auto& [key, value] : entry.items()) {
        if (!value.is_string())
          fail_input("{}: the metadata's {} is no string", path.string(), printable(key));
        metadata_[key] = value.get<std::string>();
      }
      continue;
    }
    try {
      if (std::any_of(name.begin(), name.end(), [](char c) { return 0 <= c && c < ' '; }))
        throw std::invalid_argument("its name has control characters");
      bool readable = false;
      const Tensor tensor = parse_tensor(entry, static_cast<int64>(data_.size()), readable);
      ranges.push_back(tensor.bytes);
      if (readable)
        tensors_[name] = tensor;
      else
        left_out_.insert(name);
    } catch (const std::invalid_argument& error) {
      fail_input("{}: tensor {}: {}", path.string(), printable(name), error.what());
    }
  }
  std::sort(ranges.begin(), ranges.end(), [](Range a, Range b) {
    return a.begin != b.begin ? a.begin < b.begin : a.end < b.end;  // the empty one first
  });
  int64 end = 0;
  for (const Range range : ranges) {
    if (range.begin != end)
      fail_input("{}: tensors overlap or leave a gap at byte {}", path.string(), range.begin);
    end = range.end;
  }
  if (end != static_cast<int64>(data_.size()))
    fail_input("{}: {} bytes of data, its tensors take {}", path.string(), data_.size(), end);
}

const SafeTensors::Tensor& SafeTensors::tensor(std::string_view name) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) fail_input("{}: holds no tensor {}", path_.string(), name);
  return found->second;
}

std::vector<std::pair<std::string_view, const SafeTensors::Tensor*>> SafeTensors::in_file_order() const {
  std::vector<std::pair<std::string_view, const Tensor*>> order;
  for (const auto& [name, tensor] : tensors_) order.emplace_back(name, &tensor);
  std::stable_sort(order.begin(), order.end(), [](const auto& a, const auto& b) {
    return a.second->bytes.begin < b.second->bytes.begin;
  });
  return order;
}

std::span<const std::byte> SafeTensors::bytes(const Tensor& tensor) const {
  return data_.subspan(static_cast<size_t>(tensor.bytes.begin), static_cast<size_t>(tensor.bytes.size()));
}

std::vector<float> SafeTensors::read_f32(std::string_view name) const {
  const Tensor& from = tensor(name);
  std::vector<float> out(static_cast<size_t>(from.elements()));
  const std::span<const std::byte> raw = bytes(from);
  if (from.dtype == DType::f64) {
    for (size_t i = 0; i < out.size(); ++i) {
      double value = 0;
      std::memcpy(&value, raw.data() + i * sizeof value, sizeof value);
      out[i] = static_cast<float>(value);
    }
    return out;
  }
  if (from.dtype == DType::i32) fail_input("{}: tensor {} holds integers", path_.string(), name);
  dispatch(from.dtype, [&]<class T>() {
    for (size_t i = 0; i < out.size(); ++i) {
      T value;
      std::memcpy(&value, raw.data() + i * sizeof value, sizeof value);
      out[i] = to_f32(value);
    }
  });
  return out;
}

void SafeTensors::read_into(std::string_view name, const View& to) const {
  const Tensor& from = tensor(name);
  bool same = from.dtype == to.dtype() && static_cast<int>(from.shape.size()) == to.rank();
  for (int axis = 0; same && axis < to.rank(); ++axis)
    same = from.shape[static_cast<size_t>(axis)] == to.size(axis);
  if (!same) {
    fail_input("{}: tensor {} is {} ({}), this model wants {}", path_.string(), name, name_of(from.dtype),
               shape_text(from.shape), to.describe());
  }
  FOVEA_CHECK(to.contiguous(), "{} is read into strided memory", name);
  const std::span<const std::byte> raw = bytes(from);
  if (!raw.empty()) std::memcpy(to.data(), raw.data(), raw.size());
  release_pages(raw);
}

}  // namespace fovea
