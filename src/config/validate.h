#pragma once

#include "config/schema.h"

namespace fovea {

/// Checks what no key can say of itself: heads that divide the width, fractions that fit into one run,
/// settings that need another. Throws UserError (usage), one line, at the source of the key to change.
void validate(const Config& config, const Sources& sources);

}  // namespace fovea
