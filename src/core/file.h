#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include "core/types.h"

namespace fovea {

/// The whole file; throws UserError (input) naming it and the system's reason.
std::string read_file(const std::filesystem::path& path);

/// A file that is there whole or not at all: written beside `path`, and at commit() synced, renamed over it
/// and its directory synced. Whoever reads `path` sees the old file or the new one. What is not committed is
/// removed, also what a killed process left of such a write. Throws UserError with the system's reason and
/// leaves the old file as it was: interrupted where there is no space, else failed.
class AtomicFile {
 public:
  explicit AtomicFile(std::filesystem::path path);
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  ~AtomicFile();
  void append(std::span<const std::byte> data);
  /// Writes over what was appended already, from byte `offset` on.
  void replace(int64 offset, std::span<const std::byte> data);
  void commit();

 private:
  [[noreturn]] void fail() const;
  std::filesystem::path path_, temporary_;
  int descriptor_ = -1;
};

/// The same at once.
void write_file_atomically(const std::filesystem::path& path, std::span<const std::byte> data);
void write_file_atomically(const std::filesystem::path& path, std::string_view text);
/// The parts one after another.
void write_file_atomically(const std::filesystem::path& path,
                           std::span<const std::span<const std::byte>> parts);

/// A folder that is there whole or not at all: filled beside `path`, renamed at commit(). What is not
/// committed is removed, also what a killed process left of such a folder. Throws UserError: usage where
/// `path` is there already and not an empty folder, unless it is to be replaced.
class AtomicFolder {
 public:
  enum class Existing { refuse, replace };
  explicit AtomicFolder(std::filesystem::path path, Existing existing = Existing::refuse);
  AtomicFolder(const AtomicFolder&) = delete;
  AtomicFolder& operator=(const AtomicFolder&) = delete;
  ~AtomicFolder();
  /// Where its files are written until commit(); each is synced by its own writer.
  const std::filesystem::path& place() const { return temporary_; }
  void commit();

 private:
  std::filesystem::path path_, temporary_;
  Existing existing_;
  int lock_ = -1;
};

/// Removes the temporary files that writers of files in `directory` (or of the one named `of`) left when they
/// were killed. A writer that lives holds a lock on its own, on whichever machine it runs.
void remove_abandoned_temporaries(const std::filesystem::path& directory, std::string_view of = {});

/// Throws UserError for a write that the system refused with this errno: interrupted (the same command goes
/// on when there is room) for a full disk, a quota or a limit on size, else failed.
[[noreturn]] void fail_to_write(const std::filesystem::path& path, int reason);

/// Makes what was written to an existing file, or the entries of a directory, survive a power cut.
void sync_to_disk(const std::filesystem::path& path);

/// Renames over `to`, then syncs the directory.
void rename_durably(const std::filesystem::path& from, const std::filesystem::path& to);

/// A file mapped for reading; throws UserError (input) when it cannot be.
class MappedFile {
 public:
  MappedFile() = default;
  explicit MappedFile(const std::filesystem::path& path);
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();
  std::span<const std::byte> bytes() const { return {data_, size_}; }

 private:
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
};

/// Tells the system that these pages of a mapped file are about to be read, all of them.
void expect_pages(std::span<const std::byte> mapped);

/// Takes pages of a mapped file that were read out of this process: they are read again when they are
/// touched. What was read once must not count as memory that the process needs.
void release_pages(std::span<const std::byte> mapped);

}  // namespace fovea
