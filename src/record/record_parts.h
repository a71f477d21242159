#pragma once

#include <filesystem>
#include <functional>
#include <span>
#include <string>

#include "core/error.h"
#include "record/hdf5.h"

namespace fovea {

/// What the files of this program's records (run.h5, inspect.h5) have in common.

/// Makes a file and writes it atomically: a reader sees the old file or the new one, whole. Throws UserError
/// as write_file_atomically() does, and leaves the old file as it was.
void replace_record_file(const std::filesystem::path& path,
                         const std::function<void(const h5::Group&)>& write);

/// Opens a file whose attributes `format` and `format_version` are these. Throws UserError (input); `what`
/// says what was expected: "a run's file".
h5::Group open_record_file(const std::filesystem::path& path, const std::string& format, int64 version,
                           const char* what);
void write_format(const h5::Group& root, const std::string& format, int64 version);

/// The group `provenance` of a file.
void write_provenance(const h5::Group& root, const Provenance& provenance);
Provenance read_provenance(const h5::Group& root);

/// A dataset's unit, and its meaning in words.
void describe(const h5::Group& group, const std::string& dataset, const char* units, const char* meaning);

template <class T>
void write_scalar(const h5::Group& group, const std::string& name, T value, const char* units,
                  const char* meaning) {
  group.write<T>(name, {}, std::span<const T>(&value, 1));
  describe(group, name, units, meaning);
}

template <class T>
T read_scalar(const h5::Group& group, const std::string& name) {
  const h5::Array<T> array = group.read<T>(name);
  if (array.values.size() != 1)
    fail_input("{}: has {} values, wanted is one", group.where(name), array.values.size());
  return array.values[0];
}

}  // namespace fovea
