#include "config/validate.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "config/bytes.h"
#include "core/error.h"

namespace fovea {
namespace {

// Every complaint reads "where: path is value: what to change".
class Check {
 public:
  Check(const Config& config, const Sources& sources) : config_(config), sources_(sources) {}

  bool was_set(std::string_view path) const { return sources_.find(path) != sources_.end(); }

  template <class... A>
  void expect(bool good, std::string_view path, fmt::format_string<A...> format, A&&... a) const {
    if (good) return;
    const std::string source = source_of(sources_, path);
    fail_usage("{}: {} is {}: {}", source, path, toml_of(value_of(*find_config_key(path), config_)),
               fmt::format(format, std::forward<A>(a)...));
  }
  /// Of two keys at odds: the one that somebody set, the first if both are.
  std::string_view set_one(std::string_view first, std::string_view second) const {
    return was_set(first) || !was_set(second) ? first : second;
  }
  template <class E>
  void expect_distinct(std::vector<E> list, std::string_view path) const {
    std::ranges::sort(list);
    expect(std::ranges::adjacent_find(list) == list.end(), path, "lists a value twice: remove one");
  }

 private:
  const Config& config_;
  const Sources& sources_;
};

void check_study(const StudyConfig& study, const Check& check) {
  const bool fit =
      study.name.find('/') == std::string::npos && !study.name.starts_with('.') && study.name.size() < 200;
  check.expect(fit, "study.name",
               "must be fit for a folder's name, without / and not beginning with a full stop");
  check.expect_distinct(study.seeds, "study.seeds");
}

void check_heads(const ModelConfig& model, const Check& check) {
  if (model.head_dim == 0)
    check.expect(model.width % model.q_heads == 0, check.set_one("model.q_heads", "model.width"),
                 "model.width = {} must be divisible by model.q_heads = {}, or set model.head_dim",
                 model.width, model.q_heads);
  if (model.kv_heads > 0)
    check.expect(model.q_heads % model.kv_heads == 0, check.set_one("model.kv_heads", "model.q_heads"),
                 "model.kv_heads = {} must divide model.q_heads = {}", model.kv_heads, model.q_heads);
  const std::vector<int64>& per_layer = model.kv_heads_per_layer;
  if (per_layer.empty()) return;
  check.expect(static_cast<int64>(per_layer.size()) == model.layers, "model.kv_heads_per_layer",
               "names {} layers and model.layers is {}: name each layer once", per_layer.size(),
               model.layers);
  for (const int64 heads : per_layer)
    check.expect(model.q_heads % heads == 0, "model.kv_heads_per_layer",
                 "{} KV heads do not divide model.q_heads = {}", heads, model.q_heads);
}

// What each type of RoPE needs, in heads of which `dims` elements are rotated.
void check_rope_type(const ModelConfig& model, int64 dims, const Check& check) {
  const std::string& type = model.rope_type;
  const auto is = [&](std::initializer_list<std::string_view> types) {
    return std::ranges::find(types, type) != types.end();
  };
  check.expect(model.rope_factor > 0 || !is({"linear", "ntk", "dynamic", "llama3"}), "model.rope_type",
               "set model.rope_factor, by how much the context grows");
  check.expect(type != "yarn" || model.rope_factor > 0 || model.rope_original_context > 0, "model.rope_type",
               "set model.rope_factor or model.rope_original_context, to say how much the context grows");
  check.expect(dims > 2 || !is({"ntk", "dynamic"}), "model.rope_type",
               "changes the base by a power of d / (d - 2), and {} elements are rotated", dims);
  if (type == "yarn") {
    check.expect(model.rope_beta_fast > model.rope_beta_slow,
                 check.set_one("model.rope_beta_fast", "model.rope_beta_slow"),
                 "model.rope_beta_fast = {} must be above model.rope_beta_slow = {}", model.rope_beta_fast,
                 model.rope_beta_slow);
    check.expect(model.rope_theta > 1, "model.rope_theta", "yarn needs a base above 1");
  }
  if (type == "llama3")
    check.expect(model.rope_high_freq_factor > model.rope_low_freq_factor,
                 check.set_one("model.rope_high_freq_factor", "model.rope_low_freq_factor"),
                 "model.rope_high_freq_factor = {} must be above model.rope_low_freq_factor = {}",
                 model.rope_high_freq_factor, model.rope_low_freq_factor);
  if (type != "longrope") return;
  for (const auto& [path, factors] : {std::pair("model.rope_short_factors", &model.rope_short_factors),
                                      {"model.rope_long_factors", &model.rope_long_factors}})
    check.expect(static_cast<int64>(factors->size()) == dims / 2, path,
                 "longrope needs one number for each of the {} planes of a head", dims / 2);
  check.expect(model.rope_original_context != 1, "model.rope_original_context",
               "longrope divides by its logarithm: set it to what the model was trained for");
}

void check_rope(const ModelConfig& model, const Check& check) {
  const bool rotates = model.position == "rope" || (model.position == "family" && model.family != "gpt2");
  check.expect(rotates || model.rope_type == "default", "model.rope_type",
               "the model has no RoPE: leave it out, or set model.position = \"rope\"");
  if (!rotates) return;
  const int64 head_dim = model.head_dim ? model.head_dim : model.width / model.q_heads;
  const double of_family = model.family == "neox" ? 0.25 : 1;
  const double part = model.rope_fraction < 0 ? of_family : model.rope_fraction;
  const std::string_view path =
      model.head_dim ? "model.head_dim" : check.set_one("model.width", "model.q_heads");
  check.expect((part < 1 && model.rope_type != "proportional") || head_dim % 2 == 0, path,
               "heads of width {} are odd, and RoPE rotates pairs: make it even", head_dim);
  check.expect(std::floor(part * static_cast<double>(head_dim)) >= 2,
               check.set_one("model.rope_fraction", path),
               "RoPE has no pair to rotate in {} of a head of width {}: set model.position = \"none\"", part,
               head_dim);
  check_rope_type(model, static_cast<int64>(part * static_cast<double>(head_dim)) / 2 * 2, check);
}

void check_windows(const ModelConfig& model, const Check& check) {
  const bool listed = std::ranges::find(model.attention, "window") != model.attention.end();
  const bool of_family = model.family == "mistral" && model.attention.empty();
  if (model.sliding_window == 0)
    check.expect(!listed && !of_family, listed ? "model.attention" : "model.family",
                 "its window layers need model.sliding_window, the keys that a query sees");
  check.expect(static_cast<int64>(model.attention.size()) <= model.layers, "model.attention",
               "names {} layers and model.layers is {}: name each layer once at most", model.attention.size(),
               model.layers);
}

void check_batches(const Config& config, const Check& check) {
  const TrainConfig& train = config.train;
  const int64 sequence = train.sequence ? train.sequence : config.model.context;
  check.expect(sequence <= config.model.context, check.set_one("train.sequence", "model.context"),
               "sequences of {} tokens are longer than model.context = {}", sequence, config.model.context);
  check.expect(train.grain <= train.batch, check.set_one("train.grain", "train.batch"),
               "a grain of {} sequences is larger than train.batch = {}", train.grain, train.batch);
  check.expect(train.tokens == 0 || train.tokens >= train.batch * sequence,
               check.set_one("train.tokens", "train.batch"),
               "one step takes train.batch x sequence = {} x {} = {} tokens, and train.tokens is {}",
               train.batch, sequence, train.batch * sequence, train.tokens);
}

void check_recipe(const Config& config, const Check& check) {
  const TrainConfig& train = config.train;
  if (train.schedule == "wsd")
    check.expect(train.warmup + train.decay <= 1, check.set_one("train.decay", "train.warmup"),
                 "train.warmup = {} and train.decay = {} together are more than the whole run", train.warmup,
                 train.decay);
  check.expect(train.precision != "f64" || config.run.backend == "reference", "train.precision",
               "only run.backend = \"reference\" computes in f64");
  check.expect(train.precision != "f64" || train.residual_dtype == "f32", "train.residual_dtype",
               "train.precision = \"f64\" stores nothing as bf16");
  check.expect(train.fit.empty() || bytes_from_text(train.fit), "train.fit",
               "must be a size as \"512 MiB\": a number above 0 and B, KiB, MiB or GiB");
  check.expect(config.init.conversion == "none" || !config.init.from.empty(), "init.conversion",
               "there is nothing to convert: set init.from to a checkpoint");
}

void check_gqa(const Config& config, const Check& check) {
  const int64 q_heads = config.model.q_heads;
  check.expect(config.model.kv_heads == 0 || config.model.kv_heads == q_heads, "model.kv_heads",
               "the baseline of a gqa study is MHA: leave it out, and list gqa.kv_heads");
  check.expect(config.model.kv_heads_per_layer.empty(), "model.kv_heads_per_layer",
               "the baseline of a gqa study is MHA: leave it out, and list gqa.kv_heads");
  for (const int64 kv_heads : config.gqa.kv_heads)
    check.expect(q_heads % kv_heads == 0, check.set_one("gqa.kv_heads", "model.q_heads"),
                 "{} KV heads do not divide model.q_heads = {}", kv_heads, q_heads);
  check.expect_distinct(config.gqa.kv_heads, "gqa.kv_heads");
  check.expect_distinct(config.gqa.inits, "gqa.inits");
  check.expect_distinct(config.gqa.alphas, "gqa.alphas");
  check.expect(config.init.from.empty(), "init.from", "a gqa study trains its own baseline: leave it out");
}

}  // namespace

void validate(const Config& config, const Sources& sources) {
  const Check check(config, sources);
  check_study(config.study, check);
  check_heads(config.model, check);
  check_rope(config.model, check);
  check_windows(config.model, check);
  check_batches(config, check);
  check_recipe(config, check);
  if (config.study.kind == "gqa") check_gqa(config, check);
}

}  // namespace fovea
