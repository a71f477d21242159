#include <algorithm>
#include <iterator>
#include <optional>

#include "config/schema.h"

namespace fovea {
namespace {

template <auto Table, auto Member>
ConfigSlot slot(Config& config) {
  return &(config.*Table.*Member);
}
using S = StudyConfig;
using M = ModelConfig;
using D = DataConfig;
using T = TrainConfig;
using I = InitConfig;
using R = RunConfig;
using G = GqaConfig;
template <auto Member>
constexpr auto study = slot<&Config::study, Member>;
template <auto Member>
constexpr auto model = slot<&Config::model, Member>;
template <auto Member>
constexpr auto data = slot<&Config::data, Member>;
template <auto Member>
constexpr auto train = slot<&Config::train, Member>;
template <auto Member>
constexpr auto init = slot<&Config::init, Member>;
template <auto Member>
constexpr auto run = slot<&Config::run, Member>;
template <auto Member>
constexpr auto gqa = slot<&Config::gqa, Member>;

Bounds within(double least, double most) { return {.least = least, .most = most}; }
Bounds fraction() { return within(0, 1); }
Bounds below_one() { return {.least = 0, .most = 1, .below_most = true}; }
Bounds at_least(double least) { return {.least = least}; }
Bounds above(double least) { return {.least = least, .above_least = true}; }
Bounds or_else(double value, Bounds bounds) {
  bounds.or_else = value;
  return bounds;
}

using Words = std::vector<std::string_view>;
const Words kYesNo = {"family", "yes", "no"};

// Upper bounds keep every product of sizes (batch * sequence * width * layers) far below 2^63.
constexpr double kMaxWidth = 65536, kMaxContext = 16777216, kMaxSteps = 1e12;

std::vector<ConfigKey> study_keys() {
  return {
      {.path = "study.kind",
       .slot = study<&S::kind>,
       .description = "what is studied: train runs each point, gqa compares grouped with full attention",
       .words = {"train", "gqa"},
       .identity = false},
      {"study.name",
       study<&S::name>,
       "name of the study and of its folder; empty: the file's name",
       "",
       {},
       {},
       false},
      {"study.seeds",
       study<&S::seeds>,
       "one run per seed; stands over train.seed unless that is set later",
       "",
       at_least(0),
       {},
       false,
       false},
      {"study.claims",
       study<&S::claims>,
       "files of published claims (docs/claims.md), relative to this one, that the report judges",
       "",
       {},
       {},
       false},
  };
}

std::vector<ConfigKey> model_size_keys() {
  return {
      {"model.family",
       model<&M::family>,
       "published architecture whose shape is assembled",
       "",
       {},
       {"llama", "mistral", "qwen2", "qwen3", "gpt2", "neox", "gemma", "gemma2"}},
      {"model.layers", model<&M::layers>, "decoder layers", "", within(1, 1024)},
      {"model.width", model<&M::width>, "width of the residual stream", "", within(1, kMaxWidth)},
      {"model.q_heads", model<&M::q_heads>, "query heads", "", within(1, 1024)},
      {"model.kv_heads", model<&M::kv_heads>, "key and value heads; 0: as many as query heads", "",
       within(0, 1024)},
      {.path = "model.kv_heads_per_layer",
       .slot = model<&M::kv_heads_per_layer>,
       .description = "key and value heads of each layer, one number per layer; empty: model.kv_heads",
       .bounds = within(1, 1024),
       .silent_default = true},
      {"model.head_dim", model<&M::head_dim>, "width of a head; 0: width / q_heads", "", within(0, 4096)},
      {"model.hidden", model<&M::hidden>, "inner width of the MLP; 0: the family's ratio", "",
       within(0, 16 * kMaxWidth)},
      {"model.context", model<&M::context>, "longest sequence that the model is made for", "tokens",
       within(1, kMaxContext)},
      {.path = "model.vocab",
       .slot = model<&M::vocab>,
       .description = "tokens that the model has; 0: as many as the data",
       .bounds = within(0, 1 << 24),
       .silent_default = true},
      {"model.rope_theta", model<&M::rope_theta>, "base of the rotary frequencies", "", above(0)},
      {"model.rope_fraction", model<&M::rope_fraction>, "part of a head that is rotated; -1: the family's",
       "", or_else(-1, {.least = 0, .most = 1, .above_least = true})},
      {"model.rope_interleaved", model<&M::rope_interleaved>,
       "rotate the pairs (2i, 2i + 1) instead of (i, i + d/2)"},
      {"model.sliding_window", model<&M::sliding_window>,
       "keys that a query of a window layer sees, itself included; 0: no window", "tokens",
       within(0, kMaxContext)},
      {"model.attention",
       model<&M::attention>,
       "kind of each layer, repeated; empty: the family's",
       "",
       {},
       {"full", "window"}},
      {.path = "model.attention_scale",
       .slot = model<&M::attention_scale>,
       .description = "factor of the attention scores; -1: the family's, mostly 1 / sqrt(head_dim)",
       .bounds = or_else(-1, above(0)),
       .silent_default = true},
      {"model.attention_softcap", model<&M::attention_softcap>,
       "cap of the attention scores; 0: none, -1: the family's", "", or_else(-1, at_least(0))},
      {"model.logit_softcap", model<&M::logit_softcap>, "cap of the logits; 0: none, -1: the family's", "",
       or_else(-1, at_least(0))},
  };
}

// Formulas: model/rope.h.
std::vector<ConfigKey> model_rope_keys() {
  std::vector<ConfigKey> keys = {
      {"model.rope_type",
       model<&M::rope_type>,
       "how the rotary frequencies are changed for a longer context",
       "",
       {},
       {"default", "linear", "ntk", "dynamic", "yarn", "longrope", "llama3", "proportional"}},
      {"model.rope_factor", model<&M::rope_factor>,
       "by how much the context grows; -1: model.context / rope_original_context (yarn, longrope), 1 "
       "(proportional)",
       "", or_else(-1, above(0))},
      {"model.rope_original_context", model<&M::rope_original_context>,
       "dynamic, yarn, longrope, llama3: context that the frequencies were trained for; 0: model.context",
       "tokens", within(0, kMaxContext)},
      {"model.rope_attention_factor", model<&M::rope_attention_factor>,
       "yarn, longrope: factor of cosine and sine; -1: the type's formula", "", or_else(-1, above(0))},
      {"model.rope_beta_fast", model<&M::rope_beta_fast>,
       "yarn: planes that turn more often than this over the original context keep their frequency", "turns",
       above(0)},
      {"model.rope_beta_slow", model<&M::rope_beta_slow>,
       "yarn: planes that turn less often than this have theirs divided by the factor", "turns", above(0)},
      {"model.rope_truncate", model<&M::rope_truncate>,
       "yarn: the ramp between them begins and ends at "
       "whole planes"},
      {"model.rope_mscale", model<&M::rope_mscale>,
       "yarn: with rope_mscale_all_dim, weighs the factor of cosine and sine; 0: none", "", at_least(0)},
      {"model.rope_mscale_all_dim", model<&M::rope_mscale_all_dim>,
       "yarn: what that factor is divided by, weighed likewise; 0: nothing", "", at_least(0)},
      {"model.rope_low_freq_factor", model<&M::rope_low_freq_factor>,
       "llama3: planes with fewer turns over the original context are divided by the factor", "turns",
       above(0)},
      {"model.rope_high_freq_factor", model<&M::rope_high_freq_factor>,
       "llama3: planes with more turns keep their frequency", "turns", above(0)},
      {"model.rope_short_factors", model<&M::rope_short_factors>,
       "longrope: divisors of each plane's frequency in sequences up to the original context", "", above(0)},
      {"model.rope_long_factors", model<&M::rope_long_factors>, "longrope: the same in longer ones", "",
       above(0)},
  };
  for (ConfigKey& key : keys) key.silent_default = true;
  return keys;
}

std::vector<ConfigKey> model_part_keys() {
  return {
      {"model.norm_epsilon", model<&M::norm_epsilon>, "epsilon of the norms; -1: the family's", "",
       or_else(-1, within(0, 1))},
      {"model.norm", model<&M::norm>, "kind of the norms", "", {}, {"family", "rms_norm", "layer_norm"}},
      {"model.activation",
       model<&M::activation>,
       "activation of the MLP",
       "",
       {},
       {"family", "silu", "relu", "gelu", "gelu_tanh"}},
      {"model.gated", model<&M::gated>, "whether the MLP is gated", "", {}, kYesNo},
      {"model.position",
       model<&M::position>,
       "how positions are told",
       "",
       {},
       {"family", "rope", "learned", "none"}},
      {"model.qkv_bias", model<&M::qkv_bias>, "biases on q, k and v", "", {}, kYesNo},
      {"model.out_bias", model<&M::out_bias>, "bias on the attention's output projection", "", {}, kYesNo},
      {"model.mlp_bias", model<&M::mlp_bias>, "biases in the MLP", "", {}, kYesNo},
      {"model.tie_embeddings",
       model<&M::tie_embeddings>,
       "one matrix for embedding and output",
       "",
       {},
       kYesNo},
      {"model.qk_norm", model<&M::qk_norm>, "norm of each query and key head", "", {}, kYesNo},
      {"model.parallel_residual",
       model<&M::parallel_residual>,
       "attention and MLP read the same input",
       "",
       {},
       kYesNo},
      {"model.embedding_scale", model<&M::embedding_scale>, "embeddings times sqrt(width)", "", {}, kYesNo},
      {"model.init_std", model<&M::init_std>, "standard deviation of the drawn weights", "", within(0, 10)},
      {"model.dropout", model<&M::dropout>, "probability of dropping a residual branch's value", "",
       below_one()},
  };
}

std::vector<ConfigKey> data_keys() {
  return {
      {.path = "data.corpus",
       .slot = data<&D::corpus>,
       .description = "what to train on: kjv, a text file, folder or glob, or .bin token files",
       .may_be_empty = false},
      {.path = "data.tokenizer",
       .slot = data<&D::tokenizer>,
       .description = "how text becomes tokens: bytes, or a tokenizer.json or SentencePiece .model, relative "
                      "to this file",
       .may_be_empty = false},
      {"data.cache", data<&D::cache>, "folder of the prepared shards", "", {}, {}, false, false},
      {"data.documents", data<&D::documents>, "pack documents and mask attention across their bounds"},
      {"data.held_out_every", data<&D::held_out_every>, "every n-th block is held out for evaluation",
       "blocks", within(2, 1e9)},
      {"data.block_bytes", data<&D::block_bytes>, "size of the blocks that are held out", "bytes",
       within(1, 1e9)},
      {.path = "data.vocab",
       .slot = data<&D::vocab>,
       .description = "vocabulary of a .bin token file; 0: its largest token + 1",
       .bounds = within(0, 1 << 24),
       .silent_default = true},
  };
}

std::vector<ConfigKey> recipe_keys() {
  return {
      {"train.tokens", train<&T::tokens>, "tokens of the whole run; 0: weights are evaluated as they are",
       "tokens", within(0, 1e15)},
      {"train.batch", train<&T::batch>, "sequences per optimizer step", "sequences", within(1, 1048576)},
      {"train.grain", train<&T::grain>,
       "sequences whose gradients are summed first; 0: the smaller of batch and 16", "sequences",
       within(0, 1048576)},
      {"train.sequence", train<&T::sequence>, "length of a training sequence; 0: model.context", "tokens",
       within(0, kMaxContext)},
      {"train.lr", train<&T::lr>, "learning rate, peak", "", above(0)},
      {"train.min_lr_fraction", train<&T::min_lr_fraction>,
       "learning rate at the end, as a fraction of the peak", "", fraction()},
      {"train.schedule",
       train<&T::schedule>,
       "course of the learning rate after the warm-up",
       "",
       {},
       {"constant", "linear", "cosine", "wsd"}},
      {"train.warmup", train<&T::warmup>, "linear warm-up, as a fraction of the steps", "", fraction()},
      {"train.decay", train<&T::decay>, "wsd: final decay, as a fraction of the steps", "", fraction()},
      {"train.beta1", train<&T::beta1>, "AdamW: decay of the first moment", "", below_one()},
      {"train.beta2", train<&T::beta2>, "AdamW: decay of the second moment", "", below_one()},
      {"train.epsilon", train<&T::epsilon>, "AdamW: epsilon", "", above(0)},
      {"train.weight_decay", train<&T::weight_decay>, "AdamW: decoupled weight decay of the matrices", "",
       at_least(0)},
      {"train.clip", train<&T::clip>, "largest global norm of the gradient; 0: no clipping", "", at_least(0)},
  };
}

std::vector<ConfigKey> step_keys() {
  return {
      {"train.precision",
       train<&T::precision>,
       "storage of activations and matrix products",
       "",
       {},
       {"f32", "bf16", "f64"}},
      {"train.residual_dtype",
       train<&T::residual_dtype>,
       "storage of the residual stream",
       "",
       {},
       {"f32", "bf16"}},
      {"train.recompute",
       train<&T::recompute>,
       "gradient checkpointing: none, what is cheap (selective), every block, or every K-th (\"every 2\")",
       "",
       {},
       {"none", "selective", "block", "every K"}},
      {.path = "train.fit",
       .slot = train<&T::fit>,
       .description = "memory to stay within, as \"512 MiB\": the cheapest plan that fits stands over "
                      "train.recompute; empty: no bound",
       .silent_default = true},
      {.path = "train.spike_guard",
       .slot = train<&T::spike_guard>,
       .description =
           "at a loss train.spike_sigma deviations above the recent ones: skip the update, or stop",
       .words = {"off", "skip", "stop"},
       .silent_default = true},
      {.path = "train.spike_sigma",
       .slot = train<&T::spike_sigma>,
       .description = "deviations that train.spike_guard allows",
       .bounds = above(0),
       .silent_default = true},
      {.path = "train.ema",
       .slot = train<&T::ema>,
       .description = "decay per step of a moving average of the weights, evaluated and exported; 0: none",
       .bounds = below_one(),
       .silent_default = true},
      {"train.seed", train<&T::seed>, "seed of weights, data order and dropout", "", at_least(0)},
      {"train.evaluate_every", train<&T::evaluate_every>, "evaluation interval; 0: at the end only", "steps",
       within(0, kMaxSteps)},
      {"train.checkpoint_every",
       train<&T::checkpoint_every>,
       "checkpoint interval; 0: at the end only",
       "steps",
       within(0, kMaxSteps),
       {},
       false},
      {"train.keep_checkpoints",
       train<&T::keep_checkpoints>,
       "newest checkpoints that are kept",
       "",
       within(1, 1e6),
       {},
       false},
  };
}

// convert/gqa.h has their meaning.
Words conversion_words(std::optional<std::string_view> besides = {}) {
  Words words = {"mean",
                 "mean similar",
                 "mean_scaled",
                 "mean_scaled similar",
                 "first",
                 "random",
                 "aligned",
                 "aligned similar",
                 "aligned_unscaled",
                 "aligned_activations",
                 "aligned_activations similar"};
  if (besides) words.insert(words.begin(), *besides);
  return words;
}

std::vector<ConfigKey> init_and_run_keys() {
  return {
      {"init.from", init<&I::from>,
       "what to start from: a run's directory or checkpoint, or a Hugging Face folder; empty: drawn weights"},
      {"init.conversion",
       init<&I::conversion>,
       "how the KV heads of init.from become fewer: mean of a group (scaled: to its heads' norm), first, "
       "drawn "
       "anew, or mean of heads aligned by weights or activations; similar: groups are searched",
       "",
       {},
       conversion_words("none")},
      {.path = "init.calibration",
       .slot = init<&I::calibration>,
       .description = "training sequences that aligned_activations and similar look at",
       .unit = "sequences",
       .bounds = within(1, 65536),
       .silent_default = true},
      {"run.backend",
       run<&R::backend>,
       "implementation that computes; auto: the fastest there is",
       "",
       {},
       {"auto", "cpu", "cuda", "cudnn", "naive", "reference"},
       false},
      {.path = "run.instruction_set",
       .slot = run<&R::instruction_set>,
       .description = "what the kernels may be made of; auto: the widest that the machine has",
       .words = {"auto", "portable", "avx2", "avx512", "avx512_bf16"},
       .silent_default = true},
      {.path = "run.profile",
       .slot = run<&R::profile>,
       .description = "time each operation, for run.h5 and the report: where the time of a step goes",
       .identity = false,
       .silent_default = true},
      {"run.tensorboard",
       run<&R::tensorboard>,
       "write TensorBoard event files beside run.h5",
       "",
       {},
       {},
       false},
      {"run.threads", run<&R::threads>, "threads; 0: all there are", "threads", within(0, 4096), {}, false},
  };
}

std::vector<ConfigKey> gqa_keys() {
  return {
      {"gqa.kv_heads",
       gqa<&G::kv_heads>,
       "KV heads to convert to; empty: q_heads, q_heads / 2, ... 1",
       "",
       within(1, 1024),
       {},
       false},
      {"gqa.inits",
       gqa<&G::inits>,
       "how KV heads are made from those of the baseline",
       "",
       {},
       conversion_words(),
       false,
       false},
      {"gqa.alphas",
       gqa<&G::alphas>,
       "uptraining, as fractions of the baseline's steps",
       "",
       fraction(),
       {},
       false,
       false},
      {"gqa.uptrain_lr_fraction",
       gqa<&G::uptrain_lr_fraction>,
       "uptraining's peak learning rate, as a fraction of train.lr; then linearly to zero",
       "",
       {.least = 0, .most = 10, .above_least = true},
       {},
       false},
      {"gqa.uptrain_warmup",
       gqa<&G::uptrain_warmup>,
       "uptraining's warm-up, as a fraction of its steps",
       "",
       fraction(),
       {},
       false},
      {"gqa.control_mha",
       gqa<&G::control_mha>,
       "control: the baseline trained on for the same extra tokens",
       "",
       {},
       {},
       false},
      {"gqa.control_scratch",
       gqa<&G::control_scratch>,
       "control: each number of KV heads trained from scratch",
       "",
       {},
       {},
       false},
  };
}

}  // namespace

const std::vector<ConfigKey>& config_keys() {
  static const std::vector<ConfigKey> keys = [] {
    std::vector<ConfigKey> all;
    for (auto table : {study_keys, model_size_keys, model_rope_keys, model_part_keys, data_keys, recipe_keys,
                       step_keys, init_and_run_keys, gqa_keys}) {
      std::vector<ConfigKey> rows = table();
      std::ranges::move(rows, std::back_inserter(all));
    }
    return all;
  }();
  return keys;
}

}  // namespace fovea
