#include "model/parameters.h"

#include <span>
#include <utility>

#include "core/error.h"
#include "core/hash.h"
#include "core/random.h"

namespace fovea {
namespace {
constexpr int64 kAlignment = 16;  // elements: 64 bytes of f32
}

ParameterId ParameterLayout::add(Parameter parameter) {
  FOVEA_CHECK(find(parameter.name) == kNoParameter, "two parameters are called {}", parameter.name);
  parameter.offset = elements_;
  elements_ += round_up(parameter.elements(), kAlignment);
  parameters_.push_back(std::move(parameter));
  return static_cast<ParameterId>(parameters_.size()) - 1;
}

ParameterId ParameterLayout::add_matrix(std::string name, int64 rows, int64 columns, double std) {
  return add(
      {.name = std::move(name), .rows = rows, .columns = columns, .decay = true, .init = {.std = std}});
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

void initialise(const Parameter& parameter, const View& view, uint64 seed) {
  const std::string& name = parameter.name;
  const RandomSequence random{
      seed, RandomUse::initialisation,
      static_cast<uint32>(hash64(std::as_bytes(std::span(name.data(), name.size()))))};
  const View flat = view.reshape({parameter.elements()});
  for (int64 i = 0; i < parameter.elements(); ++i) {
    const double value = parameter.init.std > 0 ? parameter.init.std * random.normal(static_cast<uint64>(i))
                                                : parameter.init.constant;
    store(flat, {i}, value);
  }
}

void initialise(const ParameterLayout& layout, const View& flat, uint64 seed) {
  for (ParameterId id = 0; id < static_cast<ParameterId>(layout.parameters().size()); ++id)
    initialise(layout[id], layout.view(flat, id), seed);
}

}  // namespace fovea
