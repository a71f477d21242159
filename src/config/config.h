#pragma once

#include <string>
#include <vector>

#include "core/types.h"

namespace fovea {

/// The effective values of one run. schema_keys.cc is the one table that says what each key means, its
/// default, range and unit; these structs only hold the values.

struct ModelConfig {
  bool operator==(const ModelConfig&) const = default;

  std::string family = "llama";  // llama mistral qwen2 qwen3 gpt2 neox gemma gemma2
  int64 layers = 4, width = 256, q_heads = 8;
  int64 kv_heads = 0;                     // 0: as q_heads
  std::vector<int64> kv_heads_per_layer;  // empty: kv_heads in each
  int64 head_dim = 0;                     // 0: width / q_heads
  int64 hidden = 0;                       // width of the MLP's inner layer; 0: the family's ratio
  int64 context = 256;
  int64 vocab = 0;  // tokens that the model has; 0: those of the data
  double rope_theta = 10000;
  double rope_fraction = -1;           // part of head_dim that is rotated; -1: the family's
  bool rope_interleaved = false;       // pairs (2i, 2i+1) instead of (i, i + d/2)
  int64 sliding_window = 0;            // keys visible including self; 0: none
  std::vector<std::string> attention;  // kind per layer, repeated: "full", "window"; empty: the family's
  double attention_scale = -1;         // of the scores; -1: the family's
  double attention_softcap = -1, logit_softcap = -1;  // 0: none; -1: the family's
  std::string rope_type = "default";  // default linear ntk dynamic yarn longrope llama3 proportional
  double rope_factor = -1;            // of the context; -1: context / rope_original_context, or 1
  int64 rope_original_context = 0;    // context that the frequencies were trained for; 0: context
  double rope_attention_factor = -1;  // yarn longrope: of cosine and sine; -1: the type's formula
  double rope_beta_fast = 32, rope_beta_slow = 1;              // yarn
  bool rope_truncate = true;                                   // yarn
  double rope_mscale = 0, rope_mscale_all_dim = 0;             // yarn; 0: none
  double rope_low_freq_factor = 1, rope_high_freq_factor = 4;  // llama3
  std::vector<double> rope_short_factors, rope_long_factors;   // longrope, one per plane
  double norm_epsilon = -1;                                    // -1: the family's
  std::string norm = "family";                                 // family rms_norm layer_norm
  std::string activation = "family";                           // family silu relu gelu gelu_tanh
  std::string gated = "family";                                // family yes no (likewise the next ones)
  std::string position = "family";                             // family rope learned none
  std::string qkv_bias = "family", out_bias = "family", mlp_bias = "family";
  std::string tie_embeddings = "family", qk_norm = "family", parallel_residual = "family";
  std::string embedding_scale = "family";
  double init_std = 0.02;
  double dropout = 0;
};

struct DataConfig {
  std::string corpus = "kjv";       // kjv, or a file, folder or glob
  std::string tokenizer = "bytes";  // or the path of its file
  std::string cache = "data/cache";
  bool documents = false;     // pack documents and mask across their bounds
  int64 held_out_every = 20;  // every n-th block is held out
  int64 block_bytes = 4096;
  int64 vocab = 0;  // of token shards that do not say; 0: their largest token + 1
};

struct TrainConfig {
  int64 tokens = 1000000;  // of the whole run
  int64 batch = 16;        // sequences per optimizer step
  int64 grain = 0;         // sequences per grain; 0: min(batch, 16). Part of the sums' order
  int64 sequence = 0;      // tokens per sequence; 0: model.context
  double lr = 2e-3, min_lr_fraction = 0.1;
  std::string schedule = "cosine";  // constant linear cosine wsd
  double warmup = 0.025;            // fraction of the steps
  double decay = 0.2;               // wsd: fraction of the steps in the final decay
  double beta1 = 0.9, beta2 = 0.95, epsilon = 1e-8, weight_decay = 0.1, clip = 1.0;
  std::string precision = "f32";       // f32 bf16 f64
  std::string residual_dtype = "f32";  // f32 bf16
  std::string recompute = "none";      // none, selective, block (every block), or every k-th: "every 2"
  std::string fit;                     // "512 MiB": the cheapest plan that fits; empty: recompute
  std::string spike_guard = "off";     // off skip stop: at a loss spike_sigma deviations above the recent
  double spike_sigma = 6;
  double ema = 0;  // decay of the weights' moving average, which is evaluated and exported; 0: none
  int64 seed = 0;
  int64 evaluate_every = 0;    // optimizer steps; 0: at the end only
  int64 checkpoint_every = 0;  // optimizer steps; 0: at the end only
  int64 keep_checkpoints = 2;
};

struct InitConfig {
  std::string from;                 // checkpoint of another run; empty: drawn
  std::string conversion = "none";  // convert/gqa.h: when from has more KV heads than the model
  int64 calibration = 16;           // sequences that conversions which look at activations read
};

struct RunConfig {
  std::string backend = "auto";          // auto cpu cuda cudnn naive reference
  int64 threads = 0;                     // 0: all there are
  std::string instruction_set = "auto";  // auto: the widest there is; kernels/simd/instruction_set.h
  bool tensorboard = false;              // event files beside run.h5
  bool profile = false;                  // time, FLOPs and bytes of each operation in run.h5
};

/// A GQA-against-MHA study: kv_heads x initialisations x alphas x seeds, with controls.
struct GqaConfig {
  std::vector<int64> kv_heads;  // empty: q_heads, q_heads/2, ... 1
  std::vector<std::string> inits = {"mean", "first", "random"};
  std::vector<double> alphas = {0, 0.01, 0.02, 0.05, 0.1};
  double uptrain_lr_fraction = 0.5;  // of the peak rate, then linearly to zero
  double uptrain_warmup = 0.05;
  bool control_mha = true, control_scratch = true;
};

struct StudyConfig {
  std::string kind = "train";  // train gqa
  std::string name;            // empty: the file's stem
  std::vector<int64> seeds = {0};
  std::vector<std::string> claims;  // files of published claims that the report judges
};

struct Config {
  StudyConfig study;
  ModelConfig model;
  DataConfig data;
  TrainConfig train;
  InitConfig init;
  RunConfig run;
  GqaConfig gqa;
};

}  // namespace fovea
