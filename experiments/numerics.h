#pragma once

#include <string_view>

#include "core/types.h"

namespace fovea {

/// Raised whenever the same configuration comes to other numbers: part of every run's identity, so that old
/// results are known as such. Each train.precision has its own, so that what moves one leaves the others'
/// results standing. bf16, 2: embeddings are looked up in the f32 masters. f32, 2 and bf16, 3: attention
/// scales scores, not queries, and bf16 multiplies in bf16 where the processor can.
constexpr int64 numerics_of(std::string_view precision) { return precision == "bf16" ? 3 : 2; }

}  // namespace fovea
