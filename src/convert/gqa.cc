#include "convert/gqa.h"

#include <algorithm>
#include <string>

#include "core/error.h"

namespace fovea {
namespace {

struct NamedInit {
  std::string_view name;
  GqaInit init;
};
constexpr NamedInit kInits[] = {
    {"mean", GqaInit::mean}, {"first", GqaInit::first}, {"random", GqaInit::random}};

// blocks.N.attention.{k,v}.{weight,bias}
bool is_key_or_value(std::string_view name) {
  for (const std::string_view ending :
       {".attention.k.weight", ".attention.v.weight", ".attention.k.bias", ".attention.v.bias"})
    if (name.starts_with("blocks.") && name.ends_with(ending)) return true;
  return false;
}

int64 heads_of(const Parameter& parameter, int64 head_dim) {
  const int64 rows = parameter.vector ? parameter.columns : parameter.rows;
  FOVEA_CHECK(head_dim > 0 && rows % head_dim == 0, "{} has {} rows, heads have {}", parameter.name, rows,
              head_dim);
  return rows / head_dim;
}

std::string shape_of(const Parameter& p) {
  return p.vector ? fmt::format("({})", p.columns) : fmt::format("({}, {})", p.rows, p.columns);
}

const Parameter& counterpart(const ParameterLayout& source, const Parameter& target) {
  const ParameterId id = source.find(target.name);
  if (id == kNoParameter)
    fail_usage(
        "init.from: the model to convert has no parameter {}: let both models differ in model.kv_heads alone",
        target.name);
  return source[id];
}

void expect_same_shape(const Parameter& source, const Parameter& target) {
  if (source.vector == target.vector && source.rows == target.rows && source.columns == target.columns)
    return;
  fail_usage(
      "init.from: {} is {} in the model to convert and {} here: let both models differ in model.kv_heads "
      "alone",
      target.name, shape_of(source), shape_of(target));
}

void expect_nothing_left_out(const ParameterLayout& source, const ParameterLayout& target) {
  for (const Parameter& parameter : source.parameters())
    if (target.find(parameter.name) == kNoParameter)
      fail_usage(
          "init.from: the model to convert has a parameter {} and this one has not: let both models differ "
          "in "
          "model.kv_heads alone",
          parameter.name);
}

// from (G1, head), to (G2, head), `head` elements each: head_dim rows, or head_dim biases.
void pool_heads(const float* from, float* to, int64 head, int64 heads, int64 group, GqaInit init) {
  for (int64 g = 0; g < heads; ++g)
    for (int64 i = 0; i < head; ++i) {
      const float* members = from + g * group * head + i;
      double sum = 0;
      for (int64 member = 0; member < group; ++member) sum += static_cast<double>(members[member * head]);
      to[g * head + i] =
          init == GqaInit::first ? members[0] : static_cast<float>(sum / static_cast<double>(group));
    }
}

void convert_heads(const Parameter& source, const float* from, const Parameter& target, const View& to,
                   const GqaConversion& conversion) {
  const int64 source_heads = heads_of(source, conversion.head_dim),
              heads = heads_of(target, conversion.head_dim);
  if (source_heads % heads != 0)
    fail_usage("model.kv_heads: {} KV heads do not come from {}: choose a divisor of {}", heads, source_heads,
               source_heads);
  if (source.vector != target.vector || (!target.vector && source.columns != target.columns))
    expect_same_shape(source, target);
  if (conversion.init == GqaInit::random)
    initialise(target, to, conversion.seed);
  else
    pool_heads(from, to.data<float>(), target.elements() / heads, heads, source_heads / heads,
               conversion.init);
}

}  // namespace

std::string_view name_of(GqaInit init) {
  for (const NamedInit& named : kInits)
    if (named.init == init) return named.name;
  FOVEA_CHECK(false, "GQA initialisation {}", static_cast<int>(init));
  return {};
}

GqaInit gqa_init_named(std::string_view name) {
  for (const NamedInit& named : kInits)
    if (named.name == name) return named.init;
  fail_usage("unknown initialisation of KV heads \"{}\": choose mean, first or random", name);
}

std::vector<float> convert_kv_heads(const ParameterLayout& source, std::span<const float> parameters,
                                    const ParameterLayout& target, const GqaConversion& conversion) {
  FOVEA_CHECK(static_cast<int64>(parameters.size()) == source.elements(), "{} parameters for a layout of {}",
              parameters.size(), source.elements());
  expect_nothing_left_out(source, target);
  std::vector<float> result(static_cast<size_t>(target.elements()), 0.0f);
  const View flat(result.data(), DType::f32, {target.elements()});
  for (ParameterId id = 0; id < static_cast<ParameterId>(target.parameters().size()); ++id) {
    const Parameter& to = target[id];
    const Parameter& from = counterpart(source, to);
    const float* values = parameters.data() + from.offset;
    if (is_key_or_value(to.name) && from.elements() != to.elements()) {
      convert_heads(from, values, to, target.view(flat, id), conversion);
    } else {
      expect_same_shape(from, to);
      std::copy_n(values, to.elements(), result.data() + to.offset);
    }
  }
  return result;
}

}  // namespace fovea
