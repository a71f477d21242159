#pragma once

#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/thread_pool.h"
#include "core/types.h"
#include "record/run_record.h"

/// A small part of HDF5 as values and exceptions. Every failure is a UserError of one line that names the
/// file and the object (input when reading, failed when writing); HDF5's own error stack is silent. Nothing
/// read is trusted: types, ranks and sizes are checked, numbers out of the wanted type's range are refused,
/// and data that lies in other files (external storage, virtual datasets) is not read.
namespace fovea::h5 {

using Shape = std::vector<int64>;

/// Row-major; T is float, double, int32, int64 or std::string. A scalar has the shape {}.
template <class T>
struct Array {
  Shape shape;
  std::vector<T> values;
};

enum class Kind { floating, integer, string, other };

struct Info {
  Kind kind = Kind::other;
  int64 element_bytes = 0;
  Shape shape;
};

/// The root or a group of an open file; a copy is another name for the same group. The file closes with the
/// last of them. Names may be paths: "expected/out"; writing makes the groups on the way. Where an object is
/// named for its attributes, "." is the group itself.
class Group {
 public:
  bool has(const std::string& name) const;
  std::vector<std::string> names() const;  ///< of the members, sorted
  Group group(const std::string& name) const;
  Group create_group(const std::string& name) const;

  Info info(const std::string& dataset) const;
  /// Converts between widths of one kind and from integers to floats; anything else is refused.
  template <class T>
  Array<T> read(const std::string& dataset) const;
  /// The same for a dataset that must have one dimension.
  template <class T>
  std::vector<T> read_list(const std::string& dataset) const;

  /// Data of more than 256 numbers is chunked, shuffled and compressed.
  template <class T>
  void write(const std::string& dataset, const Shape& shape, std::span<const T> values) const;
  template <class T>
  void write(const std::string& dataset, const std::vector<T>& list) const {
    write<T>(dataset, {static_cast<int64>(list.size())}, std::span<const T>(list));
  }

  /// Makes a dataset of one dimension a dimension scale, and attaches it to an axis of another.
  void make_scale(const std::string& scale) const;
  void attach_scale(const std::string& dataset, int64 axis, const std::string& scale) const;

  bool has_attribute(const std::string& object, const std::string& name) const;
  std::vector<std::string> attribute_names(const std::string& object) const;  ///< sorted
  /// T is int64, double, bool, std::string or a vector of int64, double, std::string. A double may be stored
  /// as an integer; an int64 may not be stored as a float.
  template <class T>
  T attribute(const std::string& object, const std::string& name) const;
  /// In the type that it is stored in.
  AttributeValue any_attribute(const std::string& object, const std::string& name) const;
  void set_attribute(const std::string& object, const std::string& name, const AttributeValue& value) const;

  /// Writes out what is buffered; the only way to hear of a full disk.
  void flush() const;

  /// The file's path and this group's, for messages: "run.h5:/series".
  std::string where(const std::string& name = "") const;

 private:
  friend Group open_file(const std::filesystem::path&);
  friend Group create_file(const std::filesystem::path&);
  friend std::vector<std::byte> file_image(const std::filesystem::path&, FunctionRef<void(const Group&)>);
  struct State;
  static std::shared_ptr<const State> create(const std::filesystem::path&, int64 access);
  explicit Group(std::shared_ptr<const State> state) : state_(std::move(state)) {}
  std::shared_ptr<const State> state_;
};

/// Opens for reading. Throws UserError (input): missing, not HDF5, truncated.
Group open_file(const std::filesystem::path&);
/// Replaces what was there. Throws UserError (failed).
Group create_file(const std::filesystem::path&);
/// The bytes of the file that `fill` makes of an empty root; the path is for messages. HDF5 cannot close a
/// file that the disk did not take: what must outlive a full disk is made here, and written by
/// write_file_atomically().
std::vector<std::byte> file_image(const std::filesystem::path&, FunctionRef<void(const Group&)> fill);

}  // namespace fovea::h5
