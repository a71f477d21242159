#include "train/checkpoint.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <nlohmann/json.hpp>
#include <sstream>

#include "convert/hugging_face.h"
#include "convert/safetensors.h"
#include "convert/safetensors_writer.h"
#include "core/file.h"
#include "core/hash.h"
#include "core/host_copy.h"
#include "core/text.h"

namespace fovea {
namespace {

namespace fs = std::filesystem;
constexpr std::string_view kFormat = "fovea checkpoint 1";
constexpr const char* kAverage = "ema/";
constexpr const char* kConverted = "converted";
constexpr const char* kBareNames = "bare_names";
constexpr const char* kCompanion = "companion/";
constexpr std::string_view kPrefix = "step-", kSuffix = ".safetensors";

void append(std::vector<NamedView>& tensors, const ParameterLayout& layout, const View& flat,
            const std::string& prefix) {
  for (ParameterId id = 0; id < static_cast<ParameterId>(layout.parameters().size()); ++id)
    tensors.push_back({prefix + layout[id].name, layout.view(flat, id)});
}

std::span<const std::byte> bytes_of(const View& view) {
  return {static_cast<const std::byte*>(view.data()), static_cast<size_t>(view.bytes())};
}

// The hash of the tensors' hashes in the file's order, and of what the metadata say.
std::string checksum(const std::vector<uint64>& hashes, const CheckpointInfo& info) {
  return hash128(fmt::format("{} {} {} {} {}", hash128(std::as_bytes(std::span(hashes))), info.step,
                             info.identity, info.vocabulary, info.config));
}

SafeTensorsMetadata metadata_of(const CheckpointInfo& info, const std::string& sum) {
  return {{"format", std::string(kFormat)}, {"step", std::to_string(info.step)},
          {"identity", info.identity},      {"vocabulary", std::to_string(info.vocabulary)},
          {"config", info.config},          {"checksum", sum}};
}

void write(const fs::path& path, std::vector<NamedView> tensors, const CheckpointInfo& info) {
  sort_as_in_file(tensors);
  std::vector<TensorSpec> specs;
  for (const NamedView& tensor : tensors) specs.push_back(spec_of(tensor));
  SafeTensorsWriter writer(path, std::move(specs), metadata_of(info, std::string(32, '0')));
  std::vector<uint64> hashes;
  for (const NamedView& tensor : tensors) {
    const HostCopy host(tensor.view);  // one tensor at a time, where they lie on a device
    hashes.push_back(hash64(bytes_of(host.view())));
    writer.append(bytes_of(host.view()));
  }
  writer.set_metadata("checksum", checksum(hashes, info));
  writer.commit();
}

// Files within metadata, which must be UTF-8: as they are, or in hexadecimal digits.
std::string packed(const std::string& content) {
  try {
    nlohmann::json(content).dump();
    return "text:" + content;
  } catch (const nlohmann::json::type_error&) {  // it is not
  }
  std::string text = "hex:";
  for (const char c : content) text += fmt::format("{:02x}", static_cast<unsigned char>(c));
  return text;
}

std::optional<std::string> unpacked(const std::string& text) {
  if (text.starts_with("text:")) return text.substr(5);
  if (!text.starts_with("hex:") || text.size() % 2 != 0) return std::nullopt;
  std::string content;
  for (size_t i = 4; i < text.size(); i += 2) {
    unsigned value = 0;
    const auto [end, error] = std::from_chars(text.data() + i, text.data() + i + 2, value, 16);
    if (error != std::errc() || end != text.data() + i + 2) return std::nullopt;
    content += static_cast<char>(value);
  }
  return content;
}

const std::string& field(const SafeTensors& file, std::string_view name) {
  const auto found = file.metadata().find(name);
  if (found == file.metadata().end())
    fail_input("{}: not a checkpoint of fovea: its metadata name no {}", file.path().string(), name);
  return found->second;
}

int64 number(const SafeTensors& file, std::string_view name) {
  const std::string& text = field(file, name);
  int64 value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 0)
    fail_input("{}: the metadata's {} is \"{}\", wanted a number", file.path().string(), name,
               on_one_line(text));
  return value;
}

}  // namespace

