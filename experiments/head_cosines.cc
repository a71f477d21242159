#include "experiments/head_cosines.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "convert/attention_weights.h"
#include "convert/head_alignment.h"
#include "core/error.h"

namespace fovea {
namespace {

/// Mean over the pairs of a group of tr(R_a H_a H_b^T R_b^T) / (|H_a| |H_b|).
double mean_cosine(const HeadProducts& products, std::span<const int64> members,
                   const std::vector<Eigen::MatrixXd>& rotations) {
  double sum = 0;
  for (size_t a = 0; a < members.size(); ++a)
    for (size_t b = a + 1; b < members.size(); ++b) {
      const double product =
          (rotations[a] * products.of(members[a], members[b]) * rotations[b].transpose()).trace();
      sum += product / std::sqrt(products.of(members[a], members[a]).trace() *
                                 products.of(members[b], members[b]).trace());
    }
  return 2 * sum / static_cast<double>(members.size() * (members.size() - 1));
}

struct Cosine {
  double raw = std::numeric_limits<double>::quiet_NaN(), aligned = raw;
};

/// No blocks: not to be aligned.
Cosine cosine_of(const HeadProducts& products, std::span<const int64> members,
                 const std::vector<RotationBlock>& blocks) {
  const std::vector<Eigen::MatrixXd> none(members.size(),
                                          Eigen::MatrixXd::Identity(products.head_dim, products.head_dim));
  Cosine cosine;
  cosine.raw = mean_cosine(products, members, none);
  if (!blocks.empty())
    cosine.aligned = mean_cosine(products, members, align_heads(products, members, blocks).rotations);
  return cosine;
}

int64 groups_of(int64 kv_heads, int64 heads) { return kv_heads % heads == 0 ? kv_heads / heads : 0; }

}  // namespace

GroupCosines group_cosines(const Decoder& decoder, const std::vector<float>& parameters, int64 heads) {
  const DecoderShape& shape = decoder.shape();
  const int64 most = *std::max_element(shape.kv_heads.begin(), shape.kv_heads.end());
  if (most == 1) return {};
  GroupCosines cosines;
  cosines.heads = heads;
  for (const int64 kv_heads : shape.kv_heads)
    cosines.groups = std::max(cosines.groups, heads > 1 ? groups_of(kv_heads, heads) : 0);
  if (cosines.groups == 0)
    fail_usage("--group {}: no layer's KV heads make groups of so many; the most that one has is {}", heads,
               most);
  for (const auto& column : cosine_columns())
    (cosines.*column.values)
        .assign(static_cast<size_t>(shape.layers * cosines.groups), std::numeric_limits<double>::quiet_NaN());

  const auto blocks_of_keys = shape.qk_norm ? std::vector<RotationBlock>() : key_blocks(shape);
  std::vector<int64> members(static_cast<size_t>(heads));
  for (int64 layer = 0; layer < shape.layers; ++layer) {
    const AttentionWeights weights(decoder, parameters, layer);
    const HeadProducts keys = products_of(weights.keys(), shape.head_dim, {}),
                       values = products_of(weights.values(), shape.head_dim, {});
    for (int64 g = 0; g < groups_of(weights.kv_heads(), heads); ++g) {
      std::iota(members.begin(), members.end(), g * heads);
      const auto at = static_cast<size_t>(layer * cosines.groups + g);
      const Cosine key = cosine_of(keys, members, blocks_of_keys),
                   value = cosine_of(values, members, value_blocks(shape));
      cosines.key[at] = key.raw;
      cosines.key_aligned[at] = key.aligned;
      cosines.value[at] = value.raw;
      cosines.value_aligned[at] = value.aligned;
    }
  }
  return cosines;
}

}  // namespace fovea
