#pragma once

#include "train/run.h"

namespace fovea {

/// A run of the tests, in their own process or in another.
inline RunJob job_of(const Config& config, const std::filesystem::path& directory) {
  RunJob job;
  job.name = "small";
  job.identity = "0123456789abcdef0123456789abcdef";
  job.config = config;
  job.config_text = "# as in the test\n";
  job.seed = config.train.seed;
  job.numerics = 1;
  job.directory = directory;
  return job;
}

}  // namespace fovea
