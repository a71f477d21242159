#include "tokenizer/utf8.h"

#include <utf8proc.h>

#include <cstring>

namespace fovea {
namespace {

uint32 byte_at(std::string_view text, size_t i) { return static_cast<unsigned char>(text[i]); }
bool continues(uint32 byte) { return (byte & 0xC0u) == 0x80u; }

/// Bytes of a character that begins so; 0: none does.
uint32 length_of(uint32 lead) {
  if (lead < 0x80) return 1;
  if (lead < 0xC2 || lead > 0xF4) return 0;
  return lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
}

/// Whether a second byte may follow this first one: no overlong forms, surrogates or beyond U+10FFFF.
bool may_follow(uint32 lead, uint32 second) {
  if (!continues(second)) return false;
  if (lead == 0xE0) return second >= 0xA0;
  if (lead == 0xED) return second < 0xA0;
  if (lead == 0xF0) return second >= 0x90;
  if (lead == 0xF4) return second < 0x90;
  return true;
}

/// How many bytes from i on are a character or the beginning of one, and whether it is whole.
size_t well_formed_prefix(std::string_view text, size_t i, bool& whole) {
  const uint32 lead = byte_at(text, i), length = length_of(lead);
  size_t n = 1;
  if (length > 1 && i + 1 < text.size() && may_follow(lead, byte_at(text, i + 1)))
    for (n = 2; n < length && i + n < text.size() && continues(byte_at(text, i + n));) ++n;
  whole = n == length;
  return n;
}

}  // namespace

CodePoint code_point_at(std::string_view text, size_t i) {
  const uint32 lead = byte_at(text, i);
  if (lead < 0x80) return {lead, 1};
  const auto low = [&](size_t n) { return byte_at(text, i + n) & 0x3Fu; };
  if (lead < 0xE0) return {(lead & 0x1Fu) << 6 | low(1), 2};
  if (lead < 0xF0) return {(lead & 0x0Fu) << 12 | low(1) << 6 | low(2), 3};
  return {(lead & 0x07u) << 18 | low(1) << 12 | low(2) << 6 | low(3), 4};
}

CodePoint code_point_before(std::string_view text, size_t i) {
  size_t begin = i - 1;
  while (begin > 0 && continues(byte_at(text, begin))) --begin;
  return code_point_at(text, begin);
}

void append_utf8(std::string& text, uint32 c) {
  const auto add = [&](uint32 byte) { text += static_cast<char>(byte); };
  if (c < 0x80) return add(c);
  if (c < 0x800) {
    add(0xC0u | c >> 6);
  } else {
    if (c < 0x10000) {
      add(0xE0u | c >> 12);
    } else {
      add(0xF0u | c >> 18);
      add(0x80u | (c >> 12 & 0x3Fu));
    }
    add(0x80u | (c >> 6 & 0x3Fu));
  }
  add(0x80u | (c & 0x3Fu));
}

size_t first_ill_formed(std::string_view text, size_t from) {
  size_t i = from;
  while (i < text.size()) {
    uint64 eight;
    if (i + sizeof eight <= text.size()) {
      std::memcpy(&eight, text.data() + i, sizeof eight);
      if ((eight & 0x8080808080808080u) == 0) {
        i += sizeof eight;
        continue;
      }
    }
    bool whole = false;
    const size_t n = well_formed_prefix(text, i, whole);
    if (!whole) return i;
    i += n;
  }
  return text.size();
}

size_t ill_formed_bytes(std::string_view text, size_t i) {
  bool whole = false;
  return well_formed_prefix(text, i, whole);
}

bool is_white_space(uint32 c) {
  if (c < 0x80) return c == ' ' || (c >= 9 && c <= 13);
  if (c == 0x85) return true;
  const utf8proc_category_t category = utf8proc_category(static_cast<utf8proc_int32_t>(c));
  return category == UTF8PROC_CATEGORY_ZS || category == UTF8PROC_CATEGORY_ZL ||
         category == UTF8PROC_CATEGORY_ZP;
}

bool is_numeric(uint32 c) {
  if (c < 0x80) return c >= '0' && c <= '9';
  const utf8proc_category_t category = utf8proc_category(static_cast<utf8proc_int32_t>(c));
  return category >= UTF8PROC_CATEGORY_ND && category <= UTF8PROC_CATEGORY_NO;
}

bool is_word_part(uint32 c) {
  const utf8proc_category_t category = utf8proc_category(static_cast<utf8proc_int32_t>(c));
  if (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_NL) return true;
  if (category == UTF8PROC_CATEGORY_PC || c == 0x200C || c == 0x200D) return true;
  // Symbols that are alphabetic: letters in circles and squares.
  return (c >= 0x24B6 && c <= 0x24E9) || (c >= 0x1F130 && c <= 0x1F149) || (c >= 0x1F150 && c <= 0x1F169) ||
         (c >= 0x1F170 && c <= 0x1F189);
}

}  // namespace fovea
