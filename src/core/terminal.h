#pragma once

#include <string>

namespace fovea {

bool output_is_terminal();
/// The text in this ANSI style where the output is a terminal and NO_COLOR is not set.
std::string styled(const char* style, const std::string& text);

}  // namespace fovea
