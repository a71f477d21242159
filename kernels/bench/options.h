#pragma once

#include <string>
#include <vector>

#include "kernels/simd/instruction_set.h"

namespace fovea {

/// What fovea-bench takes beside Google Benchmark's own options.
struct BenchOptions {
  int threads = 1;
  std::string instruction_set = "auto";
  bool lines = false;              ///< answer names from standard input (lines.h)
  std::vector<std::string> names;  ///< cases; empty: the default ones
};

/// Takes them out of the arguments. Throws UserError (usage).
BenchOptions take_options(int& argc, char** argv);

}  // namespace fovea
