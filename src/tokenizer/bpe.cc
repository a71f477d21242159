#include "tokenizer/bpe.h"

#include <algorithm>

#include "tokenizer/utf8.h"

namespace fovea {
namespace {

constexpr std::string_view kSeparator = "\xE2\x96\x81";  // U+2581
constexpr uint32 kNobody = 0xFFFFFFFFu, kGone = 0xFFFFFFFEu;

using Symbol = BpeScratch::Symbol;
using Candidate = BpeScratch::Candidate;

/// For a heap whose top has the lowest rank, and among equals stands first.
bool later(const Candidate& a, const Candidate& b) {
  return a.rank != b.rank ? a.rank > b.rank : a.at > b.at;
}

bool is_character(std::string_view text) {
  return !text.empty() && code_point_at(text, 0).bytes == text.size();
}

uint64 characters(uint32 left, uint32 right) { return uint64{left} << 32 | right; }

/// The characters at which merges join tokens. Whatever stands for unknown characters, next to a cut are
/// tokens that end and begin with the characters beside it.
std::unordered_set<uint64> joins_of(const BpeParts& parts) {
  std::unordered_map<int32, std::string_view> texts;
  for (const BpeParts::Token& token : parts.tokens) texts[token.id] = token.text;
  std::unordered_set<uint64> joined;
  for (const BpeParts::MergedPair& merge : parts.merges) {
    const std::string_view left = texts[merge.left], right = texts[merge.right];
    if (!left.empty() && !right.empty())
      joined.insert(characters(code_point_before(left, left.size()).value, code_point_at(right, 0).value));
  }
  return joined;
}

}  // namespace

Bpe::Bpe(BpeParts parts)
    : merges_(parts.merges.size()),
      byte_tokens_(parts.byte_tokens),
      bytes_(parts.bytes),
      ignore_merges_(parts.ignore_merges),
      fuse_unknown_(parts.fuse_unknown),
      byte_fallback_(parts.byte_fallback),
      unknown_(parts.unknown) {
  single_.fill(-1);
  for (const BpeParts::Token& token : parts.tokens) {
    if (ignore_merges_) ids_[token.text] = token.id;
    const bool ascii = token.text.size() == 1 && static_cast<unsigned char>(token.text[0]) < 0x80;
    if (ascii || (bytes_ && token.text.size() == 1))
      single_[static_cast<unsigned char>(token.text[0])] = token.id;
    else if (!bytes_ && is_character(token.text))
      characters_[code_point_at(token.text, 0).value] = token.id;
  }
  for (size_t rank = 0; rank < parts.merges.size(); ++rank)
    merges_.set(parts.merges[rank].left, parts.merges[rank].right,
                {static_cast<uint32>(rank), parts.merges[rank].id});
  cuts_ = !bytes_ && !ignore_merges_;
  if (cuts_) joined_ = joins_of(parts);
}

/// Both characters must be tokens: next to one that is left out, or joined to its like, is another.
bool Bpe::may_cut(std::string_view word, size_t at) const {
  const CodePoint left = code_point_before(word, at), right = code_point_at(word, at);
  return symbol_of(word, at - left.bytes, left.bytes) >= 0 && symbol_of(word, at, right.bytes) >= 0 &&
         !joined_.contains(characters(left.value, right.value));
}

void Bpe::encode(const AlignedView& word, BpeScratch& scratch, Encoding& out) const {
  if (!cuts_) return encode_piece(word, scratch, out);
  const std::string_view text = word.text;
  size_t begin = 0;
  const auto cut_at = [&](size_t at) {
    encode_piece(word.part(begin, at - begin), scratch, out);
    begin = at;
  };
  // At spaces; where those are rare, as in Chinese, wherever it can be done, as short pieces are remembered.
  while (begin < text.size()) {
    size_t end = std::min(text.find(kSeparator, begin + 1), text.size());
    while (end < text.size() && !may_cut(text, end))
      end = std::min(text.find(kSeparator, end + 1), text.size());
    if (end - begin > WordCache::kLongestWord)
      for (size_t at = begin + code_point_at(text, begin).bytes; at < end;
           at += code_point_at(text, at).bytes)
        if (may_cut(text, at)) cut_at(at);
    cut_at(end);
  }
}

void Bpe::encode_piece(const AlignedView& word, BpeScratch& scratch, Encoding& out) const {
  const auto append = [&](std::span<const WordToken> tokens) {
    const size_t first = out.ids.size();
    out.ids.resize(first + tokens.size());
    out.begins.resize(first + tokens.size());
    for (size_t i = 0; i < tokens.size(); ++i) {
      out.ids[first + i] = tokens[i].id;
      out.begins[first + i] = word.origin(tokens[i].begin);
    }
  };
  const bool remembered = word.size() <= WordCache::kLongestWord;
  if (remembered)
    if (const auto* known = scratch.cache.find(word.text)) return append(*known);
  tokenize(word.text, scratch);
  if (remembered) scratch.cache.insert(word.text, scratch.tokens);
  append(scratch.tokens);
}

void Bpe::tokenize(std::string_view word, BpeScratch& scratch) const {
  constexpr size_t kShort = 48;
  scratch.tokens.clear();
  if (ignore_merges_)
    if (const auto whole = ids_.find(std::string(word)); whole != ids_.end()) {
      scratch.tokens.push_back({whole->second, 0});
      return;
    }
  scratch.symbols.clear();
  add_symbols(word, scratch);
  if (scratch.symbols.size() <= kShort)
    merge_short(scratch);
  else
    merge_long(scratch);
}

int32 Bpe::symbol_of(std::string_view word, size_t at, uint32 bytes) const {
  if (bytes_ || bytes == 1) return single_[static_cast<unsigned char>(word[at])];
  const auto found = characters_.find(code_point_at(word, at).value);
  return found == characters_.end() ? -1 : found->second;
}

void Bpe::add_symbols(std::string_view word, BpeScratch& scratch) const {
  std::vector<Symbol>& symbols = scratch.symbols;
  // An unknown character waits until it is clear whether the next one joins it: known ones come after it, and
  // bytes that stand for a character before.
  bool waiting = false;
  uint32 unknown_begin = 0;
  const auto flush = [&] {
    if (waiting) symbols.push_back({unknown_, unknown_begin});
    waiting = false;
  };
  for (size_t at = 0; at < word.size();) {
    const uint32 bytes = bytes_ ? 1 : code_point_at(word, at).bytes;
    const auto begin = static_cast<uint32>(at);
    if (const int32 id = symbol_of(word, at, bytes); id >= 0) {
      flush();
      symbols.push_back({id, begin});
    } else {
      bool as_bytes = byte_fallback_;
      const auto byte_token = [&](uint32 i) {
        return byte_tokens_[static_cast<unsigned char>(word[at + i])];
      };
      for (uint32 i = 0; i < bytes && as_bytes; ++i) as_bytes = byte_token(i) >= 0;
      if (as_bytes) {
        for (uint32 i = 0; i < bytes; ++i) symbols.push_back({byte_token(i), begin + i});
      } else if (unknown_ >= 0 && !(waiting && fuse_unknown_)) {
        flush();
        waiting = true;
        unknown_begin = begin;
      }
    }
    at += bytes;
  }
  flush();
}

void Bpe::merge_short(BpeScratch& scratch) const {
  std::vector<Symbol>& s = scratch.symbols;
  const auto rank_of = [&](size_t i) {
    return i + 1 < s.size() ? merges_.find(s[i].id, s[i + 1].id).rank : MergeTable::kNone;
  };
  for (size_t i = 0; i < s.size(); ++i) s[i].rank = rank_of(i);
  while (true) {
    size_t best = 0;
    uint32 rank = MergeTable::kNone;
    for (size_t i = 0; i + 1 < s.size(); ++i)
      if (s[i].rank < rank) {
        rank = s[i].rank;
        best = i;
      }
    if (rank == MergeTable::kNone) break;
    s[best].id = merges_.find(s[best].id, s[best + 1].id).id;
    s.erase(s.begin() + static_cast<std::ptrdiff_t>(best) + 1);
    s[best].rank = rank_of(best);
    if (best > 0) s[best - 1].rank = rank_of(best - 1);
  }
  for (const Symbol& symbol : s) scratch.tokens.push_back({symbol.id, symbol.begin});
}

void Bpe::merge_long(BpeScratch& scratch) const {
  std::vector<Symbol>& s = scratch.symbols;
  std::vector<Candidate>& heap = scratch.heap;
  const auto n = static_cast<uint32>(s.size());
  for (uint32 i = 0; i < n; ++i) {
    s[i].previous = i == 0 ? kNobody : i - 1;
    s[i].next = i + 1 == n ? kNobody : i + 1;
  }
  heap.clear();
  const auto consider = [&](uint32 left) {
    const MergeTable::Merge merge = merges_.find(s[left].id, s[s[left].next].id);
    if (merge.rank != MergeTable::kNone) heap.push_back({merge.rank, left, merge.id});
    return merge.rank != MergeTable::kNone;
  };
  for (uint32 i = 0; i + 1 < n; ++i) consider(i);
  std::make_heap(heap.begin(), heap.end(), later);
  const auto push = [&](uint32 left) {
    if (consider(left)) std::push_heap(heap.begin(), heap.end(), later);
  };
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end(), later);
    const Candidate top = heap.back();
    heap.pop_back();
    Symbol& left = s[top.at];
    if (left.next == kGone || left.next == kNobody) continue;
    Symbol& right = s[left.next];
    // One of an earlier state of the word.
    if (merges_.find(left.id, right.id).rank != top.rank) continue;
    left.id = top.id;
    left.next = right.next;
    right.next = kGone;
    if (left.next != kNobody) s[left.next].previous = top.at;
    if (left.previous != kNobody) push(left.previous);
    if (left.next != kNobody) push(top.at);
  }
  for (const Symbol& symbol : s)
    if (symbol.next != kGone) scratch.tokens.push_back({symbol.id, symbol.begin});
}

}  // namespace fovea
