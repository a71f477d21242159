#include "tokenizer/byte_alphabet.h"

#include <array>

#include "tokenizer/utf8.h"

namespace fovea {
namespace {

constexpr bool stands_for_itself(uint32 byte) {
  return (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

constexpr uint32 kFirstOther = 0x100, kCharacters = kFirstOther + 256;

struct Alphabet {
  std::array<uint16, 256> characters{};
  std::array<int16_t, kCharacters> bytes{};
  constexpr Alphabet() {
    for (int16_t& byte : bytes) byte = -1;
    uint32 next = kFirstOther;
    for (uint32 byte = 0; byte < 256; ++byte) {
      characters[byte] = static_cast<uint16>(stands_for_itself(byte) ? byte : next++);
      bytes[characters[byte]] = static_cast<int16_t>(byte);
    }
  }
};
constexpr Alphabet kAlphabet;

}  // namespace

uint32 character_of_byte(unsigned char byte) { return kAlphabet.characters[byte]; }

std::string spelled_bytes(std::string_view bytes) {
  std::string text;
  for (const char byte : bytes) append_utf8(text, character_of_byte(static_cast<unsigned char>(byte)));
  return text;
}

std::optional<std::string> bytes_of_spelling(std::string_view text) {
  std::string bytes;
  for (size_t i = 0; i < text.size();) {
    const CodePoint c = code_point_at(text, i);
    if (c.value >= kCharacters || kAlphabet.bytes[c.value] < 0) return std::nullopt;
    bytes += static_cast<char>(kAlphabet.bytes[c.value]);
    i += c.bytes;
  }
  return bytes;
}

}  // namespace fovea
