#include "experiments/head_cosines.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/error.h"

namespace fovea {
namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

const Parameter& projection(const Decoder& decoder, int64 layer, const char* which) {
  const ParameterLayout& layout = decoder.layout();
  const ParameterId id = layout.find(fmt::format("blocks.{}.attention.{}.weight", layer, which));
  FOVEA_CHECK(id != kNoParameter, "layer {} has no {} projection", layer, which);
  return layout[id];
}

double dot(const float* a, const float* b, int64 n) {
  double sum = 0;
  for (int64 i = 0; i < n; ++i) sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  return sum;
}

/// Mean cosine over the pairs of `count` matrices of n elements each, one after another.
double mean_cosine(const float* heads, int64 count, int64 n) {
  double sum = 0;
  for (int64 a = 0; a < count; ++a)
    for (int64 b = a + 1; b < count; ++b) {
      const float *x = heads + a * n, *y = heads + b * n;
      sum += dot(x, y, n) / std::sqrt(dot(x, x, n) * dot(y, y, n));
    }
  return 2 * sum / static_cast<double>(count * (count - 1));
}

}  // namespace

int64 kv_heads_of(const Decoder& decoder, int64 layer) {
  return projection(decoder, layer, "k").rows / decoder.shape().head_dim;
}

GroupCosines group_cosines(const Decoder& decoder, const std::vector<float>& parameters, int64 heads) {
  const int64 layers = decoder.shape().layers;
  GroupCosines cosines;
  int64 most = 1;
  for (int64 layer = 0; layer < layers; ++layer) {
    const int64 kv_heads = kv_heads_of(decoder, layer);
    most = std::max(most, kv_heads);
    if (kv_heads % heads == 0) cosines.groups = std::max(cosines.groups, kv_heads / heads);
  }
  if (cosines.groups == 0 && most == 1) return {};
  if (cosines.groups == 0 || heads < 2)
    fail_usage("--group {}: no layer's KV heads make groups of so many; the model has {}", heads, most);
  cosines.heads = heads;
  for (const auto& column : cosine_columns())
    (cosines.*column.values).assign(static_cast<size_t>(layers * cosines.groups), kNone);
  for (int64 layer = 0; layer < layers; ++layer) {
    const int64 kv_heads = kv_heads_of(decoder, layer);
    if (kv_heads % heads != 0) continue;
    for (int64 g = 0; g < kv_heads / heads; ++g) {
      const auto at = static_cast<size_t>(layer * cosines.groups + g);
      for (const auto& [which, raw] :
           {std::pair{"k", &GroupCosines::key}, std::pair{"v", &GroupCosines::value}}) {
        const Parameter& p = projection(decoder, layer, which);
        const int64 head = p.elements() / kv_heads;
        (cosines.*raw)[at] = mean_cosine(parameters.data() + p.offset + g * heads * head, heads, head);
      }
    }
  }
  return cosines;
}

}  // namespace fovea
