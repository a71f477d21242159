#pragma once

#include <string>
#include <variant>
#include <vector>

#include "tokenizer/aligned_text.h"
#include "tokenizer/pattern.h"

namespace fovea {

/// One of Unicode's normal forms (annex 15).
struct NormalForm {
  bool compose = true, compatible = false;
};
/// Text put before every stretch that is not empty.
struct Prepend {
  std::string text;
};
struct Replace {
  Pattern pattern;
  std::string text;
};
using Normalizer = std::variant<NormalForm, Prepend, Replace>;

/// What the normalizers, one after another, make of a stretch. Two buffers hold it where it is not the
/// stretch itself.
class Normalization {
 public:
  AlignedView apply(const std::vector<Normalizer>& normalizers, AlignedView view, Matcher& matcher);

 private:
  AlignedText buffers_[2];
};

/// Throws UserError (input) where replacements make far more of a text than any sound ones do.
void check_growth(size_t before, size_t after);

}  // namespace fovea
