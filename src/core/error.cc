#include "core/error.h"

#include <cstdio>
#include <cstdlib>

namespace fovea {

void broken_invariant(const char* file, int line, const char* condition, const std::string& message) {
  std::fprintf(stderr, "fovea: broken invariant at %s:%d: %s: %s\n", file, line, condition, message.c_str());
  std::abort();
}

}  // namespace fovea
