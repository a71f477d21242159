#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "convert/safetensors.h"
#include "convert/stored_model.h"
#include "train/optimizer.h"

namespace fovea {

/// A run's state after `step` optimizer steps: a safetensors file with weights under their names and AdamW's
/// moments under moment1/NAME and moment2/NAME, their moving average, if any, under ema/NAME. What else a
/// step depends on (data order, random numbers, rate) is a function of the step.
struct CheckpointInfo {
  int64 step = 0;
  std::string identity;  ///< of the run
  std::string config;    ///< TOML that gives the model's shape
  int64 vocabulary = 0;
  bool converted = false;  ///< no run left it: `identity` is that of the weights
};

/// Atomic. Throws UserError (failed).
void write_checkpoint(const std::filesystem::path& path, const ParameterLayout& layout,
                      const OptimizerState& state, const CheckpointInfo& info);
/// The weights alone: what a finished run leaves for others to start from.
void write_model(const std::filesystem::path& path, const ParameterLayout& layout, const View& weights,
                 const CheckpointInfo& info);

/// The same of parameters that are read one at a time and kept in their dtypes: what a conversion leaves. Its
/// identity is made from what is written. What the model says of the folder that it came from is kept:
/// read_origin() gives it back.
void write_converted_model(const std::filesystem::path& path, const StoredModel& model,
                           const CheckpointInfo& info);
void read_origin(const SafeTensors& file, StoredModel& model);

/// What a checkpoint or model says of itself. Throws UserError (input) for another kind of file.
CheckpointInfo checkpoint_info(const SafeTensors& file);
/// Reads weights and moments into a state that stays as it was when this fails. Throws UserError (input) for
/// a file that is truncated or damaged (its checksum is checked), of another shape, or not of `run`: another
/// configuration's, other arithmetic's or data's.
CheckpointInfo read_checkpoint(const std::filesystem::path& path, const ParameterLayout& layout,
                               OptimizerState& state, const CheckpointInfo& run);

/// Throws UserError (input) for a checkpoint or model whose checksum is not that of what it holds.
void verify_checkpoint(const SafeTensors& file);

/// The weights of a checkpoint, a model or a bare file of tensors, mapped; moments are left alone, and where
/// there is a moving average it is what is read. Throws UserError (input): damaged, or a tensor is missing,
/// of another shape, or one for which the layout has no place.
ParameterSource weights_in(const std::filesystem::path& path, const ParameterLayout& layout);

/// Checkpoints of a run's directory, by step: "step-00001200.safetensors".
std::filesystem::path checkpoint_path(const std::filesystem::path& directory, int64 step);
std::optional<std::filesystem::path> latest_checkpoint(const std::filesystem::path& directory);
/// All of them, the latest first.
std::vector<std::filesystem::path> checkpoints_in(const std::filesystem::path& directory);
/// Removes all but the last `keep`.
void prune_checkpoints(const std::filesystem::path& directory, int64 keep);

inline constexpr const char* kModelFileName = "model.safetensors";

}  // namespace fovea
