#include "ptx/lexer.h"

#include <fmt/format.h>

#include <cctype>
#include <string>

#include "machine/fault.h"

namespace softgpu::ptx {
namespace {

bool in_name(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '$' || c == '%';
}

struct Lexer {
  std::string_view text;
  size_t at = 0;
  int line = 1;
  std::vector<Token> found;

  char peek(size_t ahead = 0) const { return at + ahead < text.size() ? text[at + ahead] : '\0'; }
  void add(Token::Kind kind, size_t length) {
    found.push_back({kind, text.substr(at, length), line});
    at += length;
  }

  // True if a space or a comment was skipped.
  bool skip() {
    const char c = peek();
    if (c == '\n') ++line;
    if (std::isspace(static_cast<unsigned char>(c)) != 0) {
      ++at;
      return true;
    }
    if (c != '/' || (peek(1) != '/' && peek(1) != '*')) return false;
    const bool whole_line = peek(1) == '/';
    size_t end = whole_line ? text.find('\n', at) : text.find("*/", at + 2);
    if (end == std::string_view::npos) end = text.size();
    for (size_t i = at; i < end; ++i) line += text[i] == '\n' ? 1 : 0;
    at = whole_line ? end : std::min(end + 2, text.size());
    return true;
  }

  size_t word_length() const {
    size_t n = 0;
    while (in_name(peek(n)) || peek(n) == '.' || (peek(n) == ':' && peek(n + 1) == ':')) {
      n += peek(n) == ':' ? 2 : 1;
    }
    return n;
  }

  void string() {
    const size_t end = text.find('"', at + 1);
    if (end == std::string_view::npos)
      throw Fault("syntax", fmt::format("PTX line {}: a string has no end", line));
    found.push_back({Token::Kind::string, text.substr(at + 1, end - at - 1), line});
    at = end + 1;
  }

  void token() {
    const char c = peek();
    if (c == '"') {
      string();
    } else if (std::isdigit(static_cast<unsigned char>(c)) != 0) {
      add(Token::Kind::number, word_length());
    } else if (in_name(c)) {
      add(Token::Kind::word, word_length());
    } else if (c == '.' && in_name(peek(1))) {
      size_t n = 1;
      while (in_name(peek(n))) ++n;
      add(Token::Kind::directive, n);
    } else if (std::string_view(",;:{}[]()|!+-<>=@").find(c) != std::string_view::npos) {
      add(Token::Kind::punctuation, 1);
    } else {
      throw Fault("syntax", fmt::format("PTX line {}: '{}' begins nothing", line, c));
    }
  }
};

}  // namespace

std::vector<Token> tokens(std::string_view text) {
  Lexer lexer{.text = text, .found = {}};
  lexer.found.reserve(text.size() / 4);
  while (lexer.at < text.size() && text[lexer.at] != '\0') {
    if (!lexer.skip()) lexer.token();
  }
  lexer.found.push_back({Token::Kind::end, "end of text", lexer.line});
  return std::move(lexer.found);
}

}  // namespace softgpu::ptx
