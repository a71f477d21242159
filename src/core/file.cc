#include "core/file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "core/error.h"

namespace fovea {
namespace {

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }

 private:
  int fd_;
};

Descriptor open_for_reading(const std::filesystem::path& path) {
  // A pipe that nobody writes is not waited for.
  const int fd = ::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) fail_input("{}: cannot be opened: {}", path.string(), std::strerror(errno));
  return Descriptor(fd);
}

int64 regular_file_size(const Descriptor& file, const std::filesystem::path& path) {
  struct stat info {};
  if (::fstat(file.get(), &info) != 0)
    fail_input("{}: cannot be read: {}", path.string(), std::strerror(errno));
  if (!S_ISREG(info.st_mode)) fail_input("{}: is not a regular file", path.string());
  return info.st_size;
}

std::filesystem::path directory_of(const std::filesystem::path& path) {
  return path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
}

}  // namespace

std::string read_file(const std::filesystem::path& path) {
  const Descriptor file = open_for_reading(path);
  std::string text(static_cast<size_t>(regular_file_size(file, path)), '\0');
  size_t done = 0;
  while (done < text.size()) {
    const ssize_t n = ::read(file.get(), text.data() + done, text.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail_input("{}: cannot be read: {}", path.string(), std::strerror(errno));
    if (n == 0) break;
    done += static_cast<size_t>(n);
  }
  text.resize(done);
  return text;
}

void sync_to_disk(const std::filesystem::path& path) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0 || ::fsync(file.get()) != 0)
    fail_run("{}: cannot be written to disk: {}", path.string(), std::strerror(errno));
}

void rename_durably(const std::filesystem::path& from, const std::filesystem::path& to) {
  if (::rename(from.c_str(), to.c_str()) != 0)
    fail_run("{}: cannot be renamed to {}: {}", from.string(), to.string(), std::strerror(errno));
  sync_to_disk(directory_of(to));
}

void fail_to_write(const std::filesystem::path& path, int reason) {
  if (reason == ENOSPC || reason == EDQUOT || reason == EFBIG)
    throw UserError(ExitCode::interrupted, fmt::format("{}: cannot be written: {} (make room)", path.string(),
                                                       std::strerror(reason)));
  fail_run("{}: cannot be written: {}", path.string(), std::strerror(reason));
}

namespace {

constexpr std::string_view kTemporaryMark = ".tmp.";

// The name of the file that a temporary one was to become; empty for any other.
std::string_view target_of(std::string_view name) {
  const size_t mark = name.rfind(kTemporaryMark);
  if (mark == name.npos) return {};
  const std::string_view process = name.substr(mark + kTemporaryMark.size());
  const bool digits = !process.empty() && std::all_of(process.begin(), process.end(),
                                                      [](char c) { return '0' <= c && c <= '9'; });
  return digits ? name.substr(0, mark) : std::string_view();
}

// Empty and locked, which tells others that its writer lives; -1 with errno.
int open_temporary(const std::filesystem::path& path) {
  while (true) {
    const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0) return fd;
    while (::flock(fd, LOCK_EX) != 0 && errno == EINTR) {
    }  // where there are no locks, nobody takes it for abandoned
    struct stat mine {
    }, there{};
    const bool kept = ::fstat(fd, &mine) == 0 && ::stat(path.c_str(), &there) == 0 &&
                      mine.st_ino == there.st_ino && mine.st_dev == there.st_dev;
    if (kept && ::ftruncate(fd, 0) == 0) return fd;
    const int reason = errno;
    ::close(fd);
    errno = reason;
    if (kept) return -1;
  }
}

}  // namespace

void remove_abandoned_temporaries(const std::filesystem::path& directory, std::string_view of) {
  std::error_code unreadable;
  for (const auto& entry : std::filesystem::directory_iterator(directory, unreadable)) {
    const std::string name = entry.path().filename().string();
    const std::string_view target = target_of(name);
    if (target.empty() || (!of.empty() && target != of)) continue;
    const Descriptor file(::open(entry.path().c_str(), O_WRONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC));
    if (file.get() >= 0 && ::flock(file.get(), LOCK_EX | LOCK_NB) == 0) ::unlink(entry.path().c_str());
  }
}

AtomicFile::AtomicFile(std::filesystem::path path) : path_(std::move(path)), temporary_(path_) {
  remove_abandoned_temporaries(directory_of(path_), path_.filename().string());
  temporary_ += fmt::format("{}{}", kTemporaryMark, ::getpid());
  descriptor_ = open_temporary(temporary_);
  if (descriptor_ < 0) fail_to_write(path_, errno);
}

AtomicFile::~AtomicFile() {
  if (descriptor_ < 0) return;
  ::unlink(temporary_.c_str());
  ::close(descriptor_);
}

void AtomicFile::fail() const { fail_to_write(path_, errno); }

