#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/types.h"

namespace fovea {

/// Text to learn from, and where its documents begin.
struct Corpus {
  std::string name;              ///< as the configuration says it
  std::string text;              ///< bytes, in no particular encoding; never empty
  std::vector<int64> documents;  ///< byte at which each document begins: climbs strictly from 0
};

/// The corpus called `name`:
///   kjv         the King James Bible as Debian's bible-kjv prints it, a document per chapter
///   random[:N]  N (default 2^20) uniform bytes, the same on every machine
///   a file      its bytes; documents are separated by blank lines
///   a folder    its text files (no NUL among the first 8,000 bytes; no hidden ones), subfolders included,
///               sorted by path and laid end to end, a document per file
///   a glob      what it matches, likewise
/// A file called kjv or random is written ./kjv. Throws UserError (input): missing, unreadable, without text.
Corpus read_corpus(std::string_view name);

/// The files of a corpus that is tokens already, sorted: a file called .bin, or a glob all of whose matches
/// are. Empty where `name` is text, for read_corpus. Throws UserError (input) where a .bin file is missing.
std::vector<std::string> token_files(std::string_view name);

}  // namespace fovea
