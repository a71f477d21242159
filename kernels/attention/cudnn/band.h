#pragma once

#include <optional>
#include <string>

#include "kernels/attention/mask.h"

// How cuDNN says which keys a query sees.

namespace fovea::cudnn {

/// Where a query stands without a shift: query 0 at key 0, or the last query at the last key.
enum class Diagonal { top_left, bottom_right };

/// A band along a diagonal. Query i stands at key p = i (top left) or i + kv_len - q_len (bottom right), and
/// sees key j if j <= p + right and j + left > p: `left` counts the query's own key, so that ours is one
/// less. An absent bound hides nothing.
struct Band {
  Diagonal diagonal = Diagonal::top_left;
  std::optional<int64> left, right;

  bool operator==(const Band&) const = default;
  bool sees(int64 i, int64 j, int64 q_len, int64 kv_len) const;
};

/// The band that shows what the mask shows, in its cheapest form: bounds that hide nothing are left out. Why
/// there is none: cuDNN's bounds cannot exclude a query's own key, and rows that see no key at all are not
/// what it makes of them (attention.h wants out 0 and lse -inf, cuDNN promises nothing).
struct BandSearch {
  std::optional<Band> band;
  std::string why_not;
};
BandSearch find_band(const SequenceMask& mask);

}  // namespace fovea::cudnn
