#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "model/parameters.h"

namespace fovea {

/// Where the fewer key and value heads come from (Ainslie et al. 2023, figure 4): the mean of each group's
/// heads, the first of them, or drawn anew as in a fresh model.
enum class GqaInit { mean, first, random };
std::string_view name_of(GqaInit init);
/// Throws UserError (usage) naming the choices.
GqaInit gqa_init_named(std::string_view name);

struct GqaConversion {
  GqaInit init = GqaInit::mean;
  int64 head_dim = 0;
  uint64 seed = 0;  ///< of the random draws
};

/// The parameters of a model with fewer KV heads. `parameters` (source.elements()) are those of a model with
/// G1 KV heads, MHA or GQA; the result (target.elements()) is for one that differs in having G2 of them, G2 a
/// divisor of G1.
///
/// blocks.N.attention.{k,v}.weight (G * head_dim, width) and .bias (G * head_dim) are converted: head g comes
/// from the heads [g * G1 / G2, (g + 1) * G1 / G2), those of the query heads that will share it. All else,
/// norms of single heads included, is copied by name. Where G1 = G2 everything is. Random draws are
/// initialise()'s: those of a fresh model with this seed, whose biases are zero. Throws UserError (usage)
/// when the two models differ in anything else.
std::vector<float> convert_kv_heads(const ParameterLayout& source, std::span<const float> parameters,
                                    const ParameterLayout& target, const GqaConversion& conversion);

}  // namespace fovea
