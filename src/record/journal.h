#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "record/run_record.h"

namespace fovea {

/// A line for each start of a run: the first one and every resume.
struct JournalBegin {
  std::string name, identity;
  int64 step = 0;  ///< steps already done
  int64 total_steps = 0, total_tokens = 0;
  double time = 0;  ///< seconds since 1970
};

struct JournalStep {
  int64 step = 0, tokens = 0;  ///< as in StepSeries
  double train_loss = 0, lr = 0, grad_norm = 0, tokens_per_second = 0, flops_per_second = 0;
  double time = 0;       ///< seconds since 1970
  bool skipped = false;  ///< by the spike guard
};

struct JournalEnd {
  RunState state = RunState::done;
  std::string error;
  double time = 0;
};

/// The truth about a run while it lives: JSON lines, each appended by one write(), so that a reader beside it
/// or after a crash sees whole lines and at most one torn one at the end. What the disk does not take waits
/// in memory and is written before anything else. Not for use by two threads.
class Journal {
 public:
  /// An empty journal in place of whatever was there. Throws UserError as fail_to_write() does.
  static Journal create(const std::filesystem::path&);
  /// The journal cut back to what was true after `step` steps, for a run that resumes from there; a missing
  /// file is created when step is 0. Throws UserError (input) when the steps up to there are not all in it.
  static Journal resume(const std::filesystem::path&, int64 step);

  Journal(Journal&&) noexcept;
  Journal& operator=(Journal&&) noexcept;
  ~Journal();

  void append(const JournalBegin&);
  void append(const JournalStep&);  ///< reaches the disk at most once a second; sync() for sure
  void append(const Evaluation&);
  void append(const JournalEnd&);
  /// Call before a checkpoint is published. Throws UserError as fail_to_write() does.
  void sync();
  /// Why lines wait in memory; empty: all are written.
  std::string waits_for() const;

 private:
  Journal(std::filesystem::path path, int fd);
  void write_line(const std::string& line);
  bool write_pending();

  std::filesystem::path path_;
  int fd_ = -1;
  std::string pending_;  // from the middle of a line, where the disk took a part of it
  int problem_ = 0;      // errno of the last write
  double synced_ = 0;
};

struct JournalContents {
  std::vector<JournalBegin> begins;
  StepSeries series;
  std::vector<Evaluation> evaluations;
  std::vector<double> step_times;        ///< seconds since 1970, of each step
  std::vector<double> evaluation_times;  ///< the same, of the line before each evaluation, which has none
  std::optional<JournalEnd> end;         ///< absent after a later begin: the run lives again
  double last_time = 0;                  ///< of the last line that has one
};

/// Reads a journal, also while another process appends to it; a torn last line is ignored. Throws UserError
/// (input) with file:line for any other line that is not one of ours or goes back in steps.
JournalContents read_journal(const std::filesystem::path&);

/// Keeps what was true after `step` steps; atomic. Journal::resume does this.
void truncate_journal_to_step(const std::filesystem::path&, int64 step);

}  // namespace fovea
