#include "experiments/identity.h"

#include <fmt/format.h>

#include "config/schema.h"
#include "core/hash.h"
#include "experiments/initial_model.h"
#include "experiments/numerics.h"

namespace fovea {

RunIdentity identify(const PlannedRun& run, const Dataset& dataset, std::string_view baseline) {
  Config config = run.config;
  std::string weights(baseline);
  if (baseline.empty() && !config.init.from.empty()) weights = hash_of_initial_weights(config.init.from);
  // A path says where, not what.
  config.init.from.clear();
  if (config.data.corpus != "kjv") config.data.corpus.clear();
  if (config.data.tokenizer != "bytes") config.data.tokenizer.clear();  // the fingerprint has what it does
  const std::string inputs =
      fmt::format("{}\nbackend = {}\ncorpus = {}\nweights = {}\nfirst sample = {}\n", canonical(config),
                  config.run.backend, dataset.fingerprint(), weights, run.first_sample);
  return {hash128(inputs),
          hash128(fmt::format("{}numerics = {}\n", inputs, numerics_of(config.train.precision)))};
}

}  // namespace fovea
