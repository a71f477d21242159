#include <cmath>

#include "kernels/cross_entropy/backends.h"
#include "kernels/matmul/oracle.h"

namespace fovea::reference {
namespace {

using Vector = Eigen::VectorXd;

/// Logits of one row (V), before the softcap.
Vector raw_logits(const Matrix& weight /* (V, C) */, const Vector& hidden /* (C) */, const View& bias) {
  Vector logits = weight * hidden;
  for (int64 v = 0; bias && v < logits.size(); ++v) logits(v) += load(bias, {v});
  return logits;
}

Vector capped(const Vector& raw, float softcap) {
  if (softcap == 0) return raw;
  const double cap = static_cast<double>(softcap);
  return raw.unaryExpr([cap](double x) { return cap * std::tanh(x / cap); });
}

void add(const View& to, std::initializer_list<int64> index, double value) {
  store(to, index, load(to, index) + value);
}

}  // namespace

void run(Execution&, const LinearCrossEntropy& op) {
  const Matrix hidden = to_matrix(op.hidden), weight = to_matrix(op.weight);
  const int64 N = hidden.rows(), C = hidden.cols(), V = weight.rows();
  const double softcap = static_cast<double>(op.softcap);
  Matrix dweight = Matrix::Zero(op.dweight ? V : 0, C);
  for (int64 n = 0; n < N; ++n) {
    const int64 target = op.targets.data<int32>()[n];
    FOVEA_CHECK(-1 <= target && target < V, "cross_entropy: target {} of {}", target, V);
    Vector dlogits = Vector::Zero(V);
    double loss = 0;
    if (target >= 0) {
      const Vector raw = raw_logits(weight, hidden.row(n), op.bias), logits = capped(raw, op.softcap);
      const double largest = logits.maxCoeff();
      const Vector exps = (logits.array() - largest).exp();
      loss = raw.allFinite() ? largest + std::log(exps.sum()) - logits(target) : std::nan("");
      // forward: loss = lse(logits) - logits[target]
      dlogits = exps / exps.sum();
      dlogits(target) -= 1;
      // forward: logits = softcap * tanh(raw / softcap), so dlogits/draw = 1 - (logits / softcap)^2
      if (softcap > 0) dlogits.array() *= 1 - (logits.array() / softcap).square();
      dlogits *= op.gradient_scale;
      if (!raw.allFinite()) dlogits.setConstant(std::nan(""));
    }
    store(op.losses, {n}, loss);
    // forward: raw = hidden weight^T + bias
    const Vector dhidden = weight.transpose() * dlogits;
    for (int64 c = 0; op.dhidden && c < C; ++c) store(op.dhidden, {n, c}, dhidden(c));
    if (op.dweight) dweight += dlogits * hidden.row(n);
    for (int64 v = 0; op.dbias && v < V; ++v) add(op.dbias, {v}, dlogits(v));
  }
  for (int64 v = 0; op.dweight && v < V; ++v)
    for (int64 c = 0; c < C; ++c) {
      if (op.accumulate_dweight)
        add(op.dweight, {v, c}, dweight(v, c));
      else
        store(op.dweight, {v, c}, dweight(v, c));
    }
}

void run(Execution&, const LinearLogits& op) {
  const Matrix hidden = to_matrix(op.hidden), weight = to_matrix(op.weight);
  for (int64 n = 0; n < hidden.rows(); ++n) {
    const Vector logits = capped(raw_logits(weight, hidden.row(n), op.bias), op.softcap);
    for (int64 v = 0; v < weight.rows(); ++v) store(op.logits, {n, v}, logits(v));
  }
}

}  // namespace fovea::reference
