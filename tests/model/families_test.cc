// Families against the models that were published under their names.

#include "model/families.h"
#include "model/describe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "model/decoder.h"

namespace fovea {
namespace {

struct Published {
  const char* name;
  const char* family;
  int64 vocab, layers, width, q_heads, kv_heads, head_dim, hidden, context;
  int64 parameters;  ///< as counted on the published weights, tied ones once
  std::function<void(ModelConfig&)> change = [](ModelConfig&) {};
};
void PrintTo(const Published& p, std::ostream* out) { *out << p.name; }

const Published kPublished[] = {
    {"Llama_2_7B", "llama", 32000, 32, 4096, 32, 32, 0, 11008, 4096, 6738415616},
    {"Llama_3_8B", "llama", 128256, 32, 4096, 32, 8, 0, 14336, 8192, 8030261248},
    {"Mistral_7B", "mistral", 32000, 32, 4096, 32, 8, 0, 14336, 32768, 7241732096,
     [](ModelConfig& c) { c.sliding_window = 4096; }},
    {"Qwen2_0_5B", "qwen2", 151936, 24, 896, 14, 2, 0, 4864, 32768, 494032768},
    {"Qwen2_7B", "qwen2", 152064, 28, 3584, 28, 4, 0, 18944, 32768, 7615616512,
     [](ModelConfig& c) { c.tie_embeddings = "no"; }},
    {"Qwen3_0_6B", "qwen3", 151936, 28, 1024, 16, 8, 128, 3072, 40960, 596049920},
    {"GPT_2", "gpt2", 50257, 12, 768, 12, 0, 0, 0, 1024, 124439808},
    {"GPT_2_XL", "gpt2", 50257, 48, 1600, 25, 0, 0, 0, 1024, 1557611200},
    {"Pythia_70M", "neox", 50304, 6, 512, 8, 0, 0, 2048, 2048, 70426624},
    {"GPT_NeoX_20B", "neox", 50432, 44, 6144, 64, 0, 0, 24576, 2048, 20554567680},
    {"Gemma_2B", "gemma", 256000, 18, 2048, 8, 1, 256, 16384, 8192, 2506172416},
    {"Gemma_2_2B", "gemma2", 256000, 26, 2304, 8, 4, 256, 9216, 8192, 2614341888,
     [](ModelConfig& c) { c.sliding_window = 4096; }},
};

ModelConfig config_of(const Published& p) {
  ModelConfig config;
  config.family = p.family;
  config.layers = p.layers;
  config.width = p.width;
  config.q_heads = p.q_heads;
  config.kv_heads = p.kv_heads;
  config.head_dim = p.head_dim;
  config.hidden = p.hidden;
  config.context = p.context;
  p.change(config);
  return config;
}

class PublishedModel : public testing::TestWithParam<Published> {};

TEST_P(PublishedModel, HasAsManyParameters) {
  const Published& p = GetParam();
  EXPECT_EQ(Decoder(decoder_shape(config_of(p), p.vocab)).layout().count(), p.parameters);
}

INSTANTIATE_TEST_SUITE_P(Models, PublishedModel, testing::ValuesIn(kPublished),
                         [](const auto& test) { return test.param.name; });

ModelConfig small(const std::string& family) {
  ModelConfig config;
  config.family = family;
  config.layers = 4;
  config.width = 64;
  config.q_heads = 4;
  config.sliding_window = family == "mistral" || family == "gemma2" ? 16 : 0;
  return config;
}
DecoderShape shape_of(const std::string& family, const std::function<void(ModelConfig&)>& change = {}) {
  ModelConfig config = small(family);
  if (change) change(config);
  return decoder_shape(config, 97);
}

TEST(Families, MakeTheirPublishedChoices) {
  const DecoderShape llama = shape_of("llama");
  EXPECT_EQ(llama.norm.kind, NormKind::rms_norm);
  EXPECT_TRUE(llama.gated);
  EXPECT_FALSE(llama.tie_embeddings || llama.qkv_bias || llama.qk_norm || llama.parallel_residual);
  EXPECT_EQ(llama.rope.dims, 16);
  EXPECT_FLOAT_EQ(llama.attention_scale, 0.25f);
  EXPECT_EQ(llama.uniform_kv_heads(), 4);
  EXPECT_EQ(llama.hidden % 32, 0);

  EXPECT_TRUE(shape_of("qwen2").qkv_bias);
  EXPECT_FALSE(shape_of("qwen2").out_bias);
  EXPECT_TRUE(shape_of("qwen3").qk_norm);
  EXPECT_FALSE(shape_of("qwen3").qkv_bias);

  const DecoderShape gpt2 = shape_of("gpt2");
  EXPECT_EQ(gpt2.position, PositionKind::learned);
  EXPECT_EQ(gpt2.activation, ActivationKind::gelu_tanh);
  EXPECT_EQ(gpt2.norm.kind, NormKind::layer_norm);
  EXPECT_TRUE(gpt2.tie_embeddings && gpt2.qkv_bias && gpt2.out_bias && gpt2.mlp_bias && !gpt2.gated);
  EXPECT_EQ(gpt2.hidden, 256);

  const DecoderShape neox = shape_of("neox");
  EXPECT_EQ(neox.activation, ActivationKind::gelu);
  EXPECT_EQ(neox.rope.dims, 4);
  EXPECT_TRUE(neox.parallel_residual && !neox.tie_embeddings);

  const DecoderShape gemma = shape_of("gemma");
  EXPECT_EQ(gemma.embedding_scale, 8);
  EXPECT_EQ(gemma.norm.weight_offset, 1);
  EXPECT_EQ(gemma.attention_softcap, 0);

  const DecoderShape gemma2 = shape_of("gemma2");
  EXPECT_TRUE(gemma2.post_norms);
  EXPECT_EQ(gemma2.attention_softcap, 50);
  EXPECT_EQ(gemma2.logit_softcap, 30);
}

std::vector<int64> windows(const DecoderShape& shape) {
  std::vector<int64> windows;
  for (const Mask& mask : shape.masks) {
    EXPECT_TRUE(mask.causal);
    windows.push_back(mask.left + 1);  // keys seen, self included; 0: all
  }
  return windows;
}

TEST(Families, GiveEachLayerItsMask) {
  using testing::ElementsAre;
  EXPECT_THAT(windows(shape_of("llama")), ElementsAre(0, 0, 0, 0));
  EXPECT_THAT(windows(shape_of("mistral")), ElementsAre(16, 16, 16, 16));
  EXPECT_THAT(windows(shape_of("gemma2")), ElementsAre(16, 0, 16, 0));
  EXPECT_THAT(windows(shape_of("gemma2", [](ModelConfig& c) { c.sliding_window = 0; })),
              ElementsAre(0, 0, 0, 0));
  EXPECT_THAT(windows(shape_of("llama", [](ModelConfig& c) { c.sliding_window = 5; })),
              ElementsAre(5, 5, 5, 5));
  EXPECT_THAT(windows(shape_of("gpt2",
                               [](ModelConfig& c) {
                                 c.sliding_window = 5;
                                 c.attention = {"full", "window", "window"};
                               })),
              ElementsAre(0, 5, 5, 0));
}

TEST(Families, WhatTheConfigurationSaysStandsOverThem) {
  const DecoderShape shape = shape_of("llama", [](ModelConfig& c) {
    c.norm = "layer_norm";
    c.norm_epsilon = 0.25;
    c.activation = "relu";
    c.gated = "no";
    c.position = "learned";
    c.qkv_bias = c.out_bias = c.mlp_bias = c.tie_embeddings = c.qk_norm = c.parallel_residual = "yes";
    c.embedding_scale = "yes";
    c.attention_scale = 1.5;
    c.attention_softcap = 5;
    c.logit_softcap = 6;
    c.kv_heads = 2;
    c.head_dim = 32;
  });
  EXPECT_EQ(shape.norm.kind, NormKind::layer_norm);
  EXPECT_EQ(shape.norm.epsilon, 0.25f);
  EXPECT_EQ(shape.activation, ActivationKind::relu);
  EXPECT_FALSE(shape.gated);
  EXPECT_EQ(shape.hidden, 256);  // of a plain MLP
  EXPECT_EQ(shape.position, PositionKind::learned);
  EXPECT_TRUE(shape.qkv_bias && shape.out_bias && shape.mlp_bias && shape.tie_embeddings && shape.qk_norm &&
              shape.parallel_residual);
  EXPECT_EQ(shape.embedding_scale, 8);
  EXPECT_EQ(shape.attention_scale, 1.5f);
  EXPECT_EQ(shape.attention_softcap, 5);
  EXPECT_EQ(shape.logit_softcap, 6);
  EXPECT_EQ(shape.group(3), 2);
  EXPECT_EQ(shape.head_dim, 32);
  EXPECT_EQ(shape.kv_bytes_per_token(2), 2 * 4 * 2 * 32 * 2);

  const DecoderShape plain = shape_of("gemma2", [](ModelConfig& c) {
    c.attention_softcap = c.logit_softcap = 0;
    c.embedding_scale = c.tie_embeddings = "no";
    c.activation = "silu";
    c.rope_fraction = 0.5;
    c.rope_interleaved = true;
  });
  EXPECT_EQ(plain.attention_softcap, 0);
  EXPECT_EQ(plain.logit_softcap, 0);
  EXPECT_EQ(plain.embedding_scale, 1);
  EXPECT_FALSE(plain.tie_embeddings);
  EXPECT_EQ(plain.activation, ActivationKind::silu);
  EXPECT_EQ(plain.rope.dims, 8);
  EXPECT_TRUE(plain.rope.interleaved);
}

TEST(Families, KvHeadsMayDifferByLayer) {
  const DecoderShape shape = shape_of("llama", [](ModelConfig& c) {
    c.kv_heads = 2;  // which the list stands over
    c.kv_heads_per_layer = {4, 1, 2, 1};
  });
  EXPECT_THAT(shape.kv_heads, testing::ElementsAre(4, 1, 2, 1));
  EXPECT_EQ(shape.uniform_kv_heads(), 0);
  EXPECT_EQ(shape.group(0), 1);
  EXPECT_EQ(shape.group(3), 4);
  EXPECT_EQ(shape.kv_bytes_per_token(4), 2 * (4 + 1 + 2 + 1) * 16 * 4);
  EXPECT_THAT(describe(shape), testing::HasSubstr("4 query and 4/1/2/1 KV heads of 16"));
  EXPECT_EQ(shape_of("llama",
                     [](ModelConfig& c) {
                       c.kv_heads_per_layer = {2, 2, 2, 2};
                     })
                .uniform_kv_heads(),
            2);
}

// A LayerNorm has no offset to its weight: one that begins at zero would pass nothing on, for ever.
TEST(Families, LayerNormOfAnyFamilyBeginsAsTheIdentity) {
  for (const char* family : {"llama", "gemma", "gemma2"}) {
    const Decoder decoder(shape_of(family, [](ModelConfig& c) { c.norm = "layer_norm"; }));
    for (const Parameter& p : decoder.layout().parameters())
      if (p.name.ends_with("norm.weight")) {
        EXPECT_EQ(p.init.constant, 1) << family << " " << p.name;
      }
  }
}

TEST(Families, RefuseContradictionsInOneLine) {
  const auto refusal = [](const std::function<void(ModelConfig&)>& change) -> std::string {
    try {
      shape_of("llama", change);
    } catch (const UserError& error) {
      EXPECT_EQ(error.code(), ExitCode::usage);
      EXPECT_THAT(error.what(), testing::Not(testing::HasSubstr("\n")));
      return error.what();
    }
    return "accepted";
  };
  using testing::HasSubstr;
  EXPECT_THAT(refusal([](ModelConfig& c) { c.family = "lama"; }), HasSubstr("choose llama, mistral"));
  EXPECT_THAT(refusal([](ModelConfig& c) { c.kv_heads = 3; }), HasSubstr("does not divide"));
  EXPECT_THAT(refusal([](ModelConfig& c) { c.kv_heads_per_layer = {4, 2, 1}; }), HasSubstr("names 3 layers"));
  EXPECT_THAT(refusal([](ModelConfig& c) {
                c.kv_heads_per_layer = {4, 2, 1, 3};
              }),
              HasSubstr("model.kv_heads_per_layer = 3 does not divide model.q_heads = 4"));
  EXPECT_THAT(refusal([](ModelConfig& c) { c.attention = {"window"}; }), HasSubstr("sliding_window"));
  EXPECT_THAT(refusal([](ModelConfig& c) { c.attention = {"sparse"}; }), HasSubstr("choose full or window"));
  EXPECT_THAT(refusal([](ModelConfig& c) { c.family = "mistral"; }), HasSubstr("sliding_window"));
  EXPECT_THAT(refusal([](ModelConfig& c) { c.width = 8; }), HasSubstr("set model.hidden"));
}

}  // namespace
TEST(Describe, SaysWhatTheFamilyChose) {
  ModelConfig config;
  config.family = "gemma2";
  config.layers = 4;
  config.kv_heads = 2;
  config.sliding_window = 8;
  const std::string text = describe(decoder_shape(config, 256));
  for (const char* words : {"4, 2 of them with a window", "8 query and 2 KV heads of 32, width 256",
                            "GELU (tanh), gated", "RMSNorm, epsilon 1e-06, weight 1 + w",
                            "post-norms, scaled embeddings", "attention softcap 50, logit softcap 30"})
    EXPECT_THAT(text, testing::HasSubstr(words));
  config.attention_scale = 1;
  EXPECT_THAT(text, testing::Not(testing::HasSubstr("attention scale")));
  EXPECT_THAT(describe(decoder_shape(config, 256)),
              testing::HasSubstr("attention scale 1, attention softcap"));
  config = {};
  config.family = "gpt2";
  const std::string plain = describe(decoder_shape(config, 256));
  for (const char* words :
       {"all with full attention", "learned, 256 of them", "q, k, v, attention out, MLP", "besides"})
    EXPECT_THAT(plain, testing::HasSubstr(words));
}

}  // namespace fovea
