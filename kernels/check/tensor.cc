#include "kernels/check/tensor.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "core/error.h"

namespace fovea::check {

View make_view(void* data, DType dtype, const std::vector<int64>& shape, const std::vector<int64>& strides) {
  const auto& s = shape;
  const auto& t = strides;
  switch (shape.size()) {
    case 0:
      return {};
    case 1:
      return {data, dtype, {s[0]}, {t[0]}};
    case 2:
      return {data, dtype, {s[0], s[1]}, {t[0], t[1]}};
    case 3:
      return {data, dtype, {s[0], s[1], s[2]}, {t[0], t[1], t[2]}};
    default:
      return {data, dtype, {s[0], s[1], s[2], s[3]}, {t[0], t[1], t[2], t[3]}};
  }
}

Tensor::Tensor(DType dtype, std::vector<int64> shape, Layout layout) : shape_(std::move(shape)) {
  std::vector<int64> strides(shape_.size(), 1);
  int64 stride = 1;
  for (size_t axis = shape_.size(); axis-- > 0;) {
    strides[axis] = stride;
    stride = stride * shape_[axis] + (axis + 1 == shape_.size() && axis > 0 ? layout.gap : 0);
  }
  memory_ = Buffer((layout.offset + stride + kBorder) * size_of(dtype));
  std::memset(memory_.data(), 0xff, static_cast<size_t>(memory_.bytes()));
  view_ = make_view(memory_.data() + layout.offset * size_of(dtype), dtype, shape_, strides);
}

Tensor::OnDevice::OnDevice(const Tensor& tensor)
    : tensor_(tensor), memory_(tensor.memory_.bytes(), Device::cuda) {
  device::copy(memory_.data(), tensor.memory_.data(), memory_.bytes());
}

View Tensor::OnDevice::view() const {
  const View& host = tensor_.view_;
  if (!host) return {};
  return host.on(memory_.data() + (static_cast<std::byte*>(host.data()) - tensor_.memory_.data()),
                 Device::cuda);
}

void Tensor::OnDevice::copy_back() const {
  device::copy(tensor_.memory_.data(), memory_.data(), memory_.bytes());
}

std::vector<std::byte> Tensor::bits() const {
  std::vector<std::byte> bits;
  bits.reserve(static_cast<size_t>(view_.bytes()));
  for_each_row([&](const View& row) {
    const auto* first = static_cast<const std::byte*>(row.data());
    bits.insert(bits.end(), first, first + row.bytes());
  });
  return bits;
}

std::vector<double> Tensor::values() const {
  std::vector<double> values;
  values.reserve(static_cast<size_t>(elements()));
  for_each_row([&](const View& row) {
    for (int64 i = 0; i < row.size(0); ++i) values.push_back(load(row, {i}));
  });
  return values;
}

void Tensor::fill(const std::vector<double>& values) {
  FOVEA_CHECK(static_cast<int64>(values.size()) == elements(), "{} values for {} elements", values.size(),
              elements());
  size_t next = 0;
  for_each_row([&](const View& row) {
    for (int64 i = 0; i < row.size(0); ++i) store(row, {i}, values[next++]);
  });
}

bool Tensor::gaps_untouched() const {
  const auto poisoned = [](const std::byte* from, const std::byte* to) {
    return std::all_of(from, to, [](std::byte b) { return b == std::byte{0xff}; });
  };
  bool untouched = true;
  const std::byte* gap = memory_.data();
  for_each_row([&](const View& row) {
    const auto* first = static_cast<const std::byte*>(row.data());
    untouched = untouched && poisoned(gap, first);
    gap = first + row.bytes();
  });
  return untouched && (elements() == 0 || poisoned(gap, memory_.data() + memory_.bytes()));
}

void Tensor::for_each_row(const std::function<void(const View&)>& f) const {
  if (elements() == 0) return;
  const int64 columns = view_.size(view_.rank() - 1);
  for (int64 i = 0; i < elements(); i += columns) f(element(i, columns));
}

View Tensor::element(int64 i, int64 count) const {
  int64 offset = 0;
  for (int axis = view_.rank() - 1; axis >= 0; --axis) {
    offset += i % view_.size(axis) * view_.stride(axis);
    i /= view_.size(axis);
  }
  return {static_cast<std::byte*>(view_.data()) + offset * size_of(dtype()), dtype(), {count}};
}

}  // namespace fovea::check
