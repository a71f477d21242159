#pragma once

#include <filesystem>

#include "record/run_record.h"

namespace fovea {

inline constexpr const char* kRunFileName = "run.h5";
inline constexpr const char* kJournalFileName = "journal.jsonl";

/// Writes the whole record (results/README.md is the schema) beside `path` and renames it over: a reader sees
/// the old file or the new one, whole. Throws UserError (failed).
void write_run_file(const std::filesystem::path& path, const RunRecord& record);

/// Throws UserError (input) naming the file and what is wrong in it: truncated, missing, wrong type or
/// length.
RunRecord read_run_file(const std::filesystem::path& path);

}  // namespace fovea
