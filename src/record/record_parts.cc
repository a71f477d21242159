#include "record/record_parts.h"

#include "core/file.h"

namespace fovea {
namespace {

using h5::Group;

/// The one table of what provenance holds, walked by the writer and by the reader.
template <class Record, class Text, class Count>
void each_provenance(Record& p, Text text, Count count) {
  text("version", p.version);
  text("commit", p.commit);
  text("compiler", p.compiler);
  text("flags", p.flags);
  text("host", p.host);
  text("cpu", p.cpu);
  text("instruction_set", p.instruction_set);
  text("backend", p.backend);
  text("started", p.started);
  text("finished", p.finished);
  text("command", p.command);
  count("cores", p.cores);
  count("memory_bytes", p.memory_bytes);
  count("threads", p.threads);
}

}  // namespace

void replace_record_file(const std::filesystem::path& path, const std::function<void(const Group&)>& write) {
  const std::vector<std::byte> image = h5::file_image(path, write);
  write_file_atomically(path, std::span<const std::byte>(image));
}

void write_format(const Group& root, const std::string& format, int64 version) {
  root.set_attribute(".", "format", format);
  root.set_attribute(".", "format_version", version);
}

Group open_record_file(const std::filesystem::path& path, const std::string& format, int64 version,
                       const char* what) {
  Group root = h5::open_file(path);
  if (!root.has_attribute(".", "format") || root.attribute<std::string>(".", "format") != format)
    fail_input("{}: is not {} (its attribute \"format\" is not \"{}\")", path.string(), what, format);
  const int64 found = root.attribute<int64>(".", "format_version");
  if (found != version)
    fail_input("{}: is written in version {} of the format; this program reads version {}", path.string(),
               found, version);
  return root;
}

void write_provenance(const Group& root, const Provenance& p) {
  const Group group = root.create_group("provenance");
  each_provenance(
      p, [&](const char* key, const std::string& v) { group.set_attribute(".", key, v); },
      [&](const char* key, int64 v) { group.set_attribute(".", key, v); });
  group.set_attribute(".", "used_instruction_set", p.used_instruction_set);
  group.set_attribute(".", "dirty", p.dirty);
}

Provenance read_provenance(const Group& root) {
  const Group group = root.group("provenance");
  Provenance p;
  each_provenance(
      p, [&](const char* key, std::string& v) { v = group.attribute<std::string>(".", key); },
      [&](const char* key, int64& v) { v = group.attribute<int64>(".", key); });
  if (group.has_attribute(".", "used_instruction_set"))
    p.used_instruction_set = group.attribute<std::string>(".", "used_instruction_set");
  p.dirty = group.attribute<bool>(".", "dirty");
  return p;
}

void describe(const Group& group, const std::string& dataset, const char* units, const char* meaning) {
  group.set_attribute(dataset, "units", std::string(units));
  group.set_attribute(dataset, "long_name", std::string(meaning));
}

}  // namespace fovea
