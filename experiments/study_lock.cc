#include "experiments/study_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>

#include "core/error.h"
#include "core/file.h"
#include "record/provenance.h"
#include "train/stop_signal.h"

namespace fovea {
namespace {

// The lock's file says "PROCESS HOST".
struct Owner {
  pid_t process = 0;
  std::string host;
};

Owner parsed(const std::string& text) {
  Owner owner;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, owner.process);
  if (error == std::errc() && stop != end) owner.host = std::string(stop + 1, end);
  return owner;
}

bool is_gone(const Owner& owner) {
  return owner.host == host_name() && ::kill(owner.process, 0) != 0 && errno == ESRCH;
}

}  // namespace

StudyLock::StudyLock(const std::filesystem::path& directory,
                     const std::function<void(const std::string&)>& say)
    : path_(directory / kStudyLockName) {
  for (bool said = false; !acquire(); said = true) {
    if (!said) say(fmt::format("{}: {}; waiting for it to end", directory.string(), owner()));
    if (stop_requested())
      throw UserError(ExitCode::interrupted,
                      fmt::format("{}: stopped while waiting for another study", directory.string()));
    ::usleep(50000);
  }
}

bool StudyLock::acquire() {
  fd_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (fd_ < 0) fail_to_write(path_, errno);
  if (::flock(fd_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    ::close(fd_);
    return false;
  }
  // Whoever had it may have removed the file meanwhile.
  struct stat mine {
  }, there{};
  if (::fstat(fd_, &mine) != 0 || ::stat(path_.c_str(), &there) != 0 || mine.st_ino != there.st_ino) {
    ::close(fd_);
    return false;
  }
  const std::string text = fmt::format("{} {}", ::getpid(), host_name());
  if (::ftruncate(fd_, 0) != 0 || ::pwrite(fd_, text.data(), text.size(), 0) < 0) {
    // A full disk: it is held all the same, and whoever waits for it does so without a name.
  }
  return true;
}

std::string StudyLock::owner() const {
  Owner owner;
  try {
    owner = parsed(read_file(path_));
  } catch (const UserError&) {  // just removed
  }
  if (owner.process == 0) return "another fovea run is at work here";
  if (is_gone(owner))
    return fmt::format("runs of a study that was killed (process {}) are still saving their work here",
                       owner.process);
  return fmt::format("another fovea run (process {} on {}) is at work here", owner.process, owner.host);
}

StudyLock::~StudyLock() {
  ::unlink(path_.c_str());
  ::close(fd_);
}

}  // namespace fovea
