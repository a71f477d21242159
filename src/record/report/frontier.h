#pragma once

#include <string>
#include <vector>

#include "record/report/figures.h"
#include "record/report/study.h"

namespace fovea::report {

/// A run by what its memory and time depend on.
struct MemoryPoint {
  const Run* run = nullptr;
  std::string policy;  ///< train.fit where it is set, else train.recompute
  std::string backend;
  int64 length = 0;
  double bytes = 0, seconds = 0;  ///< measured peak; median of a step

  Datum peak() const { return run->datum(bytes, "/memory/measured_peak"); }
  Datum step() const { return run->datum(seconds, "/timing/step"); }
};
/// The runs of a study in which both were measured, by backend, length and memory.
std::vector<MemoryPoint> memory_points(const Study& study);

/// What one layer of a Llama-shaped decoder keeps for its backward, in bytes per token, after Korthikanti et
/// al. 2023 (arXiv 2205.05198, section 4), counted again for RMSNorm, SwiGLU and grouped heads without
/// dropout. With C the width, H query heads and G key heads of size D, F the width of the MLP, e bytes of an
/// activation and r of the residual stream:
///   input of the layer and of the MLP's branch    2 r C
///   outputs of the two norms                       2 e C      and 4 bytes each of a statistic
///   q; k and v                                     e H D + 2 e G D
///   output of attention, and lse                   e H D + 4 H
///   gate, up and their product                     3 e F
/// which is their 34 C of 16-bit bytes with H D = C, F = 8/3 C: here 28 C + 4 C G / H. An implementation that
/// keeps its probabilities adds e H T for sequences of T tokens; theirs adds 5 H T: 2 for the probabilities,
/// 1 for dropout's mask and 2 for what it leaves.
struct LayerSizes {
  double width = 0, q_heads = 0, kv_heads = 0, head_dim = 0, hidden = 0;
  double activation_bytes = 4, residual_bytes = 4;
};
double kept_bytes_per_token(const LayerSizes& sizes);
double probability_bytes_per_token(const LayerSizes& sizes, double length);

/// Whether a study varies what these figures are about.
bool has_frontier(const Study& study);
bool has_lengths(const Study& study);
/// Step time against peak memory, a curve per backend and length, a symbol per policy.
Shown frontier_figure(const Study& study);
/// Peak memory against length, a curve per backend, with the formula beside them.
Shown length_figure(const Study& study);
void memory_findings(const Study& study, std::vector<std::string>& out);

}  // namespace fovea::report