CheckpointInfo checkpoint_info(const SafeTensors& file) {
  if (field(file, "format") != kFormat)
    fail_input("{}: a checkpoint of another version: {}", file.path().string(),
               on_one_line(field(file, "format")));
  return {number(file, "step"), field(file, "identity"), field(file, "config"), number(file, "vocabulary"),
          file.metadata().contains(kConverted)};
}

void verify_checkpoint(const SafeTensors& file) {
  const CheckpointInfo info = checkpoint_info(file);
  std::vector<uint64> hashes;
  for (const auto& [name, tensor] : file.in_file_order()) {
    hashes.push_back(hash64(file.bytes(*tensor)));
    release_pages(file.bytes(*tensor));
  }
  if (checksum(hashes, info) != field(file, "checksum"))
    fail_input("{}: its checksum is not that of what it holds: the file is damaged", file.path().string());
}

namespace {

// A tensor that this model has no place for is another model's; a checkpoint's moments are left alone.
void refuse_others(const SafeTensors& file, const ParameterLayout& layout) {
  for (const auto& [name, tensor] : file.tensors())
    if (layout.find(name) == kNoParameter && !name.starts_with("moment1/") && !name.starts_with("moment2/") &&
        !name.starts_with(kAverage))
      fail_input("{}: holds {}, for which this model has no place: it is another model's",
                 file.path().string(), name);
}

}  // namespace

ParameterSource weights_in(const fs::path& path, const ParameterLayout& layout) {
  const auto files = std::make_shared<const TensorFiles>(path);
  const SafeTensors& file = *files->files().front();
  if (file.metadata().contains("checksum")) verify_checkpoint(file);
  refuse_others(file, layout);
  std::vector<FileTensor> tensors = own_tensors(layout);
  // What a checkpoint's run evaluates and exports.
  if (file.has(kAverage + layout.parameters().front().name))
    for (FileTensor& tensor : tensors) tensor.name = kAverage + tensor.name;
  return stored_parameters(files, tensors, layout, 0);
}

namespace {

// The step that a file's name says, -1 for another file.
int64 step_of(const fs::path& path) {
  const std::string name = path.filename().string();
  if (!name.starts_with(kPrefix) || !name.ends_with(kSuffix)) return -1;
  const char *begin = name.data() + kPrefix.size(), *end = name.data() + name.size() - kSuffix.size();
  int64 step = -1;
  const auto [stop, error] = std::from_chars(begin, end, step);
  return error == std::errc() && stop == end ? step : -1;
}

std::vector<std::pair<int64, fs::path>> checkpoints(const fs::path& directory) {
  std::vector<std::pair<int64, fs::path>> found;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(directory, error))
    if (const int64 step = step_of(entry.path()); step >= 0) found.emplace_back(step, entry.path());
  std::sort(found.begin(), found.end());
  return found;
}

// Why a checkpoint is another run's: the first line of its configuration that differs, or what else makes an
// identity. Where things lie is no part of it.
std::string difference(const CheckpointInfo& found, const CheckpointInfo& run) {
  std::istringstream theirs(found.config), ours(run.config);
  for (std::string there, here;;) {
    if (!std::getline(theirs, there)) there.clear();
    if (!std::getline(ours, here)) here.clear();
    if (!theirs && !ours)
      return "its configuration is the same, its arithmetic (numerics), data or baseline are others";
    const bool place = (there.starts_with("init.from") && here.starts_with("init.from")) ||
                       (there.starts_with("data.corpus") && here.starts_with("data.corpus"));
    if (there != here && !place)
      return fmt::format("its configuration says \"{}\" where this one says \"{}\"", there, here);
  }
}

}  // namespace

void write_checkpoint(const fs::path& path, const ParameterLayout& layout, const OptimizerState& state,
                      const CheckpointInfo& info) {
  std::vector<NamedView> tensors;
  append(tensors, layout, state.weights(), "");
  append(tensors, layout, state.moment1(), "moment1/");
  append(tensors, layout, state.moment2(), "moment2/");
  if (state.averaged()) append(tensors, layout, state.average(), kAverage);
  write(path, std::move(tensors), info);
}

