#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "kernels/attention/attention.h"

namespace fovea {

/// One attention call to be timed. Its name says everything, and tests/peers gives the same work the same
/// name:
///
///   attention/forward/cpu/bf16/b1_hq8_hkv2_q2048_kv2048_d64/causal
///
/// pass: forward backward; backend: cpu naive cuda cudnn; dtype: f32 bf16 f16; mask: full, causal,
/// causal_windowW (W keys visible, self included) or documentsN (N causal documents of about one length,
/// packed; b1 only).
struct TimedAttention {
  std::string name;
  Pass pass = Pass::forward;
  Backend backend = Backend::cpu;
  AttentionProblem problem;
};

/// Throws UserError (usage) with what is wrong.
TimedAttention timed_attention_named(std::string_view name);

/// What is measured where nothing is asked for: the dense cells that are compared with PyTorch, windows and
/// packed documents, and decoding.
std::vector<std::string> default_attention_names();

/// A few queries over many keys, bounded by reading them.
bool is_decoding(const AttentionProblem& problem);

}  // namespace fovea
