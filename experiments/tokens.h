#pragma once

#include <filesystem>
#include <vector>

#include "config/config.h"
#include "model/shape.h"
#include "tokenizer/tokenizer.h"

namespace fovea {

/// Sequences for a model to read, and where they come from.
struct Tokens {
  int64 sequences = 0, length = 0;
  std::vector<int32> values;  ///< (sequences, length)
  std::string source;
  int64 target_bytes = 0;  ///< of text that the tokens after each sequence's first stand for; 0: not known
  int64 left_over = 0;     ///< tokens at the end of the source, too few for a sequence

  int64 targets() const { return sequences * (length - 1); }
};

/// The dataset `tokens` (sequences, length) of an HDF5 file. Throws UserError (input): there is none, tokens
/// beyond the vocabulary or the positions of the model.
Tokens read_tokens(const std::filesystem::path& path, const DecoderShape& shape);

/// A llm.c or nanoGPT token file (data/token_files.h), cut into sequences of `length`, one after another; 0:
/// the model's context, or the whole file where it is shorter. Throws UserError (input): no token file, too
/// few tokens, tokens beyond the vocabulary or the positions of the model.
Tokens token_file_windows(const std::filesystem::path& path, const DecoderShape& shape, int64 length);

/// A text through a tokenizer, behind what that puts before texts, cut likewise. Throws UserError likewise.
Tokens text_windows(const std::filesystem::path& path, const Tokenizer& tokenizer, const DecoderShape& shape,
                    int64 length);

/// At most `sequences` stretches of `length` bytes, evenly spaced over a file. Throws UserError: input (it
/// has fewer than two bytes), usage (the model's tokens are not bytes).
Tokens text_tokens(const std::filesystem::path& path, const DecoderShape& shape, int64 sequences,
                   int64 length);

/// At most `sequences` windows of `length` tokens, evenly spaced over what a configuration holds out. Throws
/// UserError as open_dataset() does.
Tokens held_out_tokens(const DataConfig& data, int64 sequences, int64 length);

/// Uniform draws, the same every time.
Tokens random_tokens(const DecoderShape& shape, int64 sequences, int64 length);

/// Sequences of `repeated` random tokens, all different, laid down twice; the same every time.
Tokens repeated_tokens(const DecoderShape& shape, int64 sequences, int64 repeated);

}  // namespace fovea
