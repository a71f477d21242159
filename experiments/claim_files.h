#pragma once

#include <string>
#include <vector>

#include "record/claims/claim.h"

namespace fovea {

/// Reads files of claims and checks them before hours are spent on runs: what record/claims checks, and that
/// the configuration has the keys that tell their runs apart. Throws UserError, one line with
/// file:line:column: input for a file that cannot be read, usage for what is wrong in it.
std::vector<ClaimFile> read_claim_files(const std::vector<std::string>& paths);

}  // namespace fovea
