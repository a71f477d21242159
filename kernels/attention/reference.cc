#include <Eigen/Core>
#include <cmath>
#include <limits>

#include "core/error.h"
#include "kernels/attention/backends.h"

namespace fovea {
namespace {

using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using Vector = Eigen::VectorXd;

// The (S, D) of one head of one sequence.
struct HeadOf {
  const View& x;  // (B, S, H, D)
  int64 batch, head;
  Range rows;

  Matrix load_all() const {
    Matrix m(rows.size(), x.size(3));
    for (int64 i = 0; i < m.rows(); ++i)
      for (int64 d = 0; d < m.cols(); ++d) m(i, d) = load(x, {batch, rows.begin + i, head, d});
    return m;
  }
  void store_all(const Matrix& m, bool accumulate) const {
    for (int64 i = 0; i < m.rows(); ++i)
      for (int64 d = 0; d < m.cols(); ++d) {
        const double before = accumulate ? load(x, {batch, rows.begin + i, head, d}) : 0;
        store(x, {batch, rows.begin + i, head, d}, before + m(i, d));
      }
  }
};

// One query row against the keys that it sees: s = softcap(scale * K q), and its derivative by scale * K q.
struct Row {
  Range keys;
  Vector s, slope;
};

Row score(const AttentionProblem& p, const AttentionSequence& sequence, const Matrix& q, const Matrix& k,
          int64 i) {
  Row row;
  row.keys = sequence.mask.keys_of(i);
  row.s = double{p.scale} * (k.middleRows(row.keys.begin, row.keys.size()) * q.row(i).transpose());
  row.slope = Vector::Ones(row.keys.size());
  if (p.softcap > 0) {
    const Vector t = (row.s / double{p.softcap}).array().tanh();
    row.s = double{p.softcap} * t;
    row.slope = 1 - t.array().square();
  }
  return row;
}

double log_sum_exp(const Vector& s, bool has_sink, double sink) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  double most = has_sink ? sink : -kInfinity;
  for (const double x : s) most = std::isnan(x) || x > most ? x : most;
  if (most == -kInfinity || std::isnan(most)) return most;
  double sum = has_sink ? std::exp(sink - most) : 0;
  for (const double x : s) sum += std::exp(x - most);
  return most + std::log(sum);
}

class ReferenceAttention : public AttentionBackend {
 public:
  std::string_view name() const override { return "reference"; }
  std::string description() const override { return "fp64, row by row: the oracle"; }
  Support supports(const AttentionProblem&) const override { return {}; }
  int64 workspace_bytes(const AttentionProblem&, Pass, int) const override { return 0; }
  void forward(Execution& execution, const AttentionForward& op) const override;
  void backward(Execution& execution, const AttentionBackward& op) const override;
};

void ReferenceAttention::forward(Execution& execution, const AttentionForward& op) const {
  const AttentionProblem& p = op.problem;
  const std::vector<AttentionSequence> sequences = sequences_of(p);
  execution.parallel_for(static_cast<int64>(sequences.size()) * p.q_heads, [&](int64 part, int) {
    const AttentionSequence& sequence = sequences[static_cast<size_t>(part / p.q_heads)];
    const int64 h = part % p.q_heads, g = h / p.group();
    const Matrix q = HeadOf{op.q, sequence.batch, h, sequence.q}.load_all();
    const Matrix k = HeadOf{op.k, sequence.batch, g, sequence.k}.load_all();
    const Matrix v = HeadOf{op.v, sequence.batch, g, sequence.k}.load_all();
    Matrix out = Matrix::Zero(q.rows(), p.v_dim);
    for (int64 i = 0; i < q.rows(); ++i) {
      const Row row = score(p, sequence, q, k, i);
      const double lse = log_sum_exp(row.s, static_cast<bool>(op.sink), op.sink ? load(op.sink, {h}) : 0);
      store(op.lse, {sequence.batch, h, sequence.q.begin + i}, lse);
      if (row.keys.size() == 0) continue;
      const Vector probability = (row.s.array() - lse).exp();
      out.row(i) = probability.transpose() * v.middleRows(row.keys.begin, row.keys.size());
    }
    HeadOf{op.out, sequence.batch, h, sequence.q}.store_all(out, false);
  });
}

void ReferenceAttention::backward(Execution& execution, const AttentionBackward& op) const {
  const AttentionProblem& p = op.problem;
  const std::vector<AttentionSequence> sequences = sequences_of(p);
  // dsink, summed over sequences in their order at the end: (sequences, Hq)
  Matrix dsinks = Matrix::Zero(static_cast<int64>(sequences.size()), p.q_heads);
  execution.parallel_for(static_cast<int64>(sequences.size()) * p.kv_heads, [&](int64 part, int) {
    const int64 n = part / p.kv_heads, g = part % p.kv_heads;
    const AttentionSequence& sequence = sequences[static_cast<size_t>(n)];
    const Matrix k = HeadOf{op.k, sequence.batch, g, sequence.k}.load_all();
    const Matrix v = HeadOf{op.v, sequence.batch, g, sequence.k}.load_all();
    Matrix dk = Matrix::Zero(k.rows(), k.cols()), dv = Matrix::Zero(v.rows(), v.cols());
    for (int64 h = g * p.group(); h < (g + 1) * p.group(); ++h) {
      const Matrix q = HeadOf{op.q, sequence.batch, h, sequence.q}.load_all();
      const Matrix out = HeadOf{op.out, sequence.batch, h, sequence.q}.load_all();
      const Matrix dout = HeadOf{op.dout, sequence.batch, h, sequence.q}.load_all();
      Matrix dq = Matrix::Zero(q.rows(), q.cols());
      for (int64 i = 0; i < q.rows(); ++i) {
        const double lse = load(op.lse, {sequence.batch, h, sequence.q.begin + i});
        const double delta = out.row(i).dot(dout.row(i));
        // lse = ln(sum exp(s) + exp(sink)): the sink's probability weighs nothing but the denominator.
        if (op.sink) dsinks(n, h) -= std::exp(load(op.sink, {h}) - lse) * delta;
        const Row row = score(p, sequence, q, k, i);
        if (row.keys.size() == 0) continue;
        const auto k_seen = k.middleRows(row.keys.begin, row.keys.size());
        const auto v_seen = v.middleRows(row.keys.begin, row.keys.size());
        // probability = exp(s - lse),  out = sum probability v
        const Vector probability = (row.s.array() - lse).exp();
        const Vector dprobability = v_seen * dout.row(i).transpose();
        dv.middleRows(row.keys.begin, row.keys.size()) += probability * dout.row(i);
        // s = softcap(scale * k q), and softmax takes the mean away
        const Vector ds =
            double{p.scale} * probability.array() * (dprobability.array() - delta) * row.slope.array();
        dq.row(i) = ds.transpose() * k_seen;
        dk.middleRows(row.keys.begin, row.keys.size()) += ds * q.row(i);
      }
      HeadOf{op.dq, sequence.batch, h, sequence.q}.store_all(dq, op.accumulate);
    }
    HeadOf{op.dk, sequence.batch, g, sequence.k}.store_all(dk, op.accumulate);
    HeadOf{op.dv, sequence.batch, g, sequence.k}.store_all(dv, op.accumulate);
  });
  if (!op.dsink) return;
  for (int64 h = 0; h < p.q_heads; ++h) {
    double sum = op.accumulate ? load(op.dsink, {h}) : 0;
    for (int64 n = 0; n < dsinks.rows(); ++n) sum += dsinks(n, h);
    store(op.dsink, {h}, sum);
  }
}

}  // namespace

const AttentionBackend& reference_attention_backend() {
  static const ReferenceAttention backend;
  return backend;
}

}  // namespace fovea
