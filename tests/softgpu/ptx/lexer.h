#pragma once

#include <string_view>
#include <vector>

namespace softgpu::ptx {

struct Token {
  enum class Kind { word, directive, number, string, punctuation, end };
  Kind kind = Kind::end;
  std::string_view text;  // of a directive with its dot, of a string without its quotes
  int line = 0;
};

/// The tokens of `text`, an `end` last. An opcode with its modifiers is one word and so is %tid.x; a
/// directive is one component (`.reg.b16` is two). `text` outlives them. Throws Fault ("syntax").
std::vector<Token> tokens(std::string_view text);

}  // namespace softgpu::ptx
