#pragma once

#include <string_view>

#include "core/types.h"

namespace fovea {

/// Which activations are dropped in the forward and computed again in the backward (Chen et al. 2016): those
/// of every block whose index `every` divides; 0: none.
struct RecomputePolicy {
  int64 every = 0;
  bool drops(int64 block) const { return every > 0 && block % every == 0; }
};

/// "none", "block" or "every 2". Throws UserError (usage).
RecomputePolicy recompute_policy_named(std::string_view name);

}  // namespace fovea
