#include "config/validate.h"

#include "tests/config/helpers.h"

namespace fovea {
namespace {

struct Wrong {
  std::string text, line;
};

TEST(Validate, ContradictionsAreToldAtTheKeyToChange) {
  const Folder folder;
  const Wrong cases[] = {
      {"model.q_heads = 7",
       "2 x.toml:1:17: model.q_heads is 7: model.width = 256 must be divisible by model.q_heads = 7, or set "
       "model.head_dim"},
      {"model.width = 100",
       "2 x.toml:1:15: model.width is 100: model.width = 100 must be divisible by model.q_heads = 8, or set "
       "model.head_dim"},
      {"model.kv_heads = 3",
       "2 x.toml:1:18: model.kv_heads is 3: model.kv_heads = 3 must divide model.q_heads = 8"},
      {"model.kv_heads = 16",
       "2 x.toml:1:18: model.kv_heads is 16: model.kv_heads = 16 must divide model.q_heads = 8"},
      {"model.layers = 2\nmodel.kv_heads_per_layer = [4, 2, 1]",
       "2 x.toml:2:28: model.kv_heads_per_layer is [4, 2, 1]: names 3 layers and model.layers is 2: name "
       "each "
       "layer once"},
      {"model.layers = 2\nmodel.kv_heads_per_layer = [4, 3]",
       "2 x.toml:2:28: model.kv_heads_per_layer is [4, 3]: 3 KV heads do not divide model.q_heads = 8"},
      {"study.kind = \"gqa\"\nmodel.layers = 2\nmodel.kv_heads_per_layer = [8, 8]",
       "2 x.toml:3:28: model.kv_heads_per_layer is [8, 8]: the baseline of a gqa study is MHA: leave it out, "
       "and list gqa.kv_heads"},
      {"model.head_dim = 33",
       "2 x.toml:1:18: model.head_dim is 33: heads of width 33 are odd, and RoPE rotates pairs: make it "
       "even"},
      {"model.width = 24",
       "2 x.toml:1:15: model.width is 24: heads of width 3 are odd, and RoPE rotates pairs: make it even"},
      {"model.rope_fraction = 0.03",
       "2 x.toml:1:23: model.rope_fraction is 0.03: RoPE has no pair to rotate in 0.03 of a head of width "
       "32: set "
       "model.position = \"none\""},
      {"model.rope_type = \"yarn\"",
       "2 x.toml:1:19: model.rope_type is \"yarn\": set model.rope_factor or model.rope_original_context, to "
       "say how much the context grows"},
      {"model.rope_type = \"linear\"",
       "2 x.toml:1:19: model.rope_type is \"linear\": set model.rope_factor, by how much the context grows"},
      {"model.family = \"gpt2\"\nmodel.rope_type = \"linear\"\nmodel.rope_factor = 2",
       "2 x.toml:2:19: model.rope_type is \"linear\": the model has no RoPE: leave it out, or set "
       "model.position = \"rope\""},
      {"model.rope_type = \"ntk\"\nmodel.rope_factor = 2\nmodel.head_dim = 2",
       "2 x.toml:1:19: model.rope_type is \"ntk\": changes the base by a power of d / (d - 2), and 2 "
       "elements "
       "are rotated"},
      {"model.rope_type = \"yarn\"\nmodel.rope_factor = 2\nmodel.rope_beta_slow = 32",
       "2 x.toml:3:24: model.rope_beta_slow is 32: model.rope_beta_fast = 32 must be above "
       "model.rope_beta_slow = 32"},
      {"model.rope_type = \"yarn\"\nmodel.rope_factor = 2\nmodel.rope_theta = 1",
       "2 x.toml:3:20: model.rope_theta is 1: yarn needs a base above 1"},
      {"model.rope_type = \"llama3\"\nmodel.rope_factor = 2\nmodel.rope_high_freq_factor = 0.5",
       "2 x.toml:3:31: model.rope_high_freq_factor is 0.5: model.rope_high_freq_factor = 0.5 must be above "
       "model.rope_low_freq_factor = 1"},
      {"model.rope_type = \"longrope\"\nmodel.rope_short_factors = [1, 2]",
       "2 x.toml:2:28: model.rope_short_factors is [1, 2]: longrope needs one number for each of the 16 "
       "planes of a head"},
      {"model.rope_type = \"longrope\"\nmodel.head_dim = 4\nmodel.rope_short_factors = [1, 2]\n"
       "model.rope_long_factors = [1, 2]\nmodel.rope_original_context = 1",
       "2 x.toml:5:31: model.rope_original_context is 1: longrope divides by its logarithm: set it to what "
       "the model was trained for"},
      {"model.attention = [\"full\", \"window\"]",
       "2 x.toml:1:19: model.attention is [\"full\", \"window\"]: its window layers need "
       "model.sliding_window, the "
       "keys that a query sees"},
      {"model.family = \"mistral\"",
       "2 x.toml:1:16: model.family is \"mistral\": its window layers need model.sliding_window, the keys "
       "that a query "
       "sees"},
      {"model.layers = 1\nmodel.attention = [\"full\", \"full\"]",
       "2 x.toml:2:19: model.attention is [\"full\", \"full\"]: names 2 layers and model.layers is 1: name "
       "each layer "
       "once at most"},
      {"train.sequence = 512",
       "2 x.toml:1:18: train.sequence is 512: sequences of 512 tokens are longer than model.context = 256"},
      {"train.grain = 32",
       "2 x.toml:1:15: train.grain is 32: a grain of 32 sequences is larger than train.batch = 16"},
      {"train.tokens = 100",
       "2 x.toml:1:16: train.tokens is 100: one step takes train.batch x sequence = 16 x 256 = 4096 tokens, "
       "and "
       "train.tokens is 100"},
      {"train.schedule = \"wsd\"\ntrain.decay = 0.99",
       "2 x.toml:2:15: train.decay is 0.99: train.warmup = 0.025 and train.decay = 0.99 together are more "
       "than the "
       "whole run"},
      {"train.fit = \"512 MB\"",
       "2 x.toml:1:13: train.fit is \"512 MB\": must be a size as \"512 MiB\": a number above 0 and B, KiB, "
       "MiB "
       "or GiB"},
      {"train.precision = \"f64\"",
       "2 x.toml:1:19: train.precision is \"f64\": only run.backend = \"reference\" computes in f64"},
      {"train.precision = \"f64\"\nrun.backend = \"reference\"\ntrain.residual_dtype = \"bf16\"",
       "2 x.toml:3:24: train.residual_dtype is \"bf16\": train.precision = \"f64\" stores nothing as bf16"},
      {"init.conversion = \"mean\"",
       "2 x.toml:1:19: init.conversion is \"mean\": there is nothing to convert: set init.from to a "
       "checkpoint"},
      {"study.seeds = [1, 2, 1]", "2 x.toml:1:15: study.seeds is [1, 2, 1]: lists a value twice: remove one"},
      {"study.name = \"../up\"",
       "2 x.toml:1:14: study.name is \"../up\": must be fit for a folder's name, without / and not beginning "
       "with a "
       "full stop"},
      {"study.kind = \"gqa\"\ngqa.kv_heads = [4, 3]",
       "2 x.toml:2:16: gqa.kv_heads is [4, 3]: 3 KV heads do not divide model.q_heads = 8"},
      {"study.kind = \"gqa\"\nmodel.kv_heads = 2",
       "2 x.toml:2:18: model.kv_heads is 2: the baseline of a gqa study is MHA: leave it out, and list "
       "gqa.kv_heads"},
      {"study.kind = \"gqa\"\ngqa.alphas = [0, 0.0]",
       "2 x.toml:2:14: gqa.alphas is [0, 0]: lists a value twice: remove one"},
      {"study.kind = \"gqa\"\ninit.from = \"runs/a\"",
       "2 x.toml:2:13: init.from is \"runs/a\": a gqa study trains its own baseline: leave it out"},
  };
  for (const auto& [text, line] : cases) EXPECT_EQ(folder.error_in(text), line) << text;
}

TEST(Validate, WhatOnlyLooksOddPasses) {
  const Folder folder;
  for (const std::string text :
       {"model.head_dim = 33\nmodel.position = \"learned\"", "model.head_dim = 33\nmodel.family = \"gpt2\"",
        "model.head_dim = 33\nmodel.family = \"neox\"", "model.q_heads = 7\nmodel.head_dim = 64",
        "train.schedule = \"wsd\"\ntrain.decay = 0.975", "train.warmup = 1\ntrain.decay = 1",
        "train.precision = \"f64\"\nrun.backend = \"reference\"", "gqa.kv_heads = [3]",
        "init.from = \"a\"\ninit.conversion = \"first\"", "train.sequence = 128\ntrain.grain = 16",
        "model.family = \"mistral\"\nmodel.attention = [\"full\"]", "train.tokens = 4096", "train.tokens = 0",
        "model.layers = 2\nmodel.kv_heads_per_layer = [4, 1]"})
    EXPECT_EQ(folder.error_in(text), "no error") << text;
}

TEST(Validate, AConfigurationWithoutSourcesBlamesTheDefault) {
  Config config;
  config.model.q_heads = 7;
  try {
    validate(config, {});
    FAIL() << "7 heads in a width of 256 passed";
  } catch (const UserError& error) {
    EXPECT_TRUE(std::string(error.what()).starts_with("default: model.q_heads is 7: ")) << error.what();
  }
}

}  // namespace
}  // namespace fovea
