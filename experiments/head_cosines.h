#pragma once

#include <vector>

#include "model/decoder.h"
#include "record/inspection.h"

namespace fovea {

/// KV heads of a layer, by its parameters.
int64 kv_heads_of(const Decoder& decoder, int64 layer);

/// Cosines between the weights of KV heads in would-be groups of `heads` neighbours, as they are and after
/// the alignment of convert/. Layers whose KV heads do not divide into such groups have none. Throws
/// UserError (usage) when no layer with more than one KV head has.
GroupCosines group_cosines(const Decoder& decoder, const std::vector<float>& parameters, int64 heads);

}  // namespace fovea