void write_converted_model(const fs::path& path, const StoredModel& model, const CheckpointInfo& info) {
  std::vector<TensorSpec> specs;
  for (const FileTensor& tensor : own_tensors(model.layout))
    specs.push_back({tensor.name, model.parameters.dtype(tensor.parts.front()), tensor.shape});
  CheckpointInfo known = info;
  known.identity = std::string(32, '0');  // until all has been seen
  SafeTensorsMetadata metadata = metadata_of(known, std::string(32, '0'));
  metadata[kConverted] = "yes";
  if (model.bare_names) metadata[kBareNames] = "yes";
  for (const auto& [name, content] : model.companions) metadata[kCompanion + name] = packed(content);
  SafeTensorsWriter writer(path, std::move(specs), std::move(metadata));
  std::vector<uint64> hashes;
  for (const TensorSpec& tensor : writer.tensors()) {
    model.parameters.show(model.layout.find(tensor.name), tensor.elements(),
                          [&](std::span<const std::byte> data) {
                            hashes.push_back(hash64(data));
                            writer.append(data);
                          });
  }
  known.identity = hash128(std::as_bytes(std::span(hashes)));
  writer.set_metadata("identity", known.identity);
  writer.set_metadata("checksum", checksum(hashes, known));
  writer.commit();
}

void read_origin(const SafeTensors& file, StoredModel& model) {
  model.bare_names = file.metadata().contains(kBareNames);
  for (const auto& [key, value] : file.metadata())
    if (key.starts_with(kCompanion)) {
      const std::string name = key.substr(std::string_view(kCompanion).size());
      std::optional<std::string> content = unpacked(value);
      if (!content || !is_companion(name))  // it is written under its name some day
        fail_input("{}: the metadata's {} is damaged", file.path().string(), on_one_line(key));
      model.companions[name] = std::move(*content);
    }
}

void write_model(const fs::path& path, const ParameterLayout& layout, const View& weights,
                 const CheckpointInfo& info) {
  std::vector<NamedView> tensors;
  append(tensors, layout, weights, "");
  write(path, std::move(tensors), info);
}

CheckpointInfo read_checkpoint(const fs::path& path, const ParameterLayout& layout, OptimizerState& state,
                               const CheckpointInfo& run) {
  const SafeTensors file(path);
  const CheckpointInfo info = checkpoint_info(file);
  verify_checkpoint(file);
  if (info.identity != run.identity)
    fail_input("{}: is stale: of run {}, not of this one ({}): {}", path.string(), info.identity,
               run.identity, difference(info, run));
  std::vector<NamedView> tensors;
  append(tensors, layout, state.weights(), "");
  append(tensors, layout, state.moment1(), "moment1/");
  append(tensors, layout, state.moment2(), "moment2/");
  if (state.averaged()) append(tensors, layout, state.average(), kAverage);
  for (const NamedView& tensor : tensors) {
    const HostCopy host(tensor.view, HostCopy::Fetch::never);
    file.read_into(tensor.name, host);
    host.store();
  }
  return info;
}

fs::path checkpoint_path(const fs::path& directory, int64 step) {
  return directory / fmt::format("{}{:08}{}", kPrefix, step, kSuffix);
}

std::optional<fs::path> latest_checkpoint(const fs::path& directory) {
  const auto found = checkpoints(directory);
  if (found.empty()) return std::nullopt;
  return found.back().second;
}

std::vector<fs::path> checkpoints_in(const fs::path& directory) {
  std::vector<fs::path> paths;
  for (const auto& [step, path] : checkpoints(directory)) paths.push_back(path);
  std::reverse(paths.begin(), paths.end());
  return paths;
}

void prune_checkpoints(const fs::path& directory, int64 keep) {
  const auto found = checkpoints(directory);
  const int64 remove = static_cast<int64>(found.size()) - std::max<int64>(keep, 0);
  for (int64 i = 0; i < remove; ++i) {
    std::error_code ignored;  // what cannot be removed costs space alone
    fs::remove(found[static_cast<size_t>(i)].second, ignored);
  }
}

}  // namespace fovea
