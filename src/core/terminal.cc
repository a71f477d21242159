#include "core/terminal.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>

namespace fovea {

bool output_is_terminal() { return ::isatty(STDOUT_FILENO) != 0; }

std::string styled(const char* style, const std::string& text) {
  const char* no_color = std::getenv("NO_COLOR");
  if (!output_is_terminal() || (no_color && *no_color)) return text;
  return fmt::format("\x1b[{}m{}\x1b[0m", style, text);
}

}  // namespace fovea
