#pragma once

#include <string>
#include <string_view>

#include "core/stream.h"

namespace fovea {

enum class RowOperation { layer_norm, layer_norm_backward, rms_norm, rms_norm_backward, sum_rows, adamw };

/// One call of an operation that memory bounds, as a training step makes it. Its name says everything:
///
///   layer_norm_backward/cuda/f32/n16384_c768
///
/// The dtype is that of activations and their gradients (y, dy); of adamw, which has n c elements, that of
/// compute weights. x and dx are f32, and backward passes add to dx.
struct TimedRows {
  std::string name;
  RowOperation operation = RowOperation::layer_norm;
  Backend backend = Backend::cpu;
  DType dtype = DType::f32;
  int64 N = 1, C = 1;
};

/// Whether this is how the name of such a case begins.
bool names_rows(std::string_view name);
/// Throws UserError (usage) with what is wrong.
TimedRows timed_rows_named(std::string_view name);

}  // namespace fovea
