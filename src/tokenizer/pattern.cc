#define PCRE2_CODE_UNIT_WIDTH 8
#include "tokenizer/pattern.h"

#include <fmt/format.h>
#include <pcre2.h>

#include <algorithm>
#include <stdexcept>

#include "core/error.h"
#include "core/text.h"

namespace fovea {
namespace {

/// Rewrites Oniguruma's syntax into PCRE2's of the same meaning.
class Translator {
 public:
  explicit Translator(std::string_view pattern) : in_(pattern) {}

  std::string run() {
    while (at_ < in_.size()) {
      if (in_class_)
        class_member();
      else
        element();
    }
    return out_;
  }

 private:
  bool next_is(std::string_view text) const { return in_.substr(at_).starts_with(text); }
  void copy(size_t n = 1) {
    out_ += in_.substr(at_, n);
    at_ += n;
  }
  [[noreturn]] void refuse(std::string_view what) const {
    throw std::invalid_argument(fmt::format("{} at byte {} is not supported", what, at_));
  }

  void element() {
    const char c = in_[at_];
    if (c == '\\') return escape();
    if (next_is("(?")) return group();
    if (next_is("(*")) refuse("(*");
    if (c == '[') {
      in_class_ = true;
      copy(next_is("[^") ? 2 : 1);
      if (next_is("]")) refuse("an empty class");
      return;
    }
    if (next_is("}+")) refuse("}+");  // greedy in one, possessive in the other
    copy();
  }

  void group() {
    for (const std::string_view kind : {"(?:", "(?=", "(?!", "(?<=", "(?<!", "(?>", "(?i:", "(?i)", "(?-i)"})
      if (next_is(kind)) return copy(kind.size());
    refuse(in_.substr(at_, 4));
  }

  void class_member() {
    if (in_[at_] == '\\') return escape();
    if (next_is("&&") || next_is("[")) refuse(in_.substr(at_, 2));
    if (in_[at_] == ']') in_class_ = false;
    copy();
  }

  void escape() {
    if (at_ + 1 >= in_.size()) refuse("a lone \\");
    const char c = in_[at_ + 1];
    if (c == 's' || c == 'w') return named(c == 's' ? kSpace : kWord, false);
    if (c == 'S' || c == 'W') return named(c == 'S' ? kSpace : kWord, true);
    if (c == 'u') return code_point();
    if (std::string_view("pPdDrntfx").find(c) == std::string_view::npos &&
        (std::isalnum(static_cast<unsigned char>(c)) || static_cast<unsigned char>(c) >= 0x80))
      refuse(in_.substr(at_, 2));
    copy(2);
    if ((c == 'p' || c == 'P' || c == 'x') && next_is("{"))
      copy(std::min(in_.find('}', at_), in_.size() - 1) + 1 - at_);
  }

  // PCRE2's own \s and \w have other members (U+180E; marks).
  static constexpr const char* kSpace = "\\p{Z}\\t-\\r\\x{85}";
  static constexpr const char* kWord = "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}";
  void named(const char* members, bool negated) {
    if (in_class_ && negated) refuse(in_.substr(at_, 2));
    out_ += in_class_ ? members : fmt::format("[{}{}]", negated ? "^" : "", members);
    at_ += 2;
  }

  void code_point() {
    const std::string_view digits = in_.substr(at_ + 2, 4);
    if (digits.size() != 4 || digits.find_first_not_of("0123456789abcdefABCDEF") != digits.npos)
      refuse(in_.substr(at_, 2));
    out_ += fmt::format("\\x{{{}}}", digits);
    at_ += 6;
  }

  std::string_view in_;
  std::string out_;
  size_t at_ = 0;
  bool in_class_ = false;
};

std::shared_ptr<const pcre2_code> compile(const std::string& pattern) {
  const std::shared_ptr<pcre2_compile_context> context(pcre2_compile_context_create(nullptr),
                                                       pcre2_compile_context_free);
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  int error = 0;
  size_t where = 0;
  pcre2_code* code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                                   PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C, &error,
                                   &where, context.get());
  if (!code) {
    PCRE2_UCHAR reason[256];
    pcre2_get_error_message(error, reason, sizeof reason);
    throw std::invalid_argument(reinterpret_cast<const char*>(reason));
  }
  return {code, pcre2_code_free};
}

}  // namespace

Pattern Pattern::regex(std::string_view onigurumas) {
  constexpr size_t kLongest = 10'000;
  if (onigurumas.size() > kLongest) throw std::invalid_argument("longer than any sound pattern");
  if (onigurumas.empty()) throw std::invalid_argument("empty");
  Pattern pattern;
  const std::shared_ptr<const pcre2_code> code = compile(Translator(onigurumas).run());
  pattern.compiled_ = pcre2_jit_compile(const_cast<pcre2_code*>(code.get()), PCRE2_JIT_COMPLETE) == 0;
  pattern.code_ = code;
  return pattern;
}

Pattern Pattern::literal(std::string_view text) {
  if (text.empty()) throw std::invalid_argument("empty");
  Pattern pattern;
  pattern.literal_ = text;
  return pattern;
}

void Matcher::Release::operator()(pcre2_real_match_data_8* data) const { pcre2_match_data_free(data); }
void Matcher::Release::operator()(pcre2_real_jit_stack_8* stack) const { pcre2_jit_stack_free(stack); }

Matcher::Matcher()
    : data_(pcre2_match_data_create(1, nullptr)),
      stack_(pcre2_jit_stack_create(32 * 1024, 64 * 1024 * 1024, nullptr)) {
  constexpr uint32 kSteps = 20'000'000, kHeapKiB = 256 * 1024;
  const std::shared_ptr<pcre2_match_context> context(pcre2_match_context_create(nullptr),
                                                     pcre2_match_context_free);
  pcre2_set_match_limit(context.get(), kSteps);
  pcre2_set_heap_limit(context.get(), kHeapKiB);
  pcre2_jit_stack_assign(context.get(), nullptr, stack_.get());
  context_ = context;
}

Matcher::~Matcher() = default;

std::optional<Range> Matcher::find(const Pattern& pattern, std::string_view text, size_t from) {
  if (!pattern.code_) {
    const size_t at = text.find(pattern.literal_, from);
    if (at == text.npos) return std::nullopt;
    return Range{static_cast<int64>(at), static_cast<int64>(at + pattern.literal_.size())};
  }
  const auto* subject = reinterpret_cast<PCRE2_SPTR>(text.data());
  auto* context = static_cast<pcre2_match_context*>(context_.get());
  const int found = pattern.compiled_ ? pcre2_jit_match(pattern.code_.get(), subject, text.size(), from, 0,
                                                        data_.get(), context)
                                      : pcre2_match(pattern.code_.get(), subject, text.size(), from,
                                                    PCRE2_NO_UTF_CHECK, data_.get(), context);
  if (found == PCRE2_ERROR_NOMATCH) return std::nullopt;
  if (found < 0) {
    PCRE2_UCHAR reason[256];
    pcre2_get_error_message(found, reason, sizeof reason);
    fail_input("the tokenizer's pattern cannot be matched from byte {} of a text of {}: {}", from,
               text.size(), reinterpret_cast<const char*>(reason));
  }
  const size_t* ends = pcre2_get_ovector_pointer(data_.get());
  return Range{static_cast<int64>(ends[0]), static_cast<int64>(ends[1])};
}

}  // namespace fovea