void AtomicFile::append(std::span<const std::byte> data) {
  while (!data.empty()) {
    const ssize_t n = ::write(descriptor_, data.data(), data.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail();
    data = data.subspan(static_cast<size_t>(n));
  }
}

void AtomicFile::replace(int64 offset, std::span<const std::byte> data) {
  while (!data.empty()) {
    const ssize_t n = ::pwrite(descriptor_, data.data(), data.size(), offset);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail();
    data = data.subspan(static_cast<size_t>(n));
    offset += n;
  }
}

void AtomicFile::commit() {
  // Renamed while the lock is held: closed before, it would be anybody's to remove.
  if (::fsync(descriptor_) != 0 || ::rename(temporary_.c_str(), path_.c_str()) != 0) fail();
  ::close(std::exchange(descriptor_, -1));  // what could fail has been synced
  sync_to_disk(directory_of(path_));
}

namespace {

namespace fs = std::filesystem;

int lock_directory(const fs::path& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0 || ::flock(fd, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK) return fd;
  ::close(fd);
  return -1;
}

// What killed processes left of a folder that was to become `path`.
void remove_abandoned_folders(const fs::path& path) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(directory_of(path), error)) {
    const std::string name = entry.path().filename().string();
    if (target_of(name) != path.filename().string() || !entry.is_directory(error)) continue;
    const Descriptor lock(lock_directory(entry.path()));
    if (lock.get() >= 0) fs::remove_all(entry.path(), error);
  }
}

// "a/b/" names a/b.
fs::path without_slash(const fs::path& path) { return path.has_filename() ? path : path.parent_path(); }

}  // namespace

AtomicFolder::AtomicFolder(fs::path path, Existing existing)
    : path_(without_slash(path)), temporary_(path_), existing_(existing) {
  if (!path_.has_filename()) fail_usage("\"{}\" is no name of a folder", path.string());
  std::error_code error;
  const fs::file_status there = fs::symlink_status(path_, error);  // a link is nothing to rename a folder to
  const bool taken = fs::exists(there) && !(fs::is_directory(there) && fs::is_empty(path_, error));
  if (taken && existing == Existing::refuse)
    fail_usage("{}: is there already: name another folder, or remove it", path_.string());
  if (path_.has_parent_path()) fs::create_directories(path_.parent_path(), error);
  remove_abandoned_folders(path_);
  temporary_ += fmt::format("{}{}", kTemporaryMark, ::getpid());
  if (::mkdir(temporary_.c_str(), 0755) != 0 && errno != EEXIST) fail_to_write(path_, errno);
  lock_ = lock_directory(temporary_);
}

AtomicFolder::~AtomicFolder() {
  if (!temporary_.empty()) {
    std::error_code error;
    fs::remove_all(temporary_, error);
  }
  if (lock_ >= 0) ::close(lock_);
}

void AtomicFolder::commit() {
  sync_to_disk(temporary_);
  std::error_code error;
  if (existing_ == Existing::replace) fs::remove_all(path_, error);
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) fail_to_write(path_, errno);
  temporary_.clear();
  sync_to_disk(directory_of(path_));
}

void write_file_atomically(const std::filesystem::path& path,
                           std::span<const std::span<const std::byte>> parts) {
  AtomicFile file(path);
  for (const std::span<const std::byte> part : parts) file.append(part);
  file.commit();
}

void write_file_atomically(const std::filesystem::path& path, std::span<const std::byte> data) {
  write_file_atomically(path, std::span<const std::span<const std::byte>>(&data, 1));
}

void write_file_atomically(const std::filesystem::path& path, std::string_view text) {
  write_file_atomically(path, std::as_bytes(std::span(text.data(), text.size())));
}

MappedFile::MappedFile(const std::filesystem::path& path) {
  const Descriptor file = open_for_reading(path);
  size_ = static_cast<size_t>(regular_file_size(file, path));
  if (size_ == 0) return;
  void* p = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file.get(), 0);
  if (p == MAP_FAILED) fail_input("{}: cannot be mapped: {}", path.string(), std::strerror(errno));
  data_ = static_cast<const std::byte*>(p);
}

MappedFile::MappedFile(MappedFile&& other) noexcept { *this = std::move(other); }

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

MappedFile::~MappedFile() {
  if (data_) ::munmap(const_cast<std::byte*>(data_), size_);
}

void expect_pages(std::span<const std::byte> mapped) {
  static const auto page = static_cast<uint64>(::sysconf(_SC_PAGESIZE));
  const auto begin = reinterpret_cast<uintptr_t>(mapped.data());
  const uint64 first = begin / page * page;
  if (mapped.empty()) return;
  ::madvise(reinterpret_cast<void*>(first), begin + mapped.size() - first,
            MADV_WILLNEED);  // NOLINT(performance-no-int-to-ptr)
}

void release_pages(std::span<const std::byte> mapped) {
  static const auto page = static_cast<uint64>(::sysconf(_SC_PAGESIZE));
  // Whole pages alone: the others may hold something else.
  const auto begin = reinterpret_cast<uintptr_t>(mapped.data()), end = begin + mapped.size();
  const uint64 first = (begin + page - 1) / page * page, last = end / page * page;
  if (first >= last) return;
  // A hint: where it is not taken, pages stay.
  ::madvise(reinterpret_cast<void*>(first), last - first,
            MADV_DONTNEED);  // NOLINT(performance-no-int-to-ptr)
}

}  // namespace fovea
