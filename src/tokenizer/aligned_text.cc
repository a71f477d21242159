#include "tokenizer/aligned_text.h"

#include "tokenizer/utf8.h"

namespace fovea {

void AlignedText::append(const AlignedView& view) {
  text_ += view.text;
  if (view.origins) {
    origins_.insert(origins_.end(), view.origins, view.origins + view.size());
    return;
  }
  const size_t first = origins_.size();
  origins_.resize(first + view.size());
  for (size_t i = 0; i < view.size(); ++i) origins_[first + i] = view.begin + static_cast<uint32>(i);
}

void AlignedText::append(std::string_view text, uint32 origin) {
  text_ += text;
  origins_.insert(origins_.end(), text.size(), origin);
}

void AlignedText::reserve(size_t bytes) {
  text_.reserve(bytes);
  origins_.reserve(bytes);
}

void AlignedText::clear() {
  text_.clear();
  origins_.clear();
}

AlignedView as_utf8(std::string_view bytes, AlignedText& storage) {
  const AlignedView all{bytes};
  size_t wrong = first_ill_formed(bytes);
  if (wrong == bytes.size()) return all;
  storage.clear();
  storage.reserve(bytes.size() + bytes.size() / 8);
  size_t done = 0;
  while (wrong < bytes.size()) {
    storage.append(all.part(done, wrong - done));
    storage.append("\xEF\xBF\xBD", static_cast<uint32>(wrong));
    done = wrong + ill_formed_bytes(bytes, wrong);
    wrong = first_ill_formed(bytes, done);
  }
  storage.append(all.part(done, bytes.size() - done));
  return storage.view();
}

}  // namespace fovea
