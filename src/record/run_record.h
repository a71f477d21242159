#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/types.h"

namespace fovea {

enum class RunState { waiting, running, done, failed, interrupted };

/// What a run is for in its study. `converted` is a baseline with its KV heads merged and not trained on
/// (alpha = 0), `uptrained` the same after alpha > 0; the controls are trained for the same tokens.
enum class RunRole { train, baseline, converted, uptrained, control_mha, control_scratch };

std::string_view name_of(RunState);
std::string_view name_of(RunRole);
/// Throws UserError (input) that starts with `where`, for a name that is none of the above.
RunState run_state_named(std::string_view name, const std::string& where);
RunRole run_role_named(std::string_view name, const std::string& where);

using AttributeValue = std::variant<int64, double, bool, std::string, std::vector<int64>, std::vector<double>,
                                    std::vector<std::string>>;

/// One effective value of a configuration.
struct Attribute {
  std::string path;  ///< "train.lr"
  AttributeValue value;
  std::string unit;    ///< "tokens"; empty: a pure number or a name
  std::string source;  ///< where the value came from: "base.toml:12:1", "default"
};

/// What ran, on what. collect_provenance() fills it.
struct Provenance {
  std::string version, commit;  ///< commit: 40 hex digits, or "unknown"
  bool dirty = false;           ///< the checkout had changes that are in no commit
  std::string compiler, flags;
  std::string host, cpu, instruction_set;  ///< instruction_set: the widest that the processor has, "avx2"
  int64 cores = 0, memory_bytes = 0, threads = 0;
  std::string backend;
  std::string started, finished;  ///< UTC, ISO 8601: "2026-11-25T12:00:00Z"; empty: not yet
  std::string command;
  std::string used_instruction_set;  ///< what the kernels used; empty in files older than the choice
};

struct CorpusRecord {
  std::string description, fingerprint;  ///< fingerprint: the hash of what was read
};

/// Which run this one started from, and how.
struct Lineage {
  std::string baseline, checkpoint;  ///< identity of the run, name of its checkpoint; empty: none
  std::string conversion = "none";   ///< a word of init.conversion
  double alpha = 0;                  ///< tokens of this run / tokens of its baseline
  int64 q_heads = 0, kv_heads = 0;   ///< kv_heads 0: layers differ
};

struct Counts {
  int64 parameters = 0;
  int64 tokens = 0;              ///< trained on, in the whole run
  double flops_per_token = 0;    ///< of training, from the pairs that the mask shows
  int64 kv_bytes_per_token = 0;  ///< of a KV cache, all layers
};

/// One entry per optimizer step, in step order; all columns have one length.
struct StepSeries {
  std::vector<int64> step, tokens;    ///< step counts from 1; tokens seen by then
  std::vector<double> train_loss;     ///< nat/token
  std::vector<double> lr, grad_norm;  ///< grad_norm before clipping
  std::vector<double> tokens_per_second, flops_per_second;
  std::vector<int64> skipped;  ///< the steps whose update the spike guard left out
  size_t size() const { return step.size(); }
};

/// Over every window of the held-out split.
struct Evaluation {
  int64 step = 0;                       ///< after this many optimizer steps; 0: before the first
  double loss = 0;                      ///< nat/token
  std::optional<double> bits_per_byte;  ///< bit/byte; empty: the corpus is tokens of unknown text
};

struct MemoryUse {
  int64 predicted_bytes = 0;      ///< by the planner, before the run
  int64 measured_peak_bytes = 0;  ///< the process's peak less what it held before the model; 0: not measured
  int64 scratch_bytes = 0;        ///< the part of the prediction that is scratch
};

/// What the calls of one operation took in the steps that were profiled.
struct OperationCost {
  std::string name;  ///< "matmul a b^T"
  int64 calls = 0;
  double seconds = 0, flops = 0, bytes = 0;  ///< bytes: each operand read once and written once
  std::string dtype = "f32";                 ///< of its products: says which limit holds
};
/// Where the time of steps went, of this sitting, the first step aside, against what the machine can do:
/// limits measured at the run's start on all its threads.
struct StepProfile {
  int64 steps = 0;
  double seconds = 0;  ///< of these steps, by the wall clock
  double f32_flops = 0,
         bf16_flops = 0;      ///< limits, FLOP/s: of registers alone, or of a device's large product
  double read_bandwidth = 0;  ///< limit, byte/s: a plain read of memory, or a device's copy
  std::vector<OperationCost> operations;  ///< by name
  /// The least time that the limits allow an operation: of its FLOPs or of its bytes, the longer one
  /// (Williams et al. 2009, the roofline).
  double least_seconds(const OperationCost& operation) const;
};

/// Everything that is kept of one run; results/README.md says how it lies in a file.
struct RunRecord {
  std::string name, identity;  ///< identity: the hash of configuration, inputs and numerics
  RunState state = RunState::waiting;
  RunRole role = RunRole::train;
  std::string error;   ///< why it failed; empty otherwise
  std::string config;  ///< the raw text of the configuration
  std::vector<Attribute> attributes;
  Provenance provenance;
  int64 seed = 0;
  CorpusRecord corpus;
  Lineage lineage;
  Counts counts;
  StepSeries series;
  std::vector<Evaluation> evaluations;  ///< in step order; the last one is final when the run is done
  MemoryUse memory;
  double seconds = 0;  ///< spent training and evaluating, over all resumes
  /// Median time of an optimizer step, the first one aside, which warms up; 0: there are fewer than two.
  double step_seconds = 0;
  std::optional<StepProfile> profile;  ///< where run.profile asked for it
};

/// The evaluation that the run is judged by: its last; throws UserError (input) when there is none.
const Evaluation& final_evaluation(const RunRecord&);

}  // namespace fovea
