#pragma once

#include <filesystem>
#include <string>

#include "tokenizer/bpe_trainer.h"

namespace fovea {

/// Trains a byte-pair encoding on the documents of a corpus (read_corpus()), writes its tokenizer.json, and
/// says in a line what it has become. Throws UserError as they do; failed (the file cannot be written).
std::string train_tokenizer(const std::string& corpus, const std::filesystem::path& to,
                            const BpeTraining& training);

}  // namespace fovea
