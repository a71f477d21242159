#include <cstring>
#include <optional>

#include "core/error.h"
#include "tokenizer/sentencepiece_model.h"
#include "tokenizer/utf8.h"

namespace fovea {
namespace {

/// A field of a message in protobuf's wire format.
struct Field {
  uint64 number = 0;
  bool is_bytes = false;
  uint64 value = 0;
  std::string_view bytes;
};

/// Walks over the fields of a message.
class Message {
 public:
  Message(std::string_view bytes, const std::string& file) : rest_(bytes), file_(file) {}

  std::optional<Field> next() {
    if (rest_.empty()) return std::nullopt;
    const uint64 key = varint();
    Field field{key >> 3, false, 0, {}};
    if (field.number == 0) fail("has a field 0");
    switch (key & 7) {
      case 0:
        field.value = varint();
        break;
      case 1:
        take(8);
        break;
      case 2:
        field.is_bytes = true;
        field.bytes = take(varint());
        break;
      case 5:
        take(4);
        break;
      default:
        fail("has a field of no known kind");
    }
    return field;
  }
  [[noreturn]] void fail(std::string_view what) const {
    fail_input("{}: is no SentencePiece model: {}", file_, what);
  }

 private:
  uint64 varint() {
    uint64 value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      const auto byte = static_cast<unsigned char>(take(1)[0]);
      value |= uint64{byte & 0x7Fu} << shift;
      if (byte < 0x80) return value;
    }
    fail("has a number longer than 64 bits");
  }
  std::string_view take(uint64 n) {
    if (n > rest_.size()) fail("ends within a field: truncated?");
    const std::string_view taken = rest_.substr(0, n);
    rest_.remove_prefix(n);
    return taken;
  }

  std::string_view rest_;
  const std::string& file_;
};

/// The characters that are normalised: the size of a double-array trie (darts-clone), its units, and texts
/// that end with 0. The library follows its offsets wherever they lead.
void check_charsmap(std::string_view map, const Message& message) {
  if (map.empty()) return;
  uint32 bytes = 0;
  if (map.size() < sizeof bytes) message.fail("its table of characters is truncated");
  std::memcpy(&bytes, map.data(), sizeof bytes);
  const std::string_view rest = map.substr(sizeof bytes);
  if (bytes > rest.size() || bytes % sizeof(uint32) != 0 || bytes < 256 * sizeof(uint32))
    message.fail("its table of characters is truncated");
  const uint64 units = bytes / sizeof(uint32), texts = rest.size() - bytes;
  if (texts == 0 || rest.back() != '\0') message.fail("its table of characters does not end with a text");
  const auto unit_at = [&](uint64 i) {
    uint32 unit;
    std::memcpy(&unit, rest.data() + i * sizeof unit, sizeof unit);
    return unit;
  };
  constexpr uint32 kValue = 0x80000000u, kHasValue = 1u << 8, kWide = 1u << 9;
  for (uint64 i = 0; i < units; ++i) {
    const uint32 unit = unit_at(i);
    if (unit & kValue) continue;
    const uint64 child = i ^ (uint64{unit >> 10} << (unit & kWide ? 8 : 0));
    if ((child | 0xFF) >= units) message.fail("its table of characters points beyond its end");
    if (unit & kHasValue && (unit_at(child) & ~kValue) >= texts)
      message.fail("its table of characters points beyond its texts");
  }
}

void check_normalizer(std::string_view bytes, const std::string& file) {
  Message message(bytes, file);
  while (const auto field = message.next())
    if (field->number == 2) {
      if (!field->is_bytes) message.fail("its table of characters is a number");
      check_charsmap(field->bytes, message);
    }
}

void check_piece(std::string_view bytes, const std::string& file) {
  Message message(bytes, file);
  bool named = false;
  while (const auto field = message.next())
    if (field->number == 1 && field->is_bytes) {
      named = !field->bytes.empty();
      if (field->bytes.find('\0') != field->bytes.npos ||
          first_ill_formed(field->bytes) != field->bytes.size())
        message.fail("a piece is not UTF-8 without NUL");
    }
  if (!named) message.fail("a piece has no text");
}

}  // namespace

void check_sentencepiece_file(std::string_view bytes, const std::string& file) {
  constexpr size_t kMaxBytes = 100'000'000;
  constexpr int64 kMaxPieces = 2'000'000;
  if (bytes.size() > kMaxBytes) fail_input("{}: {} bytes are more than a tokenizer has", file, bytes.size());
  Message message(bytes, file);
  int64 pieces = 0;
  while (const auto field = message.next()) {
    if (!field->is_bytes) continue;
    if (field->number == 1) {
      check_piece(field->bytes, file);
      if (++pieces > kMaxPieces) message.fail("it has more than two million pieces");
    }
    if (field->number == 3 || field->number == 5) check_normalizer(field->bytes, file);
  }
  if (pieces == 0) message.fail("it has no pieces");
}

}  // namespace fovea
