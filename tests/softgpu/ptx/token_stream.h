#pragma once

#include <fmt/format.h>

#include <charconv>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "machine/fault.h"
#include "ptx/lexer.h"
#include "ptx/module.h"

namespace softgpu::ptx {

/// The tokens of a text one after another, and the numbers among them. What is expected and is not there is a
/// Fault
/// ("syntax") with its line.
class TokenStream {
 public:
  explicit TokenStream(std::string_view text) : tokens_(tokens(text)) {}

  const Token& now() const { return tokens_[at_]; }
  const Token& next() { return tokens_[now().kind == Token::Kind::end ? at_ : at_++]; }
  bool is(std::string_view text) const { return now().text == text && now().kind != Token::Kind::string; }
  bool take(std::string_view text) {
    if (!is(text)) return false;
    next();
    return true;
  }
  [[noreturn]] void fail(std::string_view expected) const {
    throw Fault("syntax",
                fmt::format("PTX line {}: {} is expected, not '{}'", now().line, expected, now().text));
  }
  void expect(std::string_view text) {
    if (!take(text)) fail(fmt::format("'{}'", text));
  }
  std::string_view word() {
    if (now().kind != Token::Kind::word) fail("a name");
    return next().text;
  }
  void skip_one(std::string_view until) {
    if (now().kind == Token::Kind::end) fail(until);
    next();
  }
  void skip_braces() {
    expect("{");
    for (int depth = 1; depth > 0;) {
      if (now().kind == Token::Kind::end) fail("'}'");
      depth += is("{") ? 1 : is("}") ? -1 : 0;
      next();
    }
  }

  Operand number() {
    const bool negative = take("-");
    if (now().kind != Token::Kind::number) fail("a number");
    const std::string_view text = now().text;
    Operand value{.kind = Operand::Kind::integer, .text = {}, .parts = {}};
    const std::string_view prefix = text.substr(0, 2);
    if (prefix == "0f" || prefix == "0F") {
      value.kind = Operand::Kind::real32;
      value.bits = digits(text.substr(2), 16) ^ (negative ? uint64_t{1} << 31 : 0);
    } else if (prefix == "0d" || prefix == "0D") {
      value.kind = Operand::Kind::real64;
      value.bits = digits(text.substr(2), 16) ^ (negative ? uint64_t{1} << 63 : 0);
    } else if (text.find('.') != std::string_view::npos) {
      value.kind = Operand::Kind::real64;
      const double real = std::stod(std::string(text)) * (negative ? -1 : 1);
      std::memcpy(&value.bits, &real, sizeof real);
    } else {
      value.bits = prefix == "0x" || prefix == "0X" ? digits(text.substr(2), 16) : digits(text, 10);
      if (negative) value.bits = -value.bits;
    }
    next();
    return value;
  }
  uint64_t integer() {
    const Operand value = number();
    if (value.kind != Operand::Kind::integer) fail("an integer");
    return value.bits;
  }

  bool is_label() const { return now().kind == Token::Kind::word && tokens_[at_ + 1].text == ":"; }

 private:
  // Digits in any base, or the bits of a float.
  uint64_t digits(std::string_view text, int base) const {
    uint64_t value = 0;
    if (!text.empty() && text.back() == 'U') text.remove_suffix(1);
    const auto result = std::from_chars(text.data(), text.data() + text.size(), value, base);
    if (result.ec != std::errc() || result.ptr != text.data() + text.size()) fail("a number");
    return value;
  }

  std::vector<Token> tokens_;
  size_t at_ = 0;
};

}  // namespace softgpu::ptx
