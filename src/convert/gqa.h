#pragma once

#include <Eigen/Dense>
#include <functional>
#include <span>
#include <vector>

#include "convert/conversion.h"
#include "convert/parameter_source.h"
#include "model/decoder.h"

namespace fovea {

/// What a conversion may ask of the data, given parameters.
struct Calibration {
  /// Of the source model, one per layer: the mean over tokens of [n 1]^T [n 1], (C + 1, C + 1), for the row n
  /// (C) that the layer's key and value projections read.
  std::function<std::vector<Eigen::MatrixXd>(std::span<const float>)> second_moments;
  /// Of the target model: nat/token.
  std::function<double(std::span<const float>)> loss;
};

struct GqaConversion {
  Conversion how;
  uint64 seed = 0;                           ///< of random draws
  const Calibration* calibration = nullptr;  ///< needed where `how` reads activations or searches
  int threads = 1;                           ///< no bit depends on them
};

/// Another model of the source's layout that computes the same: its KV heads reordered (where groups are
/// searched) and rotated (where heads are aligned) so that the heads that become one in the target's groups
/// lie near one another. In layers where source and target have as many KV heads nothing changes.
///
/// Keys are turned in the planes of RoPE, and by any orthogonal matrix in the dimensions that RoPE leaves;
/// the query heads that read them are turned alike. Values take any orthogonal matrix, undone by the columns
/// of the output projection (head_alignment.h). K and V are aligned each by themselves, biases as one more
/// column: by weights, |R_a [W_a b_a] - R_b [W_b b_b]| in the Frobenius norm, or by activations, where
/// columns are weighted by the second moment of what the projections read.
///
/// Throws UserError (usage) when heads are to be aligned and the model has QK-norm, whose weights per
/// dimension no rotation passes.
std::vector<float> align_kv_heads(const Decoder& source, std::span<const float> parameters,
                                  const Decoder& target, const GqaConversion& conversion);

/// The parameters of a model with fewer KV heads. `parameters` (source.layout().elements()) are those of a
/// model with G1 KV heads, MHA or GQA; the result (target's elements) is for one that differs in having G2 of
/// them, G2 a divisor of G1 in each layer.
///
/// blocks.N.attention.{k,v}.weight (G * head_dim, width) and .bias (G * head_dim) are converted: after
/// align_kv_heads, head g comes from the heads [g * G1 / G2, (g + 1) * G1 / G2), those of the query heads
/// that will share it. `scales()`: K and V each by themselves, weights and bias together, to the mean
/// Frobenius norm of the group's heads. All else, norms of single heads included, is copied by name. Layers
/// where G1 = G2 are copied. Random draws are initialise()'s: those of a fresh model with this seed, whose
/// biases are zero.
///
/// Searched groups are tried one layer after another against adjacent ones, in the model converted so far,
/// and kept where the calibration loss falls: the result's is never above that of adjacent groups.
///
/// Throws UserError (usage) when the two models differ in anything else, and as align_kv_heads.
std::vector<float> convert_kv_heads(const Decoder& source, std::span<const float> parameters,
                                    const Decoder& target, const GqaConversion& conversion);

/// The same, layer by layer as parameters are asked for: one layer's attention is held. For conversions that
/// are local to a layer (Conversion::is_local). Both decoders outlive the result; dtypes are the source's.
ParameterSource convert_kv_heads(const Decoder& source, ParameterSource parameters, const Decoder& target,
                                 const GqaConversion& conversion);

}  // namespace fovea
