#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/stream.h"
#include "experiments/model_file.h"
#include "record/inspection.h"

namespace fovea {

struct InspectOptions {
  std::filesystem::path text, tokens;  ///< what the model reads; at most one, else what its run held out
  int64 sequences = 8;
  int64 group = 2;  ///< KV heads of a would-be group, for cosines
  Backend backend = Backend::cpu;
  int threads = 1;
  std::vector<std::string> command;
};

/// Reads a text and repeated random tokens with the model, one sequence at a time, and takes down what its
/// heads do, how large its gradients are, and how alike its KV heads. A model that a run trained from drawn
/// weights is also inspected as it was drawn. Throws UserError (usage, input) for a text that does not fit.
Inspection inspect(const StoredModel& model, const InspectOptions& options);

/// As a table for a terminal.
std::string describe(const Inspection& inspection);

/// Inspects what open_model() opens and writes `out`, or inspect.h5 in a run's directory when it is empty
/// (other models: nothing); of a study's directory every run that has a model. Returns what to print. Throws
/// UserError.
std::string inspect_path(const std::filesystem::path& path, const std::filesystem::path& out,
                         const InspectOptions& options);

}  // namespace fovea
