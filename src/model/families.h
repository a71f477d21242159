#pragma once

#include "model/shape.h"

namespace fovea {

/// Each family's published shape at the sizes of the configuration; keys that do not say "family" override
/// it.
DecoderShape llama(const ModelConfig& config);    ///< Touvron et al. 2023: RMSNorm, SwiGLU, RoPE, no biases
DecoderShape mistral(const ModelConfig& config);  ///< Jiang et al. 2023: llama with a window in every layer
DecoderShape qwen2(const ModelConfig& config);    ///< llama with biases on q, k, v and tied embeddings
DecoderShape qwen3(const ModelConfig& config);    ///< llama with QK-norm and tied embeddings
DecoderShape gpt2(
    const ModelConfig& config);  ///< Radford et al. 2019: LayerNorm, GELU (tanh), learned positions
DecoderShape neox(
    const ModelConfig& config);  ///< Black et al. 2022: parallel residual, partial rotary, exact GELU
DecoderShape gemma(const ModelConfig& config);   ///< Gemma 2024: 1 + w norms, scaled embeddings, GeGLU
DecoderShape gemma2(const ModelConfig& config);  ///< Gemma 2: alternating windows, softcaps, post-norms

/// The family that the configuration names, at config.vocab tokens, or `vocab` where it says none. Throws
/// UserError (usage) for a contradiction.
DecoderShape decoder_shape(const ModelConfig& config, int64 vocab);

}  // namespace fovea
