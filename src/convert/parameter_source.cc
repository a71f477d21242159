#include "convert/parameter_source.h"

#include <cstring>
#include <type_traits>

#include "core/buffer.h"
#include "core/error.h"
#include "core/file.h"

namespace fovea {
namespace {

// Any floating-point dtype.
template <class F>
void dispatch_wide(DType dtype, const F& f) {
  if (dtype == DType::f64) return f.template operator()<double>();
  dispatch(dtype, f);
}

template <class From, class To>
To converted(From x) {
  if constexpr (std::is_same_v<From, To>)
    return x;
  else if constexpr (std::is_same_v<To, double>)
    return static_cast<double>(to_f32(x));
  else if constexpr (std::is_same_v<From, double>)
    return from_f32<To>(static_cast<float>(x));
  else
    return from_f32<To>(to_f32(x));
}

}  // namespace

void convert_elements(const std::byte* from, DType dtype, const View& to) {
  FOVEA_CHECK(to.contiguous(), "elements are converted into strided memory");
  const int64 n = to.elements();
  if (dtype == to.dtype()) {
    if (n > 0) std::memcpy(to.data(), from, static_cast<size_t>(to.bytes()));
    return;
  }
  dispatch_wide(dtype, [&]<class From>() {
    dispatch_wide(to.dtype(), [&]<class To>() {
      To* out = to.data<To>();
      for (int64 i = 0; i < n; ++i) {
        From value;
        std::memcpy(&value, from + i * static_cast<int64>(sizeof value), sizeof value);
        out[i] = converted<From, To>(value);
      }
    });
  });
}

void ParameterSource::show(ParameterId id, int64 elements,
                           const std::function<void(std::span<const std::byte>)>& take) const {
  if (const std::span<const std::byte> bytes = mapped ? mapped(id) : std::span<const std::byte>();
      !bytes.empty()) {
    expect_pages(bytes);
    take(bytes);
    release_pages(bytes);
    return;
  }
  const Buffer data(dtype(id), {elements});
  read(id, data);
  take({data.data(), static_cast<size_t>(data.view().bytes())});
}

ParameterSource source_of(const ParameterLayout& layout, std::span<const float> parameters) {
  return {[](ParameterId) { return DType::f32; },
          [&layout, parameters](ParameterId id, const View& to) {
            const Parameter& p = layout[id];
            const auto part =
                parameters.subspan(static_cast<size_t>(p.offset), static_cast<size_t>(p.elements()));
            convert_elements(std::as_bytes(part).data(), DType::f32, to);
          }};
}

void read_all(const ParameterSource& source, const ParameterLayout& layout, const View& to) {
  for (ParameterId id = 0; id < static_cast<ParameterId>(layout.parameters().size()); ++id)
    source.read(id, layout.view(to, id));
}

std::vector<float> read_all(const ParameterSource& source, const ParameterLayout& layout) {
  std::vector<float> parameters(static_cast<size_t>(layout.elements()));
  read_all(source, layout, View(parameters.data(), DType::f32, {layout.elements()}));
  return parameters;
}

}  // namespace fovea
