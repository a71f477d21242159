#include <algorithm>
#include <cmath>
#include <limits>

#include "core/error.h"
#include "kernels/attention/backends.h"
#include "kernels/matmul/gemm.h"

namespace fovea {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

float round_to(DType dtype, float x) {
  if (dtype == DType::bf16) return to_f32(bf16(x));
  if (dtype == DType::f16) return to_f32(f16(x));
  return x;
}

// One head of one sequence of (B, S, H, D), its rows converted to f32.
void gather(const View& x, int64 batch, Range rows, int64 head, float* to) {
  dispatch(x.dtype(), [&]<class T>() {
    for (int64 i = rows.begin; i < rows.end; ++i) {
      const T* from = static_cast<const T*>(x.at({batch, i, head, 0}));
      for (int64 d = 0; d < x.size(3); ++d) *to++ = to_f32(from[d]);
    }
  });
}

void scatter(const float* from, const View& x, int64 batch, Range rows, int64 head, bool accumulate) {
  dispatch(x.dtype(), [&]<class T>() {
    for (int64 i = rows.begin; i < rows.end; ++i) {
      T* to = static_cast<T*>(x.at({batch, i, head, 0}));
      for (int64 d = 0; d < x.size(3); ++d, ++from)
        to[d] = from_f32<T>(accumulate ? to_f32(to[d]) + *from : *from);
    }
  });
}

// c (M, N) = alpha op(a) op(b) + beta c, contiguous f32.
void product(int64 M, int64 N, int64 K, const float* a, bool transpose_a, const float* b, bool transpose_b,
             float* c, float alpha = 1, float beta = 0) {
  Gemm g{.M = M, .N = N, .K = K, .c = c, .c_stride = N, .alpha = alpha, .beta = beta};
  g.a = {a, DType::f32, transpose_a ? M : K, transpose_a};
  g.b = {b, DType::f32, transpose_b ? K : N, transpose_b};
  FOVEA_CHECK(gemm_scratch(g) == 0, "a product of f32 wants scratch");
  if (M > 0 && N > 0) gemm(g, nullptr);
}

// What one (sequence, KV head) takes of the scratch memory, in floats. All heads of a group are there at
// once, as in an implementation that materialises.
struct UnitMemory {
  int64 q, k, scores, total;  // sizes of (Sq, D or Dv), (Sk, D or Dv), (Sq, Sk), and of all
  UnitMemory(const AttentionProblem& p, const AttentionSequence& sequence, Pass pass) {
    const int64 width = std::max(p.qk_dim, p.v_dim), group = p.group();
    q = sequence.q.size() * width;
    k = sequence.k.size() * width;
    scores = sequence.q.size() * sequence.k.size();
    // forward: q, out; k, v; P.   backward: q, out, dout, dq; k, v, dk, dv; P, dP, slope of the softcap
    total = pass == Pass::forward ? 2 * q + 2 * k + group * scores : 4 * q + 4 * k + (2 * group + 1) * scores;
  }
};

class NaiveAttention : public AttentionBackend {
 public:
  std::string_view name() const override { return "naive"; }
  std::string description() const override {
    return "materialised scores, unfused, products by oneDNN: the baseline";
  }
  Support supports(const AttentionProblem& p) const override {
    if (p.dtype == DType::f64) return {false, "it computes in f32"};
    return {};
  }
  int64 workspace_bytes(const AttentionProblem& p, Pass pass, int) const override {
    int64 floats = 0;
    for (const AttentionSequence& sequence : sequences_of(p))
      floats += p.kv_heads * UnitMemory(p, sequence, pass).total;
    if (pass == Pass::forward) return scratch_size<float>(floats);
    return scratch_size<float>(floats) + scratch_size<float>(count(p) * p.q_heads);
  }
  void forward(Execution& execution, const AttentionForward& op) const override;
  void backward(Execution& execution, const AttentionBackward& op) const override;

