#pragma once

#include "convert/gqa.h"
#include "core/stream.h"
#include "data/dataset.h"

namespace fovea {

/// Sequences [first_sample, first_sample + sequences) of the order in which `seed` draws the training split,
/// `length` tokens each.
struct CalibrationData {
  const Dataset& dataset;
  uint64 seed = 0;
  int64 first_sample = 0, sequences = 16, length = 0;
};

/// How the forwards run; no bit depends on the threads.
struct CalibrationEngine {
  Backend backend = Backend::cpu;
  int threads = 1;
};

/// What a conversion from `source` to `target` may ask of these sequences: forwards in f32 without dropout,
/// one sequence at a time, as they are needed. The data outlives the result.
Calibration calibration_on(const CalibrationData& data, const DecoderShape& source,
                           const DecoderShape& target, const CalibrationEngine& engine);

}  // namespace fovea
