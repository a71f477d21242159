#pragma once

#include <span>
#include <string>
#include <string_view>

#include "core/stream.h"
#include "kernels/attention/mask.h"

namespace fovea {

/// One value says everything about one attention call.
///
///   s = scale * (q . k), or softcap * tanh(scale * (q . k) / softcap) where softcap > 0
///   lse = ln(sum over visible keys of exp(s) + exp(sink)),  out = sum of exp(s - lse) v
///
/// Query head h reads key/value head h / (q_heads / kv_heads). A row that sees no key has out 0 and lse -inf
/// (with a sink: lse = sink) and adds nothing to any gradient. NaN and infinities propagate. Where bf16 is
/// multiplied in bf16, probabilities and their gradients are rounded to it and subnormal numbers count as
/// zero.
struct AttentionProblem {
  int64 batch = 1, q_len = 0, kv_len = 0, q_heads = 1, kv_heads = 1, qk_dim = 0, v_dim = 0;
  DType dtype = DType::f32;
  Mask mask;
  float scale = 1, softcap = 0;
  /// Key index at which query 0 stands; kBottomRight: kv_len - q_len. With documents it is always
  /// bottom-right.
  static constexpr int64 kBottomRight = INT64_MIN;
  int64 q_start = kBottomRight;

  int64 group() const { return q_heads / kv_heads; }
  int64 first_position() const { return q_start == kBottomRight ? kv_len - q_len : q_start; }
};

/// q (B, Sq, Hq, D), k (B, Sk, Hkv, D), v (B, Sk, Hkv, Dv), sink (Hq) f32 or absent, out (B, Sq, Hq, Dv) in
/// the problem's dtype; lse (B, Hq, Sq) natural logarithm, f32 (f64 where the dtype is f64). Any strides but
/// the innermost.
struct AttentionForward {
  AttentionProblem problem;
  View q, k, v, sink;  // in
  View out, lse;       // out
};

/// Gradients of attention (Dao et al. 2022, algorithm 4). dq, dk, dv as q, k, v in the problem's dtype; dsink
/// (Hq) as sink. dk and dv are summed in f32 over the query heads of a group. Overwritten, or added to with
/// `accumulate`.
struct AttentionBackward {
  AttentionProblem problem;
  View q, k, v, sink, out, lse, dout;  // in
  View dq, dk, dv, dsink;              // out
  bool accumulate = false;
};

enum class Pass { forward, backward };

struct Support {
  bool yes = true;
  std::string why_not;
};

/// One implementation. Deterministic: the same bits at any number of threads.
class AttentionBackend {
 public:
  virtual ~AttentionBackend() = default;
  virtual std::string_view name() const = 0;
  virtual std::string description() const = 0;  ///< one line, with the instruction set in use
  virtual Support supports(const AttentionProblem& problem) const = 0;
  /// Of a problem that it supports: whether it does it with operands of these strides, with this sink and
  /// accumulation.
  virtual Support takes(const AttentionForward&) const { return {}; }
  virtual Support takes(const AttentionBackward&) const { return {}; }
  /// Scratch memory that a call on so many threads takes.
  virtual int64 workspace_bytes(const AttentionProblem& problem, Pass pass, int threads) const = 0;
  /// Called by attention() below with checked operands; workspace_bytes() of scratch are available.
  virtual void forward(Execution& execution, const AttentionForward& op) const = 0;
  virtual void backward(Execution& execution, const AttentionBackward& op) const = 0;
};

const AttentionBackend& attention_backend(Backend backend);
std::span<const AttentionBackend* const> attention_backends();

/// Checks the operands (aborts on a mismatch), throws UserError (unavailable) where the stream's backend
/// cannot do the problem, and enqueues. Safe for any problem, zero lengths included.
void attention(Stream& stream, const AttentionForward& op);
void attention_backward(Stream& stream, const AttentionBackward& op);

/// Useful floating-point operations: of visible pairs alone, per pair and query head 2 (D + Dv) forward, 2 (3
/// D + 2 Dv) backward.
double attention_flops(const AttentionProblem& problem, Pass pass);

}  // namespace fovea