 private:
  static int64 count(const AttentionProblem& p) {
    return p.mask.documents ? p.mask.documents->count() : p.batch;
  }
};

// Work that does not depend on the number of threads: one part per sequence and KV head, with its own memory.
template <class F>
void for_each_unit(Execution& execution, const AttentionProblem& p, Pass pass, F body) {
  const std::vector<AttentionSequence> sequences = sequences_of(p);
  std::vector<int64> offsets;
  int64 total = 0;
  for (const AttentionSequence& sequence : sequences)
    for (int64 g = 0; g < p.kv_heads; ++g) {
      offsets.push_back(total);
      total += UnitMemory(p, sequence, pass).total;
    }
  float* memory = execution.scratch<float>(total);
  execution.parallel_for(static_cast<int64>(offsets.size()), [&](int64 part, int) {
    const int64 n = part / p.kv_heads;
    body(sequences[static_cast<size_t>(n)], n, part % p.kv_heads,
         memory + offsets[static_cast<size_t>(part)]);
  });
}

// s (Sq, Sk) = scale q k^T, softcapped, -inf where the mask hides: in f32 whatever the dtype, since lse is
// f32 of the rounded inputs. slope: the softcap's derivative, or absent.
void scores(const AttentionProblem& p, const AttentionSequence& sequence, const float* q, const float* k,
            float* s, float* slope) {
  const int64 rows = sequence.q.size(), columns = sequence.k.size();
  product(rows, columns, p.qk_dim, q, false, k, true, s, p.scale);
  for (int64 i = 0; i < rows; ++i) {
    const Range seen = sequence.mask.keys_of(i);
    for (int64 j = 0; j < columns; ++j) {
      float& x = s[i * columns + j];
      if (p.softcap > 0) {
        const float t = std::tanh(x / p.softcap);
        x = p.softcap * t;
        if (slope) slope[i * columns + j] = 1 - t * t;
      }
      if (j < seen.begin || j >= seen.end) x = -kInfinity;
    }
  }
}

// s becomes its softmax, rounded to the dtype under test; returns lse of the row.
float softmax_row(const AttentionProblem& p, float* s, int64 columns, bool has_sink, float sink) {
  float most = has_sink ? sink : -kInfinity;
  for (int64 j = 0; j < columns; ++j) most = std::isnan(s[j]) || s[j] > most ? s[j] : most;
  if (most == -kInfinity) {
    std::fill(s, s + columns, 0.0f);
    return most;
  }
  float sum = has_sink ? std::exp(sink - most) : 0;
  for (int64 j = 0; j < columns; ++j) sum += s[j] = s[j] == -kInfinity ? 0 : std::exp(s[j] - most);
  for (int64 j = 0; j < columns; ++j) s[j] = round_to(p.dtype, s[j] / sum);
  return most + std::log(sum);
}

void NaiveAttention::forward(Execution& execution, const AttentionForward& op) const {
  const AttentionProblem& p = op.problem;
  for_each_unit(execution, p, Pass::forward,
                [&](const AttentionSequence& sequence, int64, int64 g, float* memory) {
                  const UnitMemory size(p, sequence, Pass::forward);
                  const int64 rows = sequence.q.size(), columns = sequence.k.size();
                  float *q = memory, *out = q + size.q, *k = out + size.q, *v = k + size.k, *s = v + size.k;
                  gather(op.k, sequence.batch, sequence.k, g, k);
                  gather(op.v, sequence.batch, sequence.k, g, v);
                  for (int64 h = g * p.group(); h < (g + 1) * p.group(); ++h, s += size.scores) {
                    gather(op.q, sequence.batch, sequence.q, h, q);
                    scores(p, sequence, q, k, s, nullptr);
                    const float sink = op.sink ? op.sink.data<float>()[h] : 0;
                    for (int64 i = 0; i < rows; ++i)
                      *static_cast<float*>(op.lse.at({sequence.batch, h, sequence.q.begin + i})) =
                          softmax_row(p, s + i * columns, columns, static_cast<bool>(op.sink), sink);
                    std::fill(out, out + rows * p.v_dim, 0.0f);  // for no keys at all
                    if (columns > 0) product(rows, p.v_dim, columns, s, false, v, false, out);
                    scatter(out, op.out, sequence.batch, sequence.q, h, false);
                  }
                });
}

void NaiveAttention::backward(Execution& execution, const AttentionBackward& op) const {
  const AttentionProblem& p = op.problem;
  float* dsinks = execution.scratch<float>(count(p) * p.q_heads);  // (sequences, Hq)
  for_each_unit(
      execution, p, Pass::backward, [&](const AttentionSequence& sequence, int64 n, int64 g, float* memory) {
        const UnitMemory size(p, sequence, Pass::backward);
        const int64 rows = sequence.q.size(), columns = sequence.k.size();
        float *q = memory, *out = q + size.q, *dout = out + size.q, *dq = dout + size.q, *k = dq + size.q,
              *v = k + size.k, *dk = v + size.k, *dv = dk + size.k, *slope = dv + size.k,
              *s = slope + size.scores;
        gather(op.k, sequence.batch, sequence.k, g, k);
        gather(op.v, sequence.batch, sequence.k, g, v);
        std::fill(dk, dk + columns * p.qk_dim, 0.0f);
        std::fill(dv, dv + columns * p.v_dim, 0.0f);
        for (int64 h = g * p.group(); h < (g + 1) * p.group(); ++h, s += 2 * size.scores) {
          float* ds = s + size.scores;
          gather(op.q, sequence.batch, sequence.q, h, q);
          gather(op.out, sequence.batch, sequence.q, h, out);
          gather(op.dout, sequence.batch, sequence.q, h, dout);
          // P = softmax(s),  out = P v
          scores(p, sequence, q, k, s, slope);
          const float sink = op.sink ? op.sink.data<float>()[h] : 0;
          float dsink = 0;
          if (columns > 0) product(rows, columns, p.v_dim, dout, false, v, true, ds);
          for (int64 i = 0; i < rows; ++i) {
            const float lse = softmax_row(p, s + i * columns, columns, static_cast<bool>(op.sink), sink);
            float delta = 0;
            for (int64 d = 0; d < p.v_dim; ++d) delta += out[i * p.v_dim + d] * dout[i * p.v_dim + d];
            if (op.sink) dsink -= std::exp(sink - lse) * delta;
            const Range seen = sequence.mask.keys_of(i);
            for (int64 j = 0; j < columns; ++j) {
              float& x = ds[i * columns + j];
              const float dp = round_to(p.dtype, x);
              // s = softcap(scale q k^T); a hidden pair has no gradient, whatever stands there
              x = j < seen.begin || j >= seen.end ? 0 : s[i * columns + j] * (dp - delta);
              if (p.softcap > 0) x *= slope[i * columns + j];
              x = round_to(p.dtype, x);
            }
          }
          dsinks[n * p.q_heads + h] = dsink;
          std::fill(dq, dq + rows * p.qk_dim, 0.0f);
          if (columns > 0 && rows > 0) {
            product(columns, p.v_dim, rows, s, true, dout, false, dv, 1, 1);
            product(columns, p.qk_dim, rows, ds, true, q, false, dk, p.scale, 1);
            product(rows, p.qk_dim, columns, ds, false, k, false, dq, p.scale);
          }
          scatter(dq, op.dq, sequence.batch, sequence.q, h, op.accumulate);
        }
        scatter(dk, op.dk, sequence.batch, sequence.k, g, op.accumulate);
        scatter(dv, op.dv, sequence.batch, sequence.k, g, op.accumulate);
      });
  if (!op.dsink) return;
  for (int64 h = 0; h < p.q_heads; ++h) {
    float sum = op.accumulate ? op.dsink.data<float>()[h] : 0;
    for (int64 n = 0; n < count(p); ++n) sum += dsinks[n * p.q_heads + h];
    op.dsink.data<float>()[h] = sum;
  }
}

}  // namespace

const AttentionBackend& naive_attention_backend() {
  static const NaiveAttention backend;
  return backend;
}

}  // namespace fovea
