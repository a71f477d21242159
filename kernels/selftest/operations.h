#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "kernels/check/case.h"
#include "kernels/check/deviation.h"

namespace fovea {

/// One case of the self-test. Those of a line of its table stand together.
struct OperationCheck {
  std::string_view operation, pass;
  DType dtype = DType::f32;
  std::string name;  ///< the sizes
  check::Case call;
  check::Tolerance tolerance;
};

/// Of every operation but attention: over ragged and usual sizes, some of them large enough for several tiles
/// and for sums that are cut.
std::vector<OperationCheck> operation_checks(Backend backend);

}  // namespace fovea
