#pragma once

#include <vector>

#include "model/decoder.h"
#include "record/inspection.h"

namespace fovea {

/// Cosines between the weights (and biases) of KV heads in would-be groups of `heads` neighbours, as they are
/// and after the alignment that conversions use (convert/head_alignment.h). Layers whose KV heads do not
/// divide into such groups have none, nor have keys that QK-norm keeps from being aligned. Throws UserError
/// (usage) when no layer with more than one KV head has such groups.
GroupCosines group_cosines(const Decoder& decoder, const std::vector<float>& parameters, int64 heads);

}  // namespace fovea
