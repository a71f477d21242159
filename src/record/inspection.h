#pragma once

#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "record/run_record.h"

namespace fovea {

inline constexpr const char* kInspectionFileName = "inspect.h5";

/// What each query head does, (layers, q_heads) row-major. Means are over the rows, of all sequences, that
/// see two keys or more: a row with one key has no choice. What a row does not see it pays no attention to.
struct HeadStatistics {
  std::vector<double> entropy;           ///< nat: of a row's probabilities
  std::vector<double> relative_entropy;  ///< the same over ln(keys that the row sees): 1 where all are alike
  std::vector<double> previous_token;    ///< attention to the token before
  std::vector<double> first_token;       ///< attention to the sequence's first token
  /// Attention to the token that followed this one the first time, over the second copy in sequences of
  /// distinct random tokens laid down twice (Olsson et al. 2022).
  std::vector<double> induction;
  std::vector<double> score_mean, score_deviation, score_largest;  ///< of what the softmax is given
  std::vector<double> saturated;      ///< part of the rows whose largest probability is above 0.99
  std::vector<double> softmax_slope;  ///< 1 - sum p^2, the trace of the softmax's Jacobian: 0 passes nothing
};

/// Norms of each layer's gradients (layers), of the mean loss over the sequences.
struct GradientNorms {
  std::vector<double> query_key, value_out, mlp;
};

/// One set of weights on one text.
struct ModelStatistics {
  double loss = 0;  ///< nat/token
  HeadStatistics heads;
  GradientNorms gradients;
};

/// Cosines between the weights of KV heads in would-be groups of `heads` neighbours: (layers, groups), the
/// mean over the pairs of a group. Not a number where a layer has no such group, or cannot be aligned.
struct GroupCosines {
  int64 heads = 0;   ///< of a group; 0: there is nothing to group
  int64 groups = 0;  ///< of the layer with most
  std::vector<double> key, key_aligned, value, value_aligned;
};

/// What `fovea inspect` finds out about a model; results/README.md says how it lies in a file.
struct Inspection {
  std::string model, weights;  ///< where it was read from; hash of its parameters
  std::string text;            ///< what it was shown, in words
  Provenance provenance;
  int64 layers = 0, q_heads = 0, head_dim = 0;
  std::vector<int64> kv_heads, windows;  ///< per layer; a window counts the keys seen, 0: all before
  double attention_scale = 0;
  int64 sequences = 0, length = 0;  ///< of the text
  int64 repeated = 0;               ///< tokens that induction sequences repeat; 0: too short for any
  ModelStatistics trained;
  std::optional<ModelStatistics> initial;  ///< of the weights as they were drawn
  GroupCosines cosines;
};

/// Name, unit and meaning of a member: the one table that the file, the text and the page are written from.
template <class Record>
struct StatisticColumn {
  const char* name;
  const char* unit;
  const char* meaning;
  std::vector<double> Record::*values;
};
std::span<const StatisticColumn<HeadStatistics>> head_columns();
std::span<const StatisticColumn<GradientNorms>> gradient_columns();
std::span<const StatisticColumn<GroupCosines>> cosine_columns();

/// Replaces the file whole. Throws UserError (failed).
void write_inspection(const std::filesystem::path& path, const Inspection& inspection);
/// Throws UserError (input) naming the file and what is wrong in it.
Inspection read_inspection(const std::filesystem::path& path);

}  // namespace fovea
