#include "experiments/train_tokenizer.h"

#include <string_view>
#include <vector>

#include "core/error.h"
#include "core/file.h"
#include "data/corpus.h"
#include "data/tokenized_text.h"

namespace fovea {

std::string train_tokenizer(const std::string& corpus, const std::filesystem::path& to,
                            const BpeTraining& training) {
  if (!token_files(corpus).empty())
    fail_input("{}: is tokens already: a tokenizer is trained on text", corpus);
  if (to.extension() == ".model")
    fail_usage("{}: that is what SentencePiece's files are called; name it .json", to.string());
  const Corpus text = read_corpus(corpus);
  std::vector<std::string_view> documents;
  for (size_t d = 0; d < text.documents.size(); ++d) {
    const auto begin = static_cast<size_t>(text.documents[d]);
    const size_t end =
        d + 1 < text.documents.size() ? static_cast<size_t>(text.documents[d + 1]) : text.text.size();
    documents.push_back(std::string_view(text.text).substr(begin, end - begin));
  }
  const TrainedBpe trained = train_bpe(documents, training);
  write_file_atomically(to, trained.json);
  const auto bytes = static_cast<int64>(text.text.size());
  const TokenizedText tokens = tokenize(text, open_tokenizer(to.string()), bytes);
  const std::string fewer =
      trained.tokens < training.vocabulary ? ", fewer than asked for: no other pair occurs twice" : "";
  return fmt::format("{}: {} tokens{}, of {} different words; {} is {} tokens of {:.2f} bytes\n", to.string(),
                     trained.tokens, fewer, trained.words, text.name, tokens.tokens.size(),
                     static_cast<double>(bytes) / static_cast<double>(tokens.tokens.size()));
}

}  // namespace fovea
