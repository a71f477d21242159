#include "tokenizer/word_cache.h"

#include "core/hash.h"

namespace fovea {
namespace {

constexpr size_t kFirstSlots = 1 << 12, kMostSlots = 1 << 20;
constexpr size_t kMostText = 1 << 24, kMostTokens = 1 << 22;

}  // namespace

WordCache::WordCache() : slots_(kFirstSlots) {}

void WordCache::clear() {
  slots_.assign(slots_.size(), {});
  used_ = 0;
  text_.clear();
  tokens_.clear();
}

const std::span<const WordToken>* WordCache::find(std::string_view word) {
  asked_ = hash64(std::as_bytes(std::span(word))) | 1;
  for (size_t i = asked_ >> 1 & (slots_.size() - 1); slots_[i].hash != 0; i = (i + 1) & (slots_.size() - 1)) {
    const Slot& slot = slots_[i];
    if (slot.hash != asked_ || std::string_view(text_).substr(slot.text, slot.bytes) != word) continue;
    found_ = std::span(tokens_).subspan(slot.tokens, slot.count);
    return &found_;
  }
  return nullptr;
}

void WordCache::grow() {
  std::vector<Slot> old(2 * slots_.size());
  old.swap(slots_);
  for (const Slot& slot : old) {
    if (slot.hash == 0) continue;
    size_t i = slot.hash >> 1 & (slots_.size() - 1);
    while (slots_[i].hash != 0) i = (i + 1) & (slots_.size() - 1);
    slots_[i] = slot;
  }
}

void WordCache::insert(std::string_view word, std::span<const WordToken> tokens) {
  if (text_.size() + word.size() > kMostText || tokens_.size() + tokens.size() > kMostTokens) clear();
  if (2 * (used_ + 1) > slots_.size()) {
    if (slots_.size() < kMostSlots)
      grow();
    else
      clear();
  }
  size_t i = asked_ >> 1 & (slots_.size() - 1);
  while (slots_[i].hash != 0) i = (i + 1) & (slots_.size() - 1);
  slots_[i] = {asked_, static_cast<uint32>(text_.size()), static_cast<uint32>(tokens_.size()),
               static_cast<uint32>(word.size()), static_cast<uint32>(tokens.size())};
  ++used_;
  text_ += word;
  tokens_.insert(tokens_.end(), tokens.begin(), tokens.end());
}

}  // namespace fovea
