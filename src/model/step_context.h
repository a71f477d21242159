#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/arena.h"
#include "core/stream.h"
#include "kernels/attention/mask.h"
#include "kernels/residual/residual.h"
#include "model/parameters.h"

namespace fovea {

/// B sequences of T tokens on the device, flattened to N = B T rows.
struct TokenBatch {
  int64 sequences = 0, length = 0;                  ///< B, T
  View tokens, targets, positions;                  ///< (N) i32; target -1: no loss
  std::shared_ptr<const DocumentBounds> documents;  ///< over all N rows; none: each sequence is one document
  int64 rows() const { return sequences * length; }
};

/// What is stored how. `wide` holds parameters, their gradients, statistics and losses.
struct Precision {
  DType compute = DType::f32;   ///< saved activations and the operands of matrix products
  DType residual = DType::f32;  ///< the residual stream and its gradient
  DType wide = DType::f32;
};

/// Sums of intermediate results, read after the step: the first that is not finite names the culprit.
struct Probe {
  std::vector<std::pair<std::string, Readback<double>>> sums;
};

struct StepBuffers;  // decoder.h

/// Everything that the parts of a model share during one forward and backward.
struct StepContext {
  Stream& stream;
  Arena& arena;
  const ParameterLayout& layout;
  Precision precision;
  View weights;          ///< flat, wide: vectors and rows that are looked up are read from here
  View compute_weights;  ///< flat, in the compute dtype (may be `weights`): the matrices of products
  View gradients;        ///< flat, wide, added to; absent without a backward
  /// Nothing is in the gradients yet: those that a product gives whole are written, whatever stands there.
  bool first_gradients = false;
  TokenBatch batch;
  float dropout = 0;  ///< 0 in evaluation
  uint64 seed = 0;
  uint64 first_row = 0;  ///< global index of row 0, for dropout
  Probe* probe = nullptr;
  StepBuffers* buffers = nullptr;  ///< of whoever takes many steps: then a step allocates nothing

  View matrix(ParameterId id) const { return layout.view(compute_weights, id); }
  /// A vector, or a table whose rows are looked up, as it was trained: absent where there is none.
  View master(ParameterId id) const { return id == kNoParameter ? View() : layout.view(weights, id); }
  View gradient(ParameterId id) const { return id == kNoParameter ? View() : layout.view(gradients, id); }
  Block take(std::string_view name, DType dtype, std::initializer_list<int64> shape) const {
    return arena.take(name, dtype, shape);
  }
  /// `site` counts the places of a model where something is dropped.
  Dropout dropout_at(int64 site) const {
    return {dropout, {seed, RandomUse::dropout, static_cast<uint32>(site)}, first_row};
  }
  /// Of "owner" + "what".
  void look(std::string_view owner, std::string_view what, const View& x) const;
};

}  // namespace fovea
