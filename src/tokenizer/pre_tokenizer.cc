#include "tokenizer/pre_tokenizer.h"

#include <algorithm>

#include "tokenizer/utf8.h"

namespace fovea {
namespace {

struct Stretch {
  size_t begin, end;
  bool is_match;
};

/// Stretches of a text after another, put together as the behaviour says.
std::vector<Stretch> merged(std::vector<Stretch> all, SplitBehavior behavior) {
  const bool backwards = behavior == SplitBehavior::merged_with_next;
  if (backwards) std::reverse(all.begin(), all.end());
  std::vector<Stretch> out;
  bool previous = false;
  for (const Stretch& s : all) {
    const bool joins =
        behavior == SplitBehavior::contiguous ? s.is_match == previous : s.is_match && !previous;
    if (joins && !out.empty())
      (backwards ? out.back().begin : out.back().end) = backwards ? s.begin : s.end;
    else
      out.push_back(s);
    previous = s.is_match;
  }
  if (backwards) std::reverse(out.begin(), out.end());
  return out;
}

class Run {
 public:
  Run(const std::vector<PreTokenizer>& steps, Matcher& matcher, FunctionRef<void(const AlignedView&)> word)
      : steps_(steps), matcher_(matcher), word_(word) {}

  void from(size_t step, const AlignedView& view) {
    if (view.empty()) return;
    if (step == steps_.size()) return word_(view);
    std::visit([&](const auto& how) { cut(how, step + 1, view); }, steps_[step]);
  }

 private:
  /// find(f) calls f(begin, end, is_match) for the stretches of the view.
  template <class Find>
  void cut_by(SplitBehavior behavior, size_t next, const AlignedView& view, Find find) {
    const auto take = [&](size_t begin, size_t end) { from(next, view.part(begin, end - begin)); };
    if (behavior == SplitBehavior::isolated)
      return find([&](size_t begin, size_t end, bool) { take(begin, end); });
    if (behavior == SplitBehavior::removed)
      return find([&](size_t begin, size_t end, bool is_match) {
        if (!is_match) take(begin, end);
      });
    std::vector<Stretch> stretches;
    find([&](size_t begin, size_t end, bool is_match) { stretches.push_back({begin, end, is_match}); });
    for (const Stretch& s : merged(std::move(stretches), behavior)) take(s.begin, s.end);
  }

  void cut(const SplitByPattern& split, size_t next, const AlignedView& view) {
    cut_by(split.behavior, next, view, [&](auto found) {
      for_each_match(matcher_, split.pattern, view.text, [&](size_t begin, size_t end, bool is_match) {
        found(begin, end, is_match != split.invert);
      });
    });
  }

  void cut(const SplitDigits& digits, size_t next, const AlignedView& view) {
    size_t begin = 0;
    bool in_number = false;
    for (size_t i = 0; i < view.size();) {
      const CodePoint c = code_point_at(view.text, i);
      const bool numeric = is_numeric(c.value);
      if (i > begin && (numeric != in_number || (numeric && digits.individual))) {
        from(next, view.part(begin, i - begin));
        begin = i;
      }
      in_number = numeric;
      i += c.bytes;
    }
    from(next, view.part(begin, view.size() - begin));
  }

  void cut(const Metaspace& metaspace, size_t next, const AlignedView& view) {
    AlignedText text;
    text.reserve(view.size() + view.size() / 2);
    const bool begins_so = view.text.starts_with(' ') || view.text.starts_with(metaspace.replacement);
    const bool prefix = metaspace.prefix == Metaspace::Prefix::always ||
                        (metaspace.prefix == Metaspace::Prefix::first && view.origin(0) == 0);
    if (prefix && !begins_so) text.append(metaspace.replacement, view.origin(0));
    for (size_t done = 0; done < view.size();) {
      const size_t space = std::min(view.text.find(' ', done), view.size());
      text.append(view.part(done, space - done));
      if (space < view.size()) text.append(metaspace.replacement, view.origin(space));
      done = space + 1;
    }
    const AlignedView replaced = text.view();
    if (!metaspace.split) return from(next, replaced);
    for (size_t begin = 0; begin < replaced.size();) {
      // A run of them: the last goes with what follows, each of the others stands alone.
      const size_t after = replaced.text.starts_with(metaspace.replacement) || begin > 0
                               ? begin + metaspace.replacement.size()
                               : begin;
      const size_t end = std::min(replaced.text.find(metaspace.replacement, after), replaced.size());
      from(next, replaced.part(begin, end - begin));
      begin = end;
    }
  }

  void cut(const PrefixSpace&, size_t next, const AlignedView& view) {
    if (view.text.starts_with(' ')) return from(next, view);
    AlignedText text;
    text.reserve(view.size() + 1);
    text.append(" ", view.origin(0));
    text.append(view);
    from(next, text.view());
  }

  const std::vector<PreTokenizer>& steps_;
  Matcher& matcher_;
  FunctionRef<void(const AlignedView&)> word_;
};

}  // namespace

void pre_tokenize(const std::vector<PreTokenizer>& steps, const AlignedView& view, Matcher& matcher,
                  FunctionRef<void(const AlignedView&)> word) {
  Run(steps, matcher, word).from(0, view);
}

}  // namespace fovea
