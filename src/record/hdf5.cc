#include "record/hdf5.h"

#include <hdf5_hl.h>

#include <algorithm>
#include <cstring>
#include <limits>

#include "record/hdf5_internal.h"

namespace fovea::h5 {
namespace {

constexpr int64 kCompressFrom = 256;       // elements; fewer are not worth a chunk index
constexpr int64 kChunkElements = 1 << 16;  // 512 KiB of doubles, HDF5's chunk cache holds one
constexpr int64 kDeflateRatio = 1032;      // zlib's best; data that claims more was never written

std::string child_path(const std::string& parent, const std::string& name) {
  if (name.empty() || name == ".") return parent;
  if (name.front() == '/') return name;
  return fmt::format("{}/{}", parent == "/" ? "" : parent, name);
}

/// H5Lexists wants every step of a path to exist.
bool link_exists(hid_t group, const std::string& name) {
  if (name == "." || name == "/") return true;
  for (size_t end = name.find('/', 1);; end = name.find('/', end + 1)) {
    if (H5Lexists(group, name.substr(0, end).c_str(), H5P_DEFAULT) <= 0) return false;
    if (end == std::string::npos) break;
  }
  return H5Oexists_by_name(group, name.c_str(), H5P_DEFAULT) > 0;  // false for a link to nowhere
}

H5T_conv_ret_t refuse_out_of_range(H5T_conv_except_t what, hid_t, hid_t, void*, void*, void*) {
  return what == H5T_CONV_EXCEPT_RANGE_HI || what == H5T_CONV_EXCEPT_RANGE_LOW ? H5T_CONV_ABORT
                                                                               : H5T_CONV_UNHANDLED;
}

Id intermediate_groups() {
  Id list(H5Pcreate(H5P_LINK_CREATE));
  H5Pset_create_intermediate_group(list.get(), 1);
  H5Pset_char_encoding(list.get(), H5T_CSET_UTF8);
  return list;
}

std::vector<hsize_t> extent(const Shape& shape) { return {shape.begin(), shape.end()}; }

Id dataspace(const Shape& shape) {
  if (shape.empty()) return Id(H5Screate(H5S_SCALAR));
  const std::vector<hsize_t> size = extent(shape);
  return Id(H5Screate_simple(static_cast<int>(size.size()), size.data(), nullptr));
}

/// Chunks of whole inner rows, about kChunkElements each.
Id layout(const Shape& shape, int64 elements, bool compress) {
  Id list(H5Pcreate(H5P_DATASET_CREATE));
  if (!compress || elements <= kCompressFrom) return list;
  std::vector<hsize_t> chunk = extent(shape);
  int64 left = elements;
  for (hsize_t& side : chunk) {
    if (left <= kChunkElements) break;
    const int64 inner = left / static_cast<int64>(side);
    side = static_cast<hsize_t>(std::max<int64>(1, kChunkElements / std::max<int64>(1, inner)));
    left = inner;
  }
  H5Pset_chunk(list.get(), static_cast<int>(chunk.size()), chunk.data());
  if (H5Zfilter_avail(H5Z_FILTER_DEFLATE) > 0) {
    H5Pset_shuffle(list.get());
    H5Pset_deflate(list.get(), 4);
  }
  return list;
}

/// Refuses data that lies in another file, and sizes that the file cannot hold, before memory is taken.
void check_storage(hid_t dataset, int64 elements, size_t element_bytes, const std::string& where) {
  const Id list(H5Dget_create_plist(dataset));
  if (H5Pget_external_count(list.get()) > 0 || H5Pget_layout(list.get()) == H5D_VIRTUAL)
    fail_input("{}: the data lies in another file; copy it into this one", where);
  const hsize_t stored = H5Dget_storage_size(dataset);
  const auto claimed = static_cast<double>(elements) * static_cast<double>(element_bytes);
  if (claimed > static_cast<double>(stored) * kDeflateRatio + 65536)
    fail_input(
        "{}: claims {} elements but the file holds {} bytes of them; it is damaged or was never written",
        where, elements, stored);
}

template <class T>
void check_kind(Kind stored, const std::string& where) {
  const bool ok = std::is_same_v<T, std::string> ? stored == Kind::string
                  : std::is_floating_point_v<T>  ? stored == Kind::floating || stored == Kind::integer
                                                 : stored == Kind::integer;
  const char* wanted = std::is_same_v<T, std::string> ? "strings"
                       : std::is_floating_point_v<T>  ? "numbers"
                                                      : "integers";
  if (!ok) fail_input("{}: holds {}, wanted are {}", where, name_of(stored), wanted);
}

struct OpenDataset {
  Id id, type, space;
  Shape shape;
  int64 elements = 0;
};

OpenDataset open_dataset(hid_t group, const std::string& name, const std::string& where) {
  OpenDataset d;
  if (!link_exists(group, name)) fail_input("{}: is not in the file", where);
  d.id = Id(H5Dopen2(group, name.c_str(), H5P_DEFAULT));
  if (!d.id.ok()) fail_input("{}: is not a readable dataset", where);
  d.type = Id(H5Dget_type(d.id.get()));
  d.space = Id(H5Dget_space(d.id.get()));
  if (!d.type.ok() || !d.space.ok()) fail_input("{}: its type or shape cannot be read", where);
  d.shape = shape_of(d.space.get(), where);
  d.elements = element_count(d.shape, where);
  return d;
}

}  // namespace

Kind kind_of(hid_t type) {
  switch (H5Tget_class(type)) {
    case H5T_FLOAT:
      return Kind::floating;
    case H5T_INTEGER:
      return Kind::integer;
    case H5T_STRING:
      return Kind::string;
    default:
      return Kind::other;
  }
}

const char* name_of(Kind kind) {
  switch (kind) {
    case Kind::floating:
      return "floats";
    case Kind::integer:
      return "integers";
    case Kind::string:
      return "strings";
    case Kind::other:
      break;
  }
  return "values of some other type";
}

Shape shape_of(hid_t space, const std::string& where) {
  if (H5Sget_simple_extent_type(space) == H5S_NULL) fail_input("{}: is empty (a null dataspace)", where);
  const int rank = H5Sget_simple_extent_ndims(space);
  if (rank < 0) fail_input("{}: its shape cannot be read", where);
  std::vector<hsize_t> size(static_cast<size_t>(rank));
  if (rank > 0) H5Sget_simple_extent_dims(space, size.data(), nullptr);
  Shape shape;
  for (const hsize_t n : size) {
    if (n > static_cast<hsize_t>(std::numeric_limits<int64>::max()))
      fail_input("{}: a dimension of {} is too large", where, n);
    shape.push_back(static_cast<int64>(n));
  }
  return shape;
}

int64 element_count(const Shape& shape, const std::string& where) {
  int64 n = 1;
  for (const int64 side : shape) {
    // 8 bytes an element must fit too
    if (side != 0 && n > std::numeric_limits<int64>::max() / 8 / side)
      fail_input("{}: its size overflows 64 bits", where);
    n *= side;
  }
  return n;
}

Id strict_transfer() {
  Id list(H5Pcreate(H5P_DATASET_XFER));
  H5Pset_type_conv_cb(list.get(), refuse_out_of_range, nullptr);
  return list;
}

Id utf8_type() {
  Id type(H5Tcopy(H5T_C_S1));
  H5Tset_size(type.get(), H5T_VARIABLE);
  H5Tset_cset(type.get(), H5T_CSET_UTF8);
  return type;
}

Group open_file(const std::filesystem::path& path) {
  const Call call;
  if (!std::filesystem::exists(path)) fail_input("{}: there is no such file", path.string());
  if (!std::filesystem::is_regular_file(path)) fail_input("{}: is not a regular file", path.string());
  const Id access(H5Pcreate(H5P_FILE_ACCESS));
  H5Pset_fclose_degree(access.get(), H5F_CLOSE_WEAK);
  const Id file(H5Fopen(path.c_str(), H5F_ACC_RDONLY, access.get()));
  if (!file.ok()) {
    const bool ours = H5Fis_hdf5(path.c_str()) > 0;
    fail_input("{}: {}", path.string(), ours ? "cannot be opened; is it truncated?" : "is not an HDF5 file");
  }
  auto state = std::make_shared<Group::State>();
  state->file = path;
  state->group = Id(H5Gopen2(file.get(), "/", H5P_DEFAULT));
  if (!state->group.ok()) fail_input("{}: has no readable root", path.string());
  return Group(std::move(state));
}

namespace {

Id writing_access() {
  Id access(H5Pcreate(H5P_FILE_ACCESS));
  H5Pset_fclose_degree(access.get(), H5F_CLOSE_WEAK);
  H5Pset_libver_bounds(access.get(), H5F_LIBVER_V18, H5F_LIBVER_LATEST);
  return access;
}

}  // namespace

std::shared_ptr<const Group::State> Group::create(const std::filesystem::path& path, int64 access) {
  const Id file(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, access));
  if (!file.ok()) fail_run("{}: cannot be created; is its directory there and writable?", path.string());
  auto state = std::make_shared<State>();
  state->file = path;
  state->writing = true;
  state->group = Id(H5Gopen2(file.get(), "/", H5P_DEFAULT));
  return state;
}

