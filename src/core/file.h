#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include "core/types.h"

namespace fovea {

/// The whole file; throws UserError (input) naming it and the system's reason.
std::string read_file(const std::filesystem::path& path);

/// Writes beside `path`, syncs, renames over it and syncs the directory: whoever reads `path` sees the old
/// file or the new one, whole. Throws UserError (failed) with the system's reason and leaves the old file as
/// it was.
void write_file_atomically(const std::filesystem::path& path, std::span<const std::byte> data);
void write_file_atomically(const std::filesystem::path& path, std::string_view text);
/// The parts one after another.
void write_file_atomically(const std::filesystem::path& path,
                           std::span<const std::span<const std::byte>> parts);

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

}  // namespace fovea
