#pragma once

#include <string>

#include "train/run.h"

namespace fovea {

/// "50 / 500  loss 1.832  41.2k tok/s  35.1 GFLOP/s  210 MiB  12 s left"
std::string progress_text(const RunProgress& progress);

/// Prints what a run says: one line that renews itself on a terminal, else a plain line every ten seconds.
class ProgressPrinter {
 public:
  ProgressPrinter(std::string title, bool renew) : title_(std::move(title)), renew_(renew) {}
  void operator()(const RunProgress& progress);

 private:
  std::string title_;
  bool renew_;
  double printed_ = 0;
};

/// Clears a line that renews itself.
void clear_line();

std::string duration_text(double seconds);
std::string bytes_text(int64 bytes);
/// Three digits: "41.2k", "3.35M"; with a unit "35.1 GFLOP/s".
std::string count_text(double count, const char* unit = "");

}  // namespace fovea
