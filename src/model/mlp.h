#pragma once

#include "model/linear.h"
#include "model/saved.h"
#include "model/shape.h"

namespace fovea {

/// f(n W_gate^T) * (n W_up^T), or f(n W_up^T) without a gate, projected down (Shazeer 2020).
class Mlp {
 public:
  Mlp(ParameterLayout& layout, const std::string& name, const DecoderShape& shape);

  /// Fills gate, up, product from n (N, C). A plain MLP's one inner matrix is called up, its slot gate.
  void forward(const StepContext& context, const View& n, Saved& saved) const;
  /// branch (N, C) compute = product W_down^T.
  void project(const StepContext& context, const Saved& saved, const View& branch) const;
  /// dn (N, C) wide is overwritten with the gradient by n, from dbranch (N, C) compute.
  void backward(const StepContext& context, const View& n, const Saved& saved, const View& dbranch,
                const View& dn) const;

 private:
  int64 hidden_;
  bool gated_;
  ActivationKind kind_;
  Linear gate_, up_, down_;
};

}  // namespace fovea
