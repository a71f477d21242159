#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "core/types.h"

struct pcre2_real_code_8;
struct pcre2_real_match_data_8;
struct pcre2_real_jit_stack_8;

namespace fovea {

/// A regular expression as tokenizer.json writes them (Oniguruma's Ruby syntax, Unicode), matched by PCRE2.
class Pattern {
 public:
  /// Throws std::invalid_argument with the reason: syntax that PCRE2 does not have, or that means something
  /// else in it.
  static Pattern regex(std::string_view onigurumas);
  /// The text itself.
  static Pattern literal(std::string_view text);

  const std::string& literal_text() const { return literal_; }

 private:
  friend class Matcher;
  std::shared_ptr<const pcre2_real_code_8> code_;  ///< null: literal
  bool compiled_ = false;                          ///< to machine code
  std::string literal_;
};

/// What one thread needs to match patterns.
class Matcher {
 public:
  Matcher();
  ~Matcher();
  Matcher(Matcher&& other) noexcept = default;
  Matcher& operator=(Matcher&& other) noexcept = default;
  /// The first match at or after `from`. Throws UserError (input) when the pattern needs more steps or memory
  /// than any sound one does.
  std::optional<Range> find(const Pattern& pattern, std::string_view text, size_t from);

 private:
  struct Release {
    void operator()(pcre2_real_match_data_8* data) const;
    void operator()(pcre2_real_jit_stack_8* stack) const;
  };
  std::unique_ptr<pcre2_real_match_data_8, Release> data_;
  std::unique_ptr<pcre2_real_jit_stack_8, Release> stack_;
  std::shared_ptr<void> context_;
};

/// Calls found(begin, end, is_match) for contiguous stretches of the whole text, matches and what is between
/// them. A match may be empty, as the pattern wills.
template <class F>
void for_each_match(Matcher& matcher, const Pattern& pattern, std::string_view text, F&& found) {
  size_t done = 0, from = 0;
  bool any = false;
  while (from <= text.size()) {
    const std::optional<Range> match = matcher.find(pattern, text, from);
    if (!match) break;
    const auto begin = static_cast<size_t>(match->begin), end = static_cast<size_t>(match->end);
    if (begin == end && any && end == done) {  // nothing at the end of the last match: one character on
      for (++from; from < text.size() && (static_cast<unsigned char>(text[from]) & 0xC0u) == 0x80u;) ++from;
      continue;
    }
    if (begin > done) found(done, begin, false);
    found(begin, end, true);
    done = from = end;
    any = true;
  }
  if (done < text.size()) found(done, text.size(), false);
}

}  // namespace fovea
