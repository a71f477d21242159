#pragma once

#include <filesystem>
#include <functional>
#include <string>

namespace fovea {

inline constexpr const char* kStudyLockName = "study.lock";

/// Held while a study is run in a directory, by its process and by the runs that this starts: one study at a
/// time. It is a lock of the system on a file that says who holds it, so that it ends with the last process
/// that has it, however that one ends. Where a file system has no locks, two studies are the user's to keep
/// apart.
class StudyLock {
 public:
  /// Waits for whoever has it, after saying so once. Throws UserError (interrupted) when a stop is requested
  /// meanwhile, and as fail_to_write() does.
  StudyLock(const std::filesystem::path& directory, const std::function<void(const std::string&)>& say);
  StudyLock(const StudyLock&) = delete;
  StudyLock& operator=(const StudyLock&) = delete;
  ~StudyLock();

 private:
  bool acquire();
  std::string owner() const;

  std::filesystem::path path_;
  int fd_ = -1;
};

}  // namespace fovea
