#include "tokenizer/sentencepiece_model.h"

#include <sentencepiece_processor.h>

#include <algorithm>
#include <vector>

#include "core/error.h"
#include "core/text.h"
#include "tokenizer/aligned_text.h"

namespace sentencepiece::logging {
void SetMinLogLevel(int level);  // in the library, in no header
}

namespace fovea {

SentencePieceModel::SentencePieceModel(std::string_view bytes, const std::string& file) {
  check_sentencepiece_file(bytes, file);
  constexpr int kFatal = 3;
  sentencepiece::logging::SetMinLogLevel(kFatal);  // it says in its status what goes wrong
  const auto processor = std::make_shared<sentencepiece::SentencePieceProcessor>();
  std::string refused;
  try {
    const auto status = processor->LoadFromSerializedProto(bytes);
    if (!status.ok()) refused = status.ToString();
  } catch (const std::exception& error) {
    refused = error.what();
  }
  if (!refused.empty()) fail_input("{}: is no SentencePiece model: {}", file, on_one_line(refused));
  processor_ = processor;
}

int64 SentencePieceModel::vocabulary() const { return processor_->GetPieceSize(); }
int32 SentencePieceModel::bos() const { return processor_->bos_id(); }
int32 SentencePieceModel::eos() const { return processor_->eos_id(); }

void SentencePieceModel::encode(std::string_view text, Encoding& out) const {
  AlignedText repaired;
  const AlignedView valid = as_utf8(text, repaired);
  sentencepiece::ImmutableSentencePieceText pieces;
  const auto status = processor_->Encode(valid.text, pieces.mutable_proto());
  if (!status.ok()) fail_input("the tokenizer's library refuses a text: {}", on_one_line(status.ToString()));
  const size_t n = pieces.pieces_size(), first = out.ids.size();
  out.ids.resize(first + n);
  out.begins.resize(first + n);
  int64 latest = 0;
  for (size_t i = 0; i < n; ++i) {
    const auto piece = pieces.pieces(static_cast<int>(i));
    out.ids[first + i] = static_cast<int32>(piece.id());
    const size_t begin = piece.begin();
    const int64 origin = begin < valid.size() ? valid.origin(begin) : static_cast<int64>(text.size());
    if (i > 0) latest = std::max(latest, origin);  // the first one takes what stands before it
    out.begins[first + i] = latest;
  }
}

std::string SentencePieceModel::decode(std::span<const int32> ids) const {
  std::string text;
  const auto status = processor_->Decode(std::vector<int>(ids.begin(), ids.end()), &text);
  if (!status.ok()) fail_input("the tokenizer's library refuses tokens: {}", on_one_line(status.ToString()));
  return text;
}

}  // namespace fovea
