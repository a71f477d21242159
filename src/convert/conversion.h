#pragma once

#include <string>
#include <string_view>

namespace fovea {

/// How the KV heads of a group become one.
enum class ConversionMethod {
  mean,                ///< of the group's heads (Ainslie et al. 2023, figure 4)
  mean_scaled,         ///< that mean, scaled to the mean Frobenius norm of the group's heads
  first,               ///< the first of them
  random,              ///< drawn anew, as in a fresh model
  aligned,             ///< mean_scaled of heads that were first rotated towards one another (align_kv_heads)
  aligned_unscaled,    ///< mean of such heads
  aligned_activations  ///< aligned, by the keys and values that calibration data give
};

/// Which KV heads form a group.
enum class HeadGrouping {
  adjacent,
  similar  ///< those that lie near one another: searched (similar_groups)
};

/// A word of init.conversion: "aligned", "mean similar".
struct Conversion {
  ConversionMethod method = ConversionMethod::mean;
  HeadGrouping grouping = HeadGrouping::adjacent;

  bool aligns() const;
  bool scales() const;
  bool reads_activations() const { return method == ConversionMethod::aligned_activations; }
  bool searches() const { return grouping == HeadGrouping::similar; }
  /// Whether a layer's heads are made of that layer's weights alone.
  bool is_local() const { return !reads_activations() && !searches(); }
  bool operator==(const Conversion&) const = default;
};

std::string name_of(const Conversion& conversion);
/// Throws UserError (usage) naming the choices.
Conversion conversion_named(std::string_view word);

}  // namespace fovea
