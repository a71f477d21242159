#include "model/parameters.h"

#include <algorithm>
#include <span>
#include <utility>

#include "core/error.h"
#include "core/hash.h"
#include "core/random.h"
#include "kernels/random/normal.h"

namespace fovea {
namespace {
constexpr int64 kAlignment = 16;  // elements: 64 bytes of f32
constexpr int64 kDrawnAtOnce = int64{1} << 14;
}  // namespace

ParameterId ParameterLayout::add(Parameter parameter) {
  FOVEA_CHECK(find(parameter.name) == kNoParameter, "two parameters are called {}", parameter.name);
  parameter.offset = elements_;
  elements_ += round_up(parameter.elements(), kAlignment);
  parameters_.push_back(std::move(parameter));
  return static_cast<ParameterId>(parameters_.size()) - 1;
}

ParameterId ParameterLayout::add_matrix(std::string name, int64 rows, int64 columns, double std,
                                        bool whole_gradient) {
  return add({.name = std::move(name),
              .rows = rows,
              .columns = columns,
              .decay = true,
              .whole_gradient = whole_gradient,
              .init = {.std = std}});
}

ParameterId ParameterLayout::add_vector(std::string name, int64 n, double constant) {
  return add({.name = std::move(name), .columns = n, .vector = true, .init = {.constant = constant}});
}

ParameterId ParameterLayout::find(std::string_view name) const {
  for (size_t i = 0; i < parameters_.size(); ++i)
    if (parameters_[i].name == name) return static_cast<ParameterId>(i);
  return kNoParameter;
}

int64 ParameterLayout::count() const {
  int64 n = 0;
  for (const Parameter& parameter : parameters_) n += parameter.elements();
  return n;
}

View ParameterLayout::view(const View& flat, ParameterId id) const {
  const Parameter& parameter = (*this)[id];
  const View range = flat.slice({parameter.offset, parameter.offset + parameter.elements()});
  return parameter.vector ? range : range.reshape({parameter.rows, parameter.columns});
}

Ranges summed_gradients(const ParameterLayout& layout) {
  const std::vector<Parameter>& all = layout.parameters();
  std::vector<Range> ranges;
  for (size_t i = 0; i < all.size(); ++i) {
    if (all[i].whole_gradient) continue;
    const int64 begin = all[i].offset;
    while (i + 1 < all.size() && !all[i + 1].whole_gradient) ++i;
    ranges.push_back({begin, all[i].offset + all[i].elements()});
  }
  return std::make_shared<const std::vector<Range>>(std::move(ranges));
}

namespace {

// Elements of `flat`, one parameter's, from their own coordinates.
void initialise_range(const Parameter& parameter, const View& flat, uint64 seed, Range range) {
  const std::string& name = parameter.name;
  const RandomSequence random{
      seed, RandomUse::initialisation,
      static_cast<uint32>(hash64(std::as_bytes(std::span(name.data(), name.size()))))};
  const bool draws = parameter.init.std > 0;
  if (draws && flat.dtype() == DType::f32) {
    draw_normal(random, parameter.init.std, static_cast<uint64>(range.begin), range.size(),
                flat.data<float>() + range.begin);
    return;
  }
  for (int64 i = range.begin; i < range.end; ++i)
    store(flat, {i},
          draws ? parameter.init.std * random.normal(static_cast<uint64>(i)) : parameter.init.constant);
}

}  // namespace

void initialise(const Parameter& parameter, const View& view, uint64 seed) {
  const int64 n = parameter.elements();
  initialise_range(parameter, view.reshape({n}), seed, {0, n});
}

void initialise(const ParameterLayout& layout, const View& flat, uint64 seed) {
  for (const Parameter& parameter : layout.parameters())
    initialise_range(parameter, flat.slice({parameter.offset, parameter.offset + parameter.elements()}), seed,
                     {0, parameter.elements()});
}

void initialise(Stream& stream, const ParameterLayout& layout, const View& flat, uint64 seed) {
  stream.enqueue(Work{"initialise", 0, 0, bytes_of(flat)}, [&layout, flat, seed](Execution& execution) {
    for (const Parameter& parameter : layout.parameters()) {
      const int64 n = parameter.elements();
      const View own = flat.slice({parameter.offset, parameter.offset + n});
      execution.parallel_for(ceil_div(n, kDrawnAtOnce), [&](int64 part, int) {
        const int64 begin = part * kDrawnAtOnce;
        initialise_range(parameter, own, seed, {begin, std::min(n, begin + kDrawnAtOnce)});
      });
    }
  });
}

}  // namespace fovea
