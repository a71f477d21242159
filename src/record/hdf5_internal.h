#pragma once

// Only for the .cc files beside it: this header brings in HDF5's own.

#include <hdf5.h>

#include <algorithm>
#include <mutex>
#include <string>
#include <utility>

#include "core/error.h"
#include "record/hdf5.h"

namespace fovea::h5 {

/// One HDF5 identifier; closing goes by its kind.
class Id {
 public:
  Id() = default;
  explicit Id(hid_t id) : id_(id) {}
  Id(Id&& other) noexcept : id_(std::exchange(other.id_, -1)) {}
  Id& operator=(Id&& other) noexcept {
    std::swap(id_, other.id_);
    return *this;
  }
  ~Id() {
    if (id_ >= 0) H5Idec_ref(id_);
  }
  hid_t get() const { return id_; }
  bool ok() const { return id_ >= 0; }

 private:
  hid_t id_ = -1;
};

/// Turns off HDF5's printing, which is a setting of each thread where the library knows threads, and keeps
/// two threads out of it at once, since Debian's may be built without knowing them.
class Call {
 public:
  Call() : lock_(mutex()) { H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr); }

 private:
  static std::recursive_mutex& mutex() {
    static std::recursive_mutex m;
    return m;
  }
  std::lock_guard<std::recursive_mutex> lock_;
};

struct Group::State {
  std::filesystem::path file;
  std::string path = std::string(1, '/');  // or "/a/b"
  bool writing = false;
  Id group;
  ~State() {
    const Call call;
    group = Id();
  }
};

template <class T>
Id memory_type();
template <>
inline Id memory_type<float>() {
  return Id(H5Tcopy(H5T_NATIVE_FLOAT));
}
template <>
inline Id memory_type<double>() {
  return Id(H5Tcopy(H5T_NATIVE_DOUBLE));
}
template <>
inline Id memory_type<int32>() {
  return Id(H5Tcopy(H5T_NATIVE_INT32));
}
template <>
inline Id memory_type<int64>() {
  return Id(H5Tcopy(H5T_NATIVE_INT64));
}

Kind kind_of(hid_t type);
const char* name_of(Kind);

/// The dataspace's extent; `where` for messages. Refuses more elements than 63 bits count.
Shape shape_of(hid_t space, const std::string& where);
int64 element_count(const Shape& shape, const std::string& where);

/// A transfer list under which a number out of the target's range is an error, not clamped.
Id strict_transfer();

/// Reads `count` strings through `read(memory type, buffer)`, of fixed or variable length.
template <class Read>
std::vector<std::string> read_strings(hid_t type, hid_t space, int64 count, const std::string& where,
                                      Read read);

/// A variable-length UTF-8 string.
Id utf8_type();

}  // namespace fovea::h5

namespace fovea::h5 {

template <class Read>
std::vector<std::string> read_strings(hid_t type, hid_t space, int64 count, const std::string& where,
                                      Read read) {
  std::vector<std::string> result;
  if (count == 0) return result;
  result.reserve(static_cast<size_t>(count));
  if (H5Tis_variable_str(type) > 0) {
    const Id memory(H5Tcopy(H5T_C_S1));
    H5Tset_size(memory.get(), H5T_VARIABLE);
    H5Tset_cset(memory.get(), H5Tget_cset(type));  // the library does not convert between character sets
    std::vector<char*> pointers(static_cast<size_t>(count), nullptr);
    const bool ok = read(memory.get(), pointers.data()) >= 0;
    if (ok)
      for (const char* p : pointers) result.emplace_back(p ? p : "");
    H5Dvlen_reclaim(memory.get(), space, H5P_DEFAULT, pointers.data());
    if (!ok) fail_input("{}: the strings cannot be read; is the file damaged?", where);
    return result;
  }
  const size_t width = H5Tget_size(type);
  if (width == 0 || width > (size_t{1} << 30) / static_cast<size_t>(count))
    fail_input("{}: {} strings of {} bytes are too many", where, count, width);
  std::vector<char> bytes(width * static_cast<size_t>(count));
  if (read(type, bytes.data()) < 0) fail_input("{}: the strings cannot be read; is the file damaged?", where);
  for (int64 i = 0; i < count; ++i) {
    std::string text(bytes.data() + static_cast<size_t>(i) * width, width);
    text.resize(std::min(text.size(), text.find('\0')));
    if (H5Tget_strpad(type) == H5T_STR_SPACEPAD) text.resize(text.find_last_not_of(' ') + 1);
    result.push_back(std::move(text));
  }
  return result;
}

}  // namespace fovea::h5
