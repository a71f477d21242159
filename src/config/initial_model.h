#pragma once

#include "config/load.h"

namespace fovea {

/// Gives the keys that nothing sets the values of the model that config.init.from names (load_config). Those
/// that were given such values before are given them anew: another point of a sweep starts from another
/// model.
void adopt_initial_model(Config& config, Sources& sources, const ReadInitialModel& read);

}  // namespace fovea
