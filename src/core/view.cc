#include "core/view.h"

#include <algorithm>

namespace fovea {

View::View(void* data, DType dtype, std::initializer_list<int64> shape, Device device)
    : data_(data), dtype_(dtype), device_(device), rank_(static_cast<int>(shape.size())) {
  FOVEA_CHECK(rank_ >= 1 && rank_ <= kMaxRank, "a view has 1 to {} axes, not {}", kMaxRank, rank_);
  std::copy(shape.begin(), shape.end(), shape_.begin());
  int64 stride = 1;
  for (int axis = rank_ - 1; axis >= 0; --axis) {
    strides_[static_cast<size_t>(axis)] = stride;
    stride *= size(axis);
  }
}

View::View(void* data, DType dtype, std::initializer_list<int64> shape, std::initializer_list<int64> strides,
           Device device)
    : View(data, dtype, shape, device) {
  FOVEA_CHECK(strides.size() == shape.size(), "{} strides for {} axes", strides.size(), shape.size());
  std::copy(strides.begin(), strides.end(), strides_.begin());
  FOVEA_CHECK(stride(rank_ - 1) == 1, "the innermost stride is {}, not 1", stride(rank_ - 1));
}

int64 View::elements() const {
  if (rank_ == 0) return 0;
  int64 n = 1;
  for (int axis = 0; axis < rank_; ++axis) n *= size(axis);
  return n;
}

bool View::contiguous() const {
  int64 stride = 1;
  for (int axis = rank_ - 1; axis >= 0; --axis) {
    if (size(axis) != 1 && strides_[static_cast<size_t>(axis)] != stride) return false;
    stride *= size(axis);
  }
  return true;
}

bool View::has_shape(std::initializer_list<int64> shape) const {
  return static_cast<int>(shape.size()) == rank_ && std::equal(shape.begin(), shape.end(), shape_.begin());
}

void* View::at(std::initializer_list<int64> index) const {
  FOVEA_CHECK(static_cast<int>(index.size()) == rank_, "{} indices for {} axes", index.size(), rank_);
  int64 offset = 0, axis = 0;
  for (int64 i : index) offset += i * strides_[static_cast<size_t>(axis++)];
  return static_cast<std::byte*>(data_) + offset * size_of(dtype_);
}

View View::reshape(std::initializer_list<int64> shape) const {
  FOVEA_CHECK(contiguous(), "only contiguous views can be reshaped: {}", describe());
  View view(data_, dtype_, shape, device_);
  FOVEA_CHECK(view.elements() == elements(), "{} reshaped to {}", describe(), view.describe());
  return view;
}

View View::on(void* data, Device device) const {
  View view = *this;
  view.data_ = data;
  view.device_ = device;
  return view;
}

View View::slice(Range rows) const {
  FOVEA_CHECK(0 <= rows.begin && rows.begin <= rows.end && rows.end <= size(0), "rows [{}, {}) of {}",
              rows.begin, rows.end, describe());
  View view = *this;
  view.data_ = static_cast<std::byte*>(data_) + rows.begin * stride(0) * size_of(dtype_);
  view.shape_[0] = rows.size();
  return view;
}

std::string View::describe() const {
  if (rank_ == 0) return "nothing";
  std::string text = fmt::format("{} (", name_of(dtype_));
  for (int axis = 0; axis < rank_; ++axis) text += fmt::format("{}{}", axis ? ", " : "", size(axis));
  return text + ")";
}

void expect(const View& view, std::string_view name, std::initializer_list<int64> shape) {
  if (view.has_shape(shape)) return;
  const View wanted(nullptr, view.dtype(), shape);
  FOVEA_CHECK(false, "{} is {}, wanted {}", name, view.describe(), wanted.describe());
}

void expect(const View& view, std::string_view name, std::initializer_list<int64> shape, DType dtype) {
  expect(view, name, shape);
  FOVEA_CHECK(view.dtype() == dtype, "{} is {}, wanted {}", name, name_of(view.dtype()), name_of(dtype));
}

void expect_optional(const View& view, std::string_view name, std::initializer_list<int64> shape) {
  if (view) expect(view, name, shape);
}

double load(const View& view, std::initializer_list<int64> index) {
  const void* p = view.at(index);
  switch (view.dtype()) {
    case DType::f64:
      return *static_cast<const double*>(p);
    case DType::f32:
      return static_cast<double>(*static_cast<const float*>(p));
    case DType::bf16:
      return static_cast<double>(to_f32(*static_cast<const bf16*>(p)));
    case DType::f16:
      return static_cast<double>(to_f32(*static_cast<const f16*>(p)));
    case DType::i32:
      return *static_cast<const int32*>(p);
  }
  return 0;
}

void store(const View& view, std::initializer_list<int64> index, double value) {
  void* p = view.at(index);
  switch (view.dtype()) {
    case DType::f64:
      *static_cast<double*>(p) = value;
      return;
    case DType::f32:
      *static_cast<float*>(p) = static_cast<float>(value);
      return;
    case DType::bf16:
      *static_cast<bf16*>(p) = bf16(static_cast<float>(value));
      return;
    case DType::f16:
      *static_cast<f16*>(p) = f16(static_cast<float>(value));
      return;
    case DType::i32:
      *static_cast<int32*>(p) = static_cast<int32>(value);
      return;
  }
}

}  // namespace fovea
