#include "data/tokenized_text.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <string_view>
#include <thread>

#include "core/error.h"

namespace fovea {
namespace {

/// Some documents that follow one another, and what one thread made of them.
struct Part {
  size_t first_document = 0, last_document = 0;  // [first, last)
  std::vector<int32> tokens;
  std::vector<int64> documents;
  /// The first token of each block that has any.
  struct BlockStart {
    int64 block, token;
  };
  std::vector<BlockStart> blocks;
  std::exception_ptr failure;
};

std::vector<Part> parts_of(const Corpus& corpus) {
  constexpr int64 kPartBytes = 1 << 20;
  std::vector<Part> parts;
  int64 begin = 0;
  for (size_t d = 0; d < corpus.documents.size(); ++d) {
    if (d == 0 || corpus.documents[d] - begin >= kPartBytes) {
      parts.push_back({d, d, {}, {}, {}, {}});
      begin = corpus.documents[d];
    }
    parts.back().last_document = d + 1;
  }
  return parts;
}

void encode_part(const Corpus& corpus, TextEncoder& encoder, int64 block_bytes, Part& part) {
  const std::string_view text = corpus.text;
  Encoding encoding;
  int64 block = -1;
  for (size_t d = part.first_document; d < part.last_document; ++d) {
    const int64 begin = corpus.documents[d];
    const int64 end =
        d + 1 < corpus.documents.size() ? corpus.documents[d + 1] : static_cast<int64>(text.size());
    encoder.encode(text.substr(static_cast<size_t>(begin), static_cast<size_t>(end - begin)), encoding);
    const auto first = static_cast<int64>(part.tokens.size());
    if (!encoding.ids.empty()) part.documents.push_back(first);
    part.tokens.insert(part.tokens.end(), encoding.ids.begin(), encoding.ids.end());
    for (size_t i = 0; i < encoding.begins.size(); ++i) {
      const int64 here = (begin + encoding.begins[i]) / block_bytes;
      if (here == block) continue;
      part.blocks.push_back({block = here, first + static_cast<int64>(i)});
    }
  }
}

void encode_all(const Corpus& corpus, const Tokenizer& tokenizer, int64 block_bytes,
                std::vector<Part>& parts) {
  std::atomic<size_t> next = 0;
  const auto work = [&] {
    TextEncoder encoder(tokenizer);
    for (size_t p = next++; p < parts.size(); p = next++) try {
        encode_part(corpus, encoder, block_bytes, parts[p]);
      } catch (...) {
        parts[p].failure = std::current_exception();
      }
  };
  // Plain threads, gone when this returns: runs are started by forking, and a pool would not survive that.
  const size_t threads = std::min<size_t>(parts.size(), std::max(1u, std::thread::hardware_concurrency()));
  std::vector<std::thread> others;
  for (size_t t = 1; t < threads; ++t) others.emplace_back(work);
  work();
  for (std::thread& other : others) other.join();
  for (const Part& part : parts)
    if (part.failure) std::rethrow_exception(part.failure);
}

}  // namespace

TokenizedText tokenize(const Corpus& corpus, const Tokenizer& tokenizer, int64 block_bytes) {
  FOVEA_CHECK(block_bytes >= 1 && !corpus.documents.empty() && corpus.documents[0] == 0, "blocks of {} bytes",
              block_bytes);
  std::vector<Part> parts = parts_of(corpus);
  encode_all(corpus, tokenizer, block_bytes, parts);

  TokenizedText all;
  const int64 whole = static_cast<int64>(corpus.text.size()) / block_bytes;
  const auto begin_blocks = [&](int64 up_to, int64 token) {
    while (static_cast<int64>(all.blocks.size()) <= std::min(up_to, whole)) all.blocks.push_back(token);
  };
  for (Part& part : parts) {
    const auto first = static_cast<int64>(all.tokens.size());
    for (const int64 document : part.documents) all.documents.push_back(first + document);
    for (const Part::BlockStart& start : part.blocks) begin_blocks(start.block, first + start.token);
    all.tokens.insert(all.tokens.end(), part.tokens.begin(), part.tokens.end());
    part = {};
  }
  begin_blocks(whole, static_cast<int64>(all.tokens.size()));
  return all;
}

}  // namespace fovea
