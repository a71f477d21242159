#pragma once

#include <algorithm>
#include <numeric>
#include <string>
#include <vector>

#include "config/config.h"
#include "core/types.h"
#include "kernels/activation/activation.h"
#include "kernels/attention/mask.h"

namespace fovea {

enum class NormKind { rms_norm, layer_norm };
enum class PositionKind { rope, learned, none };

struct NormShape {
  NormKind kind = NormKind::rms_norm;
  float epsilon = 1e-5f;
  float weight_offset = 0;  ///< Gemma: 1, the stored weight is the difference from one
  bool operator==(const NormShape&) const = default;
};

enum class RopeType { plain, linear, dynamic, yarn, longrope, llama3, proportional };

/// How RoPE's frequencies are changed for contexts longer than they were trained for: formulas in rope.h.
/// What a type does not read keeps its default, so that equal models are equal values.
struct RopeScaling {
  RopeType type = RopeType::plain;
  double factor = 1;
  int64 original_context = 0;                        ///< dynamic, yarn, longrope, llama3
  double multiplier = 1;                             ///< of cosine and sine: yarn, longrope
  double beta_fast = 0, beta_slow = 0;               ///< yarn: turns over the original context
  bool truncate = false;                             ///< yarn
  double low_freq_factor = 0, high_freq_factor = 0;  ///< llama3: turns over the original context
  std::vector<double> short_factors, long_factors;   ///< longrope: one per plane
  bool operator==(const RopeScaling&) const = default;
};

struct RopeShape {
  double theta = 10000;
  int64 dims = 0;    ///< of head_dim, in pairs; the rest is not rotated
  int64 planes = 0;  ///< the first of its pairs, which turn; proportional: fewer than dims / 2
  bool interleaved = false;
  RopeScaling scaling;
  bool operator==(const RopeShape&) const = default;
};

/// Masks of layers: without documents, which batches bring.
inline bool operator==(const Mask& a, const Mask& b) {
  return a.causal == b.causal && a.left == b.left && a.right == b.right && a.documents == b.documents;
}

/// What a decoder is made of, with every choice made: what families.h assembles and decoder.h builds.
struct DecoderShape {
  std::string family;
  int64 vocab = 0, layers = 0, width = 0, q_heads = 0, head_dim = 0, hidden = 0, context = 0;
  std::vector<int64> kv_heads;  ///< one per layer
  NormShape norm;
  bool qk_norm = false;     ///< RMSNorm of each head of q and k, before RoPE
  bool post_norms = false;  ///< Gemma 2: another norm after attention and after the MLP
  ActivationKind activation = ActivationKind::silu;
  bool gated = true;
  PositionKind position = PositionKind::rope;
  RopeShape rope;
  bool qkv_bias = false, out_bias = false, mlp_bias = false;
  bool tie_embeddings = true;
  bool parallel_residual = false;
  float embedding_scale = 1;
  float attention_scale = 0, attention_softcap = 0, logit_softcap = 0;
  std::vector<Mask> masks;  ///< one per layer
  float dropout = 0;
  double init_std = 0.02;

  bool operator==(const DecoderShape&) const = default;

  /// Query heads that share a KV head of the layer.
  int64 group(int64 layer) const { return q_heads / kv_heads[static_cast<size_t>(layer)]; }
  /// KV heads of every layer; 0 where layers differ.
  int64 uniform_kv_heads() const {
    const bool uniform =
        std::all_of(kv_heads.begin(), kv_heads.end(), [&](int64 heads) { return heads == kv_heads.front(); });
    return uniform && !kv_heads.empty() ? kv_heads.front() : 0;
  }
  /// Bytes that one token's keys and values take in all layers, `bytes_per_element` each.
  int64 kv_bytes_per_token(int64 bytes_per_element) const {
    return 2 * std::accumulate(kv_heads.begin(), kv_heads.end(), int64{0}) * head_dim * bytes_per_element;
  }
};

}  // namespace fovea
