#pragma once

#include "config/config.h"
#include "core/arena.h"
#include "core/stream.h"
#include "model/decoder.h"

namespace fovea {

/// The dtypes that train.precision and train.residual_dtype mean. Throws UserError (usage) where they do not
/// go with the backend.
Precision precision_of(const TrainConfig& config, Backend backend);

/// How a configuration's step is cut.
struct StepShape {
  int64 sequences = 0, length = 0;  ///< of a batch; T
  int64 grain = 0;                  ///< sequences of a grain
  int64 grains() const { return ceil_div(sequences, grain); }
  int64 grain_rows() const { return grain * length; }
};
StepShape step_shape(const Config& config);

/// What training takes, known before it runs: each buffer's place, and what is computed.
struct TrainingPlan {
  StepShape shape;
  Precision precision;
  MemoryPlan train, evaluate;                  ///< of one grain
  double train_flops = 0, evaluate_flops = 0;  ///< of one grain, full
  int64 parameters = 0;
  int64 state_bytes = 0;  ///< weights, moments, gradients
  int64 batch_bytes = 0;  ///< tokens and losses
  int64 scratch_bytes = 0;
  int64 arena_bytes() const { return std::max(train.bytes, evaluate.bytes); }
  int64 predicted_bytes() const { return state_bytes + batch_bytes + scratch_bytes + arena_bytes(); }
  double train_flops_per_token() const { return train_flops / static_cast<double>(shape.grain_rows()); }
};

/// Walks one grain's forward and backward, and one evaluation, without memory.
TrainingPlan plan_training(const Decoder& decoder, const Config& config, Backend backend, int threads);

}  // namespace fovea
