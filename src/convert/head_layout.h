#pragma once

#include "convert/parameter_source.h"
#include "model/shape.h"

namespace fovea {

/// Other layouts of heads under which a model computes the same: what some formats ask for. The layouts
/// outlive the results.

/// The source's KV heads in `target`, which has a multiple of them in each layer: each as often as it takes.
ParameterSource repeat_kv_heads(const ParameterLayout& source, ParameterSource parameters,
                                const ParameterLayout& target, int64 head_dim);

/// Queries and keys whose RoPE turns the pairs (2i, 2i + 1), as ones whose RoPE turns (i, i + R/2): rows,
/// biases and QK-norms of each head are moved.
ParameterSource pairs_to_halves(const ParameterLayout& layout, ParameterSource parameters,
                                const DecoderShape& shape);

}  // namespace fovea
