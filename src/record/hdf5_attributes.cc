#include <algorithm>

#include "record/hdf5_internal.h"

namespace fovea::h5 {
namespace {

template <class T>
struct ElementOf {
  using type = T;
};
template <class T>
struct ElementOf<std::vector<T>> {
  using type = T;
};

constexpr int64 kMostElements = 1 << 20;  // an attribute is small by nature; a larger one is hostile

/// {FALSE = 0, TRUE = 1} on a byte, as h5py and PyTables store booleans.
Id bool_type() {
  Id type(H5Tenum_create(H5T_NATIVE_INT8));
  const signed char no = 0, yes = 1;
  H5Tenum_insert(type.get(), "FALSE", &no);
  H5Tenum_insert(type.get(), "TRUE", &yes);
  return type;
}

bool is_bool(hid_t type) {
  if (H5Tget_class(type) != H5T_ENUM || H5Tget_nmembers(type) != 2 || H5Tget_size(type) != 1) return false;
  signed char no = -1, yes = -1;
  return H5Tenum_valueof(type, "FALSE", &no) >= 0 && H5Tenum_valueof(type, "TRUE", &yes) >= 0 && no == 0 &&
         yes == 1;
}

struct OpenAttribute {
  Id id, type, space;
  int64 elements = 0;
  bool scalar = false;
  std::string where;
};

OpenAttribute open_attribute(hid_t group, const std::string& object, const std::string& name,
                             std::string where) {
  OpenAttribute a;
  a.where = std::move(where);
  if (H5Aexists_by_name(group, object.c_str(), name.c_str(), H5P_DEFAULT) <= 0)
    fail_input("{}: the attribute is not in the file", a.where);
  a.id = Id(H5Aopen_by_name(group, object.c_str(), name.c_str(), H5P_DEFAULT, H5P_DEFAULT));
  if (!a.id.ok()) fail_input("{}: the attribute cannot be read", a.where);
  a.type = Id(H5Aget_type(a.id.get()));
  a.space = Id(H5Aget_space(a.id.get()));
  const Shape shape = shape_of(a.space.get(), a.where);
  if (shape.size() > 1) fail_input("{}: has {} dimensions, wanted is one", a.where, shape.size());
  a.scalar = shape.empty();
  a.elements = element_count(shape, a.where);
  if (a.elements > kMostElements) fail_input("{}: {} elements are too many", a.where, a.elements);
  return a;
}

/// A 64-bit unsigned or a float may not fit; H5Aread clamps without a word, so the widths are checked here.
template <class T>
std::vector<T> read_numbers(const OpenAttribute& a) {
  const Kind kind = kind_of(a.type.get());
  const bool wide = kind == Kind::integer &&
                    (H5Tget_size(a.type.get()) > 8 ||
                     (H5Tget_size(a.type.get()) == 8 && H5Tget_sign(a.type.get()) == H5T_SGN_NONE));
  std::vector<T> values(static_cast<size_t>(a.elements));
  if (std::is_integral_v<T> && wide) {
    std::vector<unsigned long long> raw(values.size());
    if (H5Tget_size(a.type.get()) > 8 ||
        (a.elements > 0 && H5Aread(a.id.get(), H5T_NATIVE_ULLONG, raw.data()) < 0))
      fail_input("{}: cannot be read as integers of 64 bits", a.where);
    for (const unsigned long long v : raw)
      if (v >> 63) fail_input("{}: {} does not fit 63 bits", a.where, v);
  }
  if (a.elements > 0 && H5Aread(a.id.get(), memory_type<T>().get(), values.data()) < 0)
    fail_input("{}: the attribute cannot be read", a.where);
  return values;
}

std::vector<std::string> read_texts(const OpenAttribute& a) {
  return read_strings(a.type.get(), a.space.get(), a.elements, a.where,
                      [&](hid_t type, void* buffer) { return H5Aread(a.id.get(), type, buffer); });
}

template <class T>
std::vector<T> read_elements(const OpenAttribute& a) {
  const Kind kind = kind_of(a.type.get());
  if constexpr (std::is_same_v<T, std::string>) {
    if (kind != Kind::string) fail_input("{}: holds {}, wanted is a string", a.where, name_of(kind));
    return read_texts(a);
  } else {
    const bool ok = kind == Kind::integer || (std::is_floating_point_v<T> && kind == Kind::floating);
    if (!ok)
      fail_input("{}: holds {}, wanted is {}", a.where, name_of(kind),
                 std::is_floating_point_v<T> ? "a number" : "an integer");
    return read_numbers<T>(a);
  }
}

bool read_bool(const OpenAttribute& a) {
  if (is_bool(a.type.get())) {
    signed char value = 0;
    if (a.elements != 1 || H5Aread(a.id.get(), a.type.get(), &value) < 0 || value < 0 || value > 1)
      fail_input("{}: is not true or false", a.where);
    return value != 0;
  }
  const std::vector<int64> values = read_elements<int64>(a);
  if (values.size() != 1 || values[0] < 0 || values[0] > 1) fail_input("{}: is not true or false", a.where);
  return values[0] != 0;
}

/// One value's type, extent and bytes, ready for H5Awrite.
struct Stored {
  Id type, space;
  const void* data = nullptr;
  std::vector<const char*> pointers;
  signed char boolean = 0;
};

template <class T>
Stored stored(const T& value) {
  using E = typename ElementOf<T>::type;
  constexpr bool kList = !std::is_same_v<T, E>;
  Stored s;
  std::span<const E> elements;
  if constexpr (kList)
    elements = value;
  else
    elements = std::span<const E>(&value, 1);
  const hsize_t n = elements.size();
  s.space = kList ? Id(H5Screate_simple(1, &n, nullptr)) : Id(H5Screate(H5S_SCALAR));
  if constexpr (std::is_same_v<E, bool>) {
    s.type = bool_type();
    s.boolean = value ? 1 : 0;
  } else if constexpr (std::is_same_v<E, std::string>) {
    s.type = utf8_type();
    for (const std::string& text : elements) s.pointers.push_back(text.c_str());
    s.data = s.pointers.data();
  } else {
    s.type = memory_type<E>();
    s.data = elements.data();
  }
  return s;
}

}  // namespace

bool Group::has_attribute(const std::string& object, const std::string& name) const {
  const Call call;
  return has(object) && H5Aexists_by_name(state_->group.get(), object.c_str(), name.c_str(), H5P_DEFAULT) > 0;
}

std::vector<std::string> Group::attribute_names(const std::string& object) const {
  const Call call;
  std::vector<std::string> names;
  const auto add = [](hid_t, const char* name, const H5A_info_t*, void* list) {
    static_cast<std::vector<std::string>*>(list)->emplace_back(name);
    return herr_t{0};
  };
  if (H5Aiterate_by_name(state_->group.get(), object.c_str(), H5_INDEX_NAME, H5_ITER_INC, nullptr, add,
                         &names, H5P_DEFAULT) < 0)
    fail_input("{}: its attributes cannot be listed", where(object));
  std::sort(names.begin(), names.end());
  return names;
}

template <class T>
T Group::attribute(const std::string& object, const std::string& name) const {
  const Call call;
  if (!has(object)) fail_input("{}: is not in the file", where(object));
  const OpenAttribute a = open_attribute(state_->group.get(), object, name, where(object) + "@" + name);
  if constexpr (std::is_same_v<T, bool>) {
    return read_bool(a);
  } else {
    using E = typename ElementOf<T>::type;
    std::vector<E> values = read_elements<E>(a);
    if constexpr (std::is_same_v<T, E>) {
      if (values.size() != 1) fail_input("{}: has {} values, wanted is one", a.where, values.size());
      return std::move(values.front());
    } else {
      return values;
    }
  }
}

AttributeValue Group::any_attribute(const std::string& object, const std::string& name) const {
  const Call call;
  if (!has(object)) fail_input("{}: is not in the file", where(object));
  const OpenAttribute a = open_attribute(state_->group.get(), object, name, where(object) + "@" + name);
  if (is_bool(a.type.get())) return attribute<bool>(object, name);
  switch (kind_of(a.type.get())) {
    case Kind::floating:
      if (a.scalar) return attribute<double>(object, name);
      return attribute<std::vector<double>>(object, name);
    case Kind::integer:
      if (a.scalar) return attribute<int64>(object, name);
      return attribute<std::vector<int64>>(object, name);
    case Kind::string:
      if (a.scalar) return attribute<std::string>(object, name);
      return attribute<std::vector<std::string>>(object, name);
    case Kind::other:
      break;
  }
  fail_input("{}: holds {}", a.where, name_of(Kind::other));
}

void Group::set_attribute(const std::string& object, const std::string& name,
                          const AttributeValue& value) const {
  const Call call;
  Stored s = std::visit([](const auto& v) { return stored(v); }, value);
  if (std::holds_alternative<bool>(value)) s.data = &s.boolean;
  const hid_t group = state_->group.get();
  if (has_attribute(object, name)) H5Adelete_by_name(group, object.c_str(), name.c_str(), H5P_DEFAULT);
  const Id made(H5Acreate_by_name(group, object.c_str(), name.c_str(), s.type.get(), s.space.get(),
                                  H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
  const bool empty = std::visit(
      [](const auto& v) {
        if constexpr (requires { v.empty(); } && !std::is_same_v<std::decay_t<decltype(v)>, std::string>)
          return v.empty();
        else
          return false;
      },
      value);
  if (!made.ok() || (!empty && H5Awrite(made.get(), s.type.get(), s.data) < 0))
    fail_run("{}@{}: the attribute cannot be written; is the disk full?", where(object), name);
}

#define FOVEA_H5_INSTANTIATE(T) template T Group::attribute<T>(const std::string&, const std::string&) const;
FOVEA_H5_INSTANTIATE(int64)
FOVEA_H5_INSTANTIATE(double)
FOVEA_H5_INSTANTIATE(bool)
FOVEA_H5_INSTANTIATE(std::string)
FOVEA_H5_INSTANTIATE(std::vector<int64>)
FOVEA_H5_INSTANTIATE(std::vector<double>)
FOVEA_H5_INSTANTIATE(std::vector<std::string>)
#undef FOVEA_H5_INSTANTIATE

}  // namespace fovea::h5