Group create_file(const std::filesystem::path& path) {
  const Call call;
  return Group(Group::create(path, writing_access().get()));
}

namespace {

// HDF5's memory for a file, which it lets go of when it has closed the file and all is in it.
H5FD_file_image_callbacks_t memory_in(std::vector<std::byte>& bytes) {
  const auto grow = [](void*, size_t size, H5FD_file_image_op_t, void* to) -> void* {
    auto& memory = *static_cast<std::vector<std::byte>*>(to);
    memory.resize(size);
    return memory.data();
  };
  const auto take = [](size_t size, H5FD_file_image_op_t, void* to) -> void* {
    auto& memory = *static_cast<std::vector<std::byte>*>(to);
    memory.resize(size);
    return memory.data();
  };
  const auto copy = [](void* to, const void* from, size_t size, H5FD_file_image_op_t, void*) {
    return std::memcpy(to, from, size);
  };
  const auto keep = [](void*, H5FD_file_image_op_t, void*) { return herr_t{0}; };
  return {take, copy, grow, keep, [](void* same) { return same; }, [](void*) { return herr_t{0}; }, &bytes};
}

}  // namespace

std::vector<std::byte> file_image(const std::filesystem::path& path, FunctionRef<void(const Group&)> fill) {
  constexpr size_t kGrowth = 1 << 18;  // bytes
  const Call call;
  std::vector<std::byte> bytes;
  {
    const Id access = writing_access();
    H5FD_file_image_callbacks_t memory = memory_in(bytes);
    H5Pset_file_image_callbacks(access.get(), &memory);
    H5Pset_fapl_core(access.get(), kGrowth, false);
    const Group root(Group::create(path, access.get()));
    fill(root);
    root.flush();
  }
  // Memory grows in steps; the superblock (of version 2, which the bounds above mean) has the end of the
  // file.
  constexpr size_t kVersion = 8, kEnd = 28;
  uint64 end = 0;
  FOVEA_CHECK(bytes.size() >= kEnd + sizeof end && bytes[kVersion] == std::byte{2},
              "an image of another form");
  std::memcpy(&end, bytes.data() + kEnd, sizeof end);
  FOVEA_CHECK(end <= bytes.size(), "an image of {} bytes in {}", end, bytes.size());
  bytes.resize(end);
  return bytes;
}

