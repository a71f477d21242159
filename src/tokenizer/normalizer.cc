#include "tokenizer/normalizer.h"

#include <utf8proc.h>

#include <cstdlib>
#include <memory>

#include "core/error.h"
#include "tokenizer/utf8.h"

namespace fovea {
namespace {

/// A character that joins the one before it: a mark, or a vowel or final consonant of Hangul.
bool joins_previous(uint32 c) {
  if (c < 0x300) return false;
  if (c >= 0x1160 && c <= 0x11FF) return true;
  const utf8proc_category_t category = utf8proc_category(static_cast<utf8proc_int32_t>(c));
  return category >= UTF8PROC_CATEGORY_MN && category <= UTF8PROC_CATEGORY_ME;
}

/// A character that no normal form changes while nothing joins it.
bool is_inert(uint32 c) {
  if (c < 0xA0) return true;
  if (c >= 0xAC00 && c <= 0xD7A3) return false;  // Hangul is decomposed by arithmetic
  return utf8proc_get_property(static_cast<utf8proc_int32_t>(c))->decomp_seqindex == UINT16_MAX;
}

/// The end of the cluster that begins at byte i: a character and what joins it.
size_t cluster_end(std::string_view text, size_t i, bool& inert) {
  CodePoint c = code_point_at(text, i);
  inert = is_inert(c.value) && !joins_previous(c.value);
  i += c.bytes;
  while (i < text.size()) {
    c = code_point_at(text, i);
    if (!joins_previous(c.value)) break;
    inert = false;
    i += c.bytes;
  }
  return i;
}

AlignedView changed(const NormalForm& form, const AlignedView& view, AlignedText& out, Matcher&) {
  int options = UTF8PROC_STABLE | (form.compose ? UTF8PROC_COMPOSE : UTF8PROC_DECOMPOSE);
  if (form.compatible) options |= UTF8PROC_COMPAT;
  const std::string_view text = view.text;
  bool any = false;
  size_t copied = 0;
  for (size_t i = 0; i < text.size();) {
    bool inert = false;
    const size_t end = cluster_end(text, i, inert);
    if (!inert) {
      utf8proc_uint8_t* result = nullptr;
      const utf8proc_ssize_t n = utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data() + i),
                                              static_cast<utf8proc_ssize_t>(end - i), &result,
                                              static_cast<utf8proc_option_t>(options));
      const std::unique_ptr<utf8proc_uint8_t, void (*)(void*)> release(result, std::free);
      FOVEA_CHECK(n >= 0, "utf8proc: {}", utf8proc_errmsg(n));
      const std::string_view normal(reinterpret_cast<const char*>(result), static_cast<size_t>(n));
      if (normal != text.substr(i, end - i)) {
        if (!any) out.clear();
        any = true;
        out.append(view.part(copied, i - copied));
        out.append(normal, view.origin(i));
        copied = end;
      }
    }
    i = end;
  }
  if (!any) return view;
  out.append(view.part(copied, text.size() - copied));
  return out.view();
}

AlignedView changed(const Prepend& prepend, const AlignedView& view, AlignedText& out, Matcher&) {
  if (view.empty()) return view;
  out.clear();
  out.reserve(view.size() + prepend.text.size());
  out.append(prepend.text, view.origin(0));
  out.append(view);
  return out.view();
}

AlignedView changed(const Replace& replace, const AlignedView& view, AlignedText& out, Matcher& matcher) {
  bool any = false;
  size_t copied = 0;
  for_each_match(matcher, replace.pattern, view.text, [&](size_t begin, size_t end, bool is_match) {
    if (!is_match) return;
    if (!any) {
      out.clear();
      out.reserve(view.size() + view.size() / 2);
    }
    any = true;
    out.append(view.part(copied, begin - copied));
    // All its bytes come from the first of what it stands for.
    out.append(replace.text, begin < view.size() ? view.origin(begin) : view.origin(view.size() - 1));
    copied = end;
    check_growth(view.size(), out.size());
  });
  if (!any) return view;
  out.append(view.part(copied, view.size() - copied));
  return out.view();
}

}  // namespace

void check_growth(size_t before, size_t after) {
  constexpr size_t kTimes = 32, kFree = 1 << 20;
  if (after > kTimes * before + kFree)
    fail_input("the tokenizer's replacements make more than {} bytes of {}", after, before);
}

AlignedView Normalization::apply(const std::vector<Normalizer>& normalizers, AlignedView view,
                                 Matcher& matcher) {
  int next = 0;
  const size_t before = view.size();
  for (const Normalizer& normalizer : normalizers) {
    if (view.empty()) break;
    const char* lay = view.text.data();
    view = std::visit([&](const auto& step) { return changed(step, view, buffers_[next], matcher); },
                      normalizer);
    if (view.text.data() != lay) next = 1 - next;
    check_growth(before, view.size());
  }
  return view;
}

}  // namespace fovea
