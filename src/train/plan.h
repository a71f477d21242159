#pragma once

#include "config/config.h"
#include "core/arena.h"
#include "core/stream.h"
#include "model/decoder.h"
#include "model/recompute.h"

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
  RecomputePolicy recompute;                   ///< as train.recompute or train.fit chose it
  RecomputeCost recomputed;                    ///< by it, of one grain
  MemoryPlan train, evaluate;                  ///< of one grain
  double train_flops = 0, evaluate_flops = 0;  ///< of one grain, full
  int64 parameters = 0;
  int64 state_bytes = 0;  ///< weights, moments, gradients
  int64 batch_bytes = 0;  ///< tokens and losses
  int64 table_bytes = 0;  ///< RoPE's
  int64 scratch_bytes = 0;
  int64 host_bytes = 0;      ///< the batch as it is read
  int64 overhead_bytes = 0;  ///< code and libraries: library_memory.h
  int64 arena_bytes() const { return std::max(train.bytes, evaluate.bytes); }
  /// Of the buffers that a trainer allocates.
  int64 buffer_bytes() const {
    return state_bytes + batch_bytes + table_bytes + scratch_bytes + arena_bytes();
  }
  /// By how much the process grows; on a device, of its memory.
  int64 predicted_bytes() const { return buffer_bytes() + host_bytes + overhead_bytes; }
  double train_flops_per_token() const { return train_flops / static_cast<double>(shape.grain_rows()); }
};

/// Walks one grain's forward and backward, and one evaluation, without memory. Throws UserError (usage) where
/// nothing fits into train.fit.
TrainingPlan plan_training(const Decoder& decoder, const Config& config, Backend backend, int threads);

}  // namespace fovea