std::string Group::where(const std::string& name) const {
  return state_->file.string() + ":" + child_path(state_->path, name);
}

bool Group::has(const std::string& name) const {
  const Call call;
  return link_exists(state_->group.get(), name);
}

std::vector<std::string> Group::names() const {
  const Call call;
  std::vector<std::string> names;
  const auto add = [](hid_t, const char* name, const H5L_info_t*, void* list) {
    static_cast<std::vector<std::string>*>(list)->emplace_back(name);
    return herr_t{0};
  };
  if (H5Literate(state_->group.get(), H5_INDEX_NAME, H5_ITER_INC, nullptr, add, &names) < 0)
    fail_input("{}: its members cannot be listed", where());
  return names;
}

Group Group::group(const std::string& name) const {
  const Call call;
  auto state = std::make_shared<State>();
  state->file = state_->file;
  state->path = child_path(state_->path, name);
  state->writing = state_->writing;
  if (!has(name)) fail_input("{}: is not in the file", where(name));
  state->group = Id(H5Gopen2(state_->group.get(), name.c_str(), H5P_DEFAULT));
  if (!state->group.ok()) fail_input("{}: is not a group", where(name));
  return Group(std::move(state));
}

Group Group::create_group(const std::string& name) const {
  const Call call;
  const Id made(
      H5Gcreate2(state_->group.get(), name.c_str(), intermediate_groups().get(), H5P_DEFAULT, H5P_DEFAULT));
  if (!made.ok()) fail_run("{}: the group cannot be made", where(name));
  return group(name);
}

Info Group::info(const std::string& name) const {
  const Call call;
  const OpenDataset d = open_dataset(state_->group.get(), name, where(name));
  return {kind_of(d.type.get()), static_cast<int64>(H5Tget_size(d.type.get())), d.shape};
}

