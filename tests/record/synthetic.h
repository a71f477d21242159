#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "record/claims/claim.h"
#include "record/inspection.h"
#include "record/run_record.h"

namespace fovea::test {

/// A directory of its own that goes with the test.
class TemporaryDirectory {
 public:
  TemporaryDirectory();
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  ~TemporaryDirectory();
  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

/// A record in which every field differs from its default.
RunRecord full_record();

/// An inspection whose numbers are all different and fit what they stand for; KV heads in groups of 2.
Inspection synthetic_inspection(int64 layers, int64 heads, uint64 seed);

/// What is peculiar about a study.
struct StudyTraits {
  std::vector<ClaimFile> claims;  ///< that it names
  double wrong_mean = 0;          ///< added to the loss of whatever was pooled: a conversion with a mistake
  bool small = false;             ///< G = 4 and 1, alpha = 0 and 0.05 alone, nothing failed, and short files
};

/// A finished GQA study over `seeds` seeds whose losses have the shapes of the pilot: run files and index.
/// One run failed and one is missing.
void write_gqa_study(const std::filesystem::path& directory, int seeds, const StudyTraits& traits = {});

/// A finished GQA study of one seed: each of these conversions at two numbers of KV heads and two alphas.
void write_conversions_study(const std::filesystem::path& directory,
                             const std::vector<std::string>& conversions);

/// A finished plain study of `runs` runs.
void write_train_study(const std::filesystem::path& directory, int runs);

}  // namespace fovea::test
