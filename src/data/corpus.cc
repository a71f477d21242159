#include "data/corpus.h"

#include <glob.h>
#include <sys/wait.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>
#include <optional>

#include "core/error.h"
#include "core/file.h"
#include "core/random.h"

namespace fovea {
namespace {

namespace fs = std::filesystem;

/// Where documents begin, by a rule that sees one line after the other.
template <class BeginsDocument>
std::vector<int64> documents_by_line(std::string_view text, BeginsDocument begins_document) {
  std::vector<int64> documents{0};
  for (size_t begin = 0; begin < text.size();) {
    const size_t newline = text.find('\n', begin);
    const size_t end = newline == text.npos ? text.size() : newline + 1;
    if (begins_document(text.substr(begin, end - begin)) && begin > 0)
      documents.push_back(static_cast<int64>(begin));
    begin = end;
  }
  return documents;
}

std::vector<int64> paragraphs(std::string_view text) {
  bool any_text = false, after_blank = false;
  return documents_by_line(text, [&](std::string_view line) {
    const bool blank = line.find_first_not_of(" \t\r\n") == line.npos;
    const bool begins = !blank && after_blank;
    any_text |= !blank;
    after_blank = blank && any_text;
    return begins;
  });
}

/// Every verse stands on its own line, as "Ge1:31 And God saw ...".
std::vector<int64> chapters(std::string_view text) {
  std::string_view chapter;
  return documents_by_line(text, [&](std::string_view line) {
    const std::string_view here = line.substr(0, line.find(':'));
    const bool begins = here != chapter;
    chapter = here;
    return begins;
  });
}

Corpus king_james_bible() {
  FILE* pipe = ::popen("bible -f gen1:1-rev22:21 </dev/null 2>/dev/null", "re");
  if (!pipe) fail_input("data.corpus = \"kjv\": bible cannot be run: {}", std::strerror(errno));
  Corpus corpus{"kjv", {}, {}};
  char part[1 << 16];
  while (const size_t n = std::fread(part, 1, sizeof(part), pipe)) corpus.text.append(part, n);
  const int status = ::pclose(pipe);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
    fail_input(
        "data.corpus = \"kjv\": the program bible is not there: install bible-kjv (./fovea setup run)");
  if (status != 0 || corpus.text.empty())
    fail_input(
        "data.corpus = \"kjv\": bible printed {} bytes and ended with status {}: install bible-kjv "
        "again (./fovea setup run)",
        corpus.text.size(), WIFEXITED(status) ? WEXITSTATUS(status) : status);
  corpus.documents = chapters(corpus.text);
  return corpus;
}

Corpus random_bytes(std::string_view name) {
  constexpr int64 kDefault = 1 << 20, kMost = int64{1} << 32;
  int64 bytes = kDefault;
  if (const size_t colon = name.find(':'); colon != name.npos) {
    const char* end = name.data() + name.size();
    const auto read = std::from_chars(name.data() + colon + 1, end, bytes);
    if (read.ec != std::errc() || read.ptr != end || bytes < 1 || bytes > kMost)
      fail_input("data.corpus = \"{}\": random:N wants a number of bytes from 1 to {}", name, kMost);
  }
  Corpus corpus{std::string(name), std::string(static_cast<size_t>(bytes), '\0'), {}};
  const RandomSequence sequence{0, RandomUse::synthetic, 0};
  for (int64 i = 0; i < bytes; i += 16) {
    const auto bits = sequence.bits(static_cast<uint64>(i / 16));
    std::memcpy(corpus.text.data() + i, bits.data(), static_cast<size_t>(std::min<int64>(16, bytes - i)));
  }
  corpus.documents = paragraphs(corpus.text);
  return corpus;
}

bool hidden(const fs::path& path) { return path.filename().string().starts_with("."); }

/// The files of a folder and its subfolders, hidden ones left out.
void add_folder(const fs::path& folder, std::vector<std::string>& files) {
  std::error_code error;
  fs::recursive_directory_iterator entry(folder, error);
  for (; !error && entry != fs::recursive_directory_iterator(); entry.increment(error)) {
    std::error_code unreadable;
    const bool is_folder = entry->is_directory(unreadable);
    if (hidden(entry->path())) {
      if (is_folder) entry.disable_recursion_pending();
    } else if (entry->is_regular_file(unreadable)) {
      files.push_back(entry->path().string());
    }
  }
  if (error) fail_input("{}: the folder cannot be read: {}", folder.string(), error.message());
}

std::vector<std::string> matches_of(std::string_view pattern) {
  std::vector<std::string> files;
  glob_t found{};
  const std::unique_ptr<glob_t, void (*)(glob_t*)> release(&found, ::globfree);
  const int status = ::glob(std::string(pattern).c_str(), GLOB_NOSORT, nullptr, &found);
  if (status == GLOB_NOMATCH) fail_input("data.corpus = \"{}\": no file matches", pattern);
  if (status != 0) fail_input("data.corpus = \"{}\": the pattern's folders cannot be read", pattern);
  for (size_t i = 0; i < found.gl_pathc; ++i) {
    const fs::path match = found.gl_pathv[i];
    std::error_code error;
    if (fs::is_directory(match, error))
      add_folder(match, files);
    else if (fs::is_regular_file(match, error))
      files.push_back(match.string());
  }
  return files;
}

bool is_glob(std::string_view name) { return name.find_first_of("*?[") != name.npos; }
bool holds_tokens(std::string_view file) { return file.ends_with(".bin"); }

/// Git's rule: what has a NUL byte near its beginning is no text.
bool is_text(std::string_view bytes) { return bytes.substr(0, 8000).find('\0') == bytes.npos; }

std::vector<std::string> sorted(std::vector<std::string> files) {
  std::sort(files.begin(), files.end());
  files.erase(std::unique(files.begin(), files.end()), files.end());
  return files;
}

Corpus joined(std::string_view name, const std::vector<std::string>& files) {
  Corpus corpus{std::string(name), {}, {}};
  for (const std::string& file : files) {
    const std::string text = read_file(file);
    if (text.empty() || !is_text(text)) continue;
    corpus.documents.push_back(static_cast<int64>(corpus.text.size()));
    corpus.text += text;
  }
  if (corpus.text.empty())
    fail_input("data.corpus = \"{}\": none of its {} files has text in it{}", name, files.size(),
               std::any_of(files.begin(), files.end(), holds_tokens)
                   ? "; files of tokens are named by a glob of .bin files alone"
                   : "");
  return corpus;
}

}  // namespace

Corpus read_corpus(std::string_view name) {
  if (name == "kjv") return king_james_bible();
  if (name == "random" || name.starts_with("random:")) return random_bytes(name);
  if (name.empty()) fail_input("data.corpus = \"\": say kjv, or a file, a folder or a glob");
  const fs::path path(name);
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (fs::is_directory(status)) {
    std::vector<std::string> files;
    add_folder(path, files);
    return joined(name, sorted(std::move(files)));
  }
  if (!fs::exists(status)) {
    if (is_glob(name)) return joined(name, sorted(matches_of(name)));
    fail_input(
        "data.corpus = \"{}\": there is no such file or folder; say kjv, or a file, a folder or a glob",
        name);
  }
  Corpus corpus{std::string(name), read_file(path), {}};
  if (corpus.text.empty()) fail_input("data.corpus = \"{}\": the file is empty", name);
  corpus.documents = paragraphs(corpus.text);
  return corpus;
}

std::vector<std::string> token_files(std::string_view name) {
  std::error_code error;
  if (fs::is_regular_file(fs::path(name), error))
    return holds_tokens(name) ? std::vector{std::string(name)} : std::vector<std::string>();
  if (fs::exists(fs::path(name), error)) return {};
  if (!is_glob(name) && !holds_tokens(name)) return {};
  if (!is_glob(name)) fail_input("data.corpus = \"{}\": there is no such file", name);
  std::vector<std::string> files = sorted(matches_of(name));
  const bool tokens = std::all_of(files.begin(), files.end(), holds_tokens);
  return tokens ? files : std::vector<std::string>();
}

}  // namespace fovea
