#pragma once

#include <string>
#include <variant>
#include <vector>

#include "core/thread_pool.h"
#include "tokenizer/aligned_text.h"
#include "tokenizer/pattern.h"

namespace fovea {

/// What becomes of the text that a pattern matches.
enum class SplitBehavior { removed, isolated, merged_with_previous, merged_with_next, contiguous };

/// Cuts at what a pattern matches; inverted: at what it does not.
struct SplitByPattern {
  Pattern pattern;
  SplitBehavior behavior = SplitBehavior::isolated;
  bool invert = false;
};
/// Cuts numbers from the rest, or into digits.
struct SplitDigits {
  bool individual = false;
};
/// Writes spaces as another character and cuts before each.
struct Metaspace {
  enum class Prefix { never, first, always };
  std::string replacement;
  Prefix prefix = Prefix::always;
  bool split = true;
};
/// A space before every stretch that does not begin with one.
struct PrefixSpace {};
using PreTokenizer = std::variant<SplitByPattern, SplitDigits, Metaspace, PrefixSpace>;

/// Calls word(view) for the pieces into which the steps, one after another, cut a stretch; empty ones are
/// left out.
void pre_tokenize(const std::vector<PreTokenizer>& steps, const AlignedView& view, Matcher& matcher,
                  FunctionRef<void(const AlignedView&)> word);

}  // namespace fovea
