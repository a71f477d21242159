#pragma once

#include <filesystem>

#include "record/journal.h"

namespace fovea {

/// A run's curves as TensorBoard reads them: TFRecords of Event messages with scalars (float32) under the
/// tags train/loss, train/lr, train/grad_norm, speed/tokens_per_second, evaluate/loss and, where it is known,
/// evaluate/bits_per_byte. Each event is appended by one write(). Not for use by two threads.
class EventFile {
 public:
  /// A new file, which begins with what the journal holds, in place of those that earlier sittings left in
  /// `directory`: so no step is there twice, and none that a resumed run takes again. A TensorBoard that is
  /// open forgets what it read of them. Throws UserError (failed).
  static EventFile create(const std::filesystem::path& directory, const JournalContents& journal);

  EventFile(EventFile&&) noexcept;
  EventFile& operator=(EventFile&&) noexcept;
  ~EventFile();

  void append(const JournalStep&);
  void append(const Evaluation&, double time);  ///< seconds since 1970

 private:
  EventFile(std::filesystem::path path, int fd);
  void write(const std::string& records);

  std::filesystem::path path_;
  int fd_ = -1;
  int64 size_ = 0;  ///< of the whole records
};

inline constexpr const char* kEventFolderName = "tensorboard";

}  // namespace fovea