template <class T>
Array<T> Group::read(const std::string& name) const {
  const Call call;
  const std::string at = where(name);
  OpenDataset d = open_dataset(state_->group.get(), name, at);
  check_kind<T>(kind_of(d.type.get()), at);
  check_storage(d.id.get(), d.elements, H5Tget_size(d.type.get()), at);
  const auto read_into = [&](hid_t type, void* buffer) {
    return H5Dread(d.id.get(), type, H5S_ALL, H5S_ALL, strict_transfer().get(), buffer);
  };
  Array<T> array{std::move(d.shape), {}};
  if constexpr (std::is_same_v<T, std::string>) {
    array.values = read_strings(d.type.get(), d.space.get(), d.elements, at, read_into);
  } else {
    array.values.resize(static_cast<size_t>(d.elements));
    if (d.elements > 0 && read_into(memory_type<T>().get(), array.values.data()) < 0)
      fail_input("{}: cannot be read: damaged, or a number does not fit {} bits", at, 8 * sizeof(T));
  }
  return array;
}

template <class T>
std::vector<T> Group::read_list(const std::string& name) const {
  Array<T> array = read<T>(name);
  if (array.shape.size() != 1)
    fail_input("{}: has {} dimensions, wanted is one", where(name), array.shape.size());
  return std::move(array.values);
}

template <class T>
void Group::write(const std::string& name, const Shape& shape, std::span<const T> values) const {
  const Call call;
  const int64 elements = element_count(shape, where(name));
  FOVEA_CHECK(elements == static_cast<int64>(values.size()), "{}: {} values for a shape of {}", where(name),
              values.size(), elements);
  constexpr bool kStrings = std::is_same_v<T, std::string>;
  const Id space = dataspace(shape);
  Id type;
  if constexpr (kStrings)
    type = utf8_type();
  else
    type = memory_type<T>();
  const Id dataset(H5Dcreate2(state_->group.get(), name.c_str(), type.get(), space.get(),
                              intermediate_groups().get(), layout(shape, elements, !kStrings).get(),
                              H5P_DEFAULT));
  if (!dataset.ok()) fail_run("{}: cannot be created", where(name));
  if (elements == 0) return;
  herr_t status;
  if constexpr (kStrings) {
    std::vector<const char*> pointers;
    for (const std::string& text : values) pointers.push_back(text.c_str());
    status = H5Dwrite(dataset.get(), type.get(), H5S_ALL, H5S_ALL, H5P_DEFAULT, pointers.data());
  } else {
    status = H5Dwrite(dataset.get(), type.get(), H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data());
  }
  if (status < 0) fail_run("{}: cannot be written; is the disk full?", where(name));
}

void Group::make_scale(const std::string& scale) const {
  const Call call;
  const Id dataset(H5Dopen2(state_->group.get(), scale.c_str(), H5P_DEFAULT));
  const std::string label = scale.substr(scale.find_last_of('/') + 1);
  if (!dataset.ok() || H5DSset_scale(dataset.get(), label.c_str()) < 0)
    fail_run("{}: cannot be made a dimension scale", where(scale));
}

void Group::attach_scale(const std::string& name, int64 axis, const std::string& scale) const {
  const Call call;
  const Id dataset(H5Dopen2(state_->group.get(), name.c_str(), H5P_DEFAULT));
  const Id dimension(H5Dopen2(state_->group.get(), scale.c_str(), H5P_DEFAULT));
  if (!dataset.ok() || !dimension.ok() ||
      H5DSattach_scale(dataset.get(), dimension.get(), static_cast<unsigned>(axis)) < 0)
    fail_run("{}: the dimension scale {} cannot be attached", where(name), scale);
}

void Group::flush() const {
  const Call call;
  if (H5Fflush(state_->group.get(), H5F_SCOPE_GLOBAL) < 0)
    fail_run("{}: cannot be written; is the disk full?", state_->file.string());
}

#define FOVEA_H5_INSTANTIATE(T)                                          \
  template Array<T> Group::read<T>(const std::string&) const;            \
  template std::vector<T> Group::read_list<T>(const std::string&) const; \
  template void Group::write<T>(const std::string&, const Shape&, std::span<const T>) const;
FOVEA_H5_INSTANTIATE(float)
FOVEA_H5_INSTANTIATE(double)
FOVEA_H5_INSTANTIATE(int32)
FOVEA_H5_INSTANTIATE(int64)
FOVEA_H5_INSTANTIATE(std::string)
#undef FOVEA_H5_INSTANTIATE

}  // namespace fovea::h5
