#include "convert/hugging_face.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include <nlohmann/json.hpp>

#include "convert/gqa.h"
#include "convert/hugging_face_config.h"
#include "convert/safetensors.h"
#include "convert/safetensors_writer.h"
#include "core/error.h"
#include "core/file.h"
#include "model/decoder.h"
#include "model/families.h"
#include "record/hdf5.h"
#include "small_decoder.h"
#include "temporary_folder.h"

namespace fovea {
namespace {

using nlohmann::json;
using testing::HasSubstr;

const std::filesystem::path kGolden = std::filesystem::path(FOVEA_GOLDEN) / "models";
constexpr const char* kModels[] = {"llama_mha",        "llama_gqa_bf16", "mistral_window",
                                   "qwen2_bias_tied",  "gpt2",           "gpt_neox_partial_rotary",
                                   "gemma_wide_heads", "llama_linear",   "llama_dynamic",
                                   "llama_yarn",       "llama_longrope", "llama_llama3_old_spelling"};

Decoder decoder_of(const StoredModel& model) {
  return Decoder(model.shape(), model.config.context, DType::f64);
}

std::vector<float> parameters_of(const StoredModel& model) {
  return read_all(model.parameters, model.layout);
}

class GoldenModel : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(All, GoldenModel, testing::ValuesIn(kModels),
                         [](const auto& model) { return model.param; });

TEST_P(GoldenModel, HasTheLogitsOfTransformers) {
  const StoredModel model = open_hugging_face(kGolden / GetParam());
  const h5::Group file = h5::open_file(kGolden / GetParam() / "reference.h5");
  const auto expected = file.read<double>("logits").values;
  const auto tokens = file.read<int32>("tokens");
  const Decoder decoder(model.shape(), tokens.shape[1], DType::f64);
  const auto actual = logits_of(decoder, parameters_of(model), tokens.values, tokens.shape[0]);
  ASSERT_EQ(actual.size(), expected.size());
  double largest = 0, error = 0;
  for (size_t i = 0; i < actual.size(); ++i) {
    ASSERT_TRUE(std::isfinite(actual[i]));
    largest = std::max(largest, std::abs(expected[i]));
    error = std::max(error, std::abs(actual[i] - expected[i]));
  }
  // The rule allows 2e-4; an independent implementation comes within 2 % of it, most bugs do not come within
  // 30 %.
  EXPECT_LE(error, 0.05 * 2e-4 * largest);
}

// All heads of a group being alike, it does not matter that they become one.
TEST(GqaConversion, TheMeanOfIdenticalHeadsKeepsTheModelsFunction) {
  const StoredModel mha = open_hugging_face(kGolden / "llama_mha");
  const Decoder before = decoder_of(mha);
  std::vector<float> parameters = parameters_of(mha);
  const int64 head = mha.config.head_dim;
  for (const Parameter& p : before.layout().parameters())
    if (p.name.find(".k.weight") != std::string::npos || p.name.find(".v.weight") != std::string::npos)
      for (const int64 h : {1, 3})
        std::copy_n(parameters.begin() + p.offset + (h - 1) * head * p.columns, head * p.columns,
                    parameters.begin() + p.offset + h * head * p.columns);
  StoredModel gqa = mha;
  gqa.config.kv_heads = 2;
  const Decoder after = decoder_of(gqa);
  const std::vector<float> converted =
      convert_kv_heads(before, parameters, after, {conversion_named("mean")});
  const h5::Group file = h5::open_file(kGolden / "llama_mha" / "reference.h5");
  const auto tokens = file.read<int32>("tokens");
  const auto expected = logits_of(before, parameters, tokens.values, tokens.shape[0]),
             actual = logits_of(after, converted, tokens.values, tokens.shape[0]);
  for (size_t i = 0; i < actual.size(); ++i) ASSERT_NEAR(actual[i], expected[i], 1e-12);
}

/// A copy of a golden model with another config.json, imported; the one line of its error.
std::string error_with(const std::string& name, const json& changes) {
  const TemporaryFolder folder;
  json config = json::parse(read_file(kGolden / name / "config.json"));
  config.merge_patch(changes);
  write_file_atomically(folder / "config.json", config.dump());
  std::filesystem::copy(kGolden / name / "model.safetensors", folder / "model.safetensors");
  try {
    open_hugging_face(folder.path());
  } catch (const UserError& error) {
    EXPECT_EQ(error.code(), ExitCode::input) << error.what();
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << error.what();
    return error.what();
  }
  return "no error";
}

TEST(HuggingFace, ConfigurationsThatCannotBeAreRefusedInOneLine) {
  const auto error = [](const json& changes) { return error_with("llama_mha", changes); };
  EXPECT_EQ(error({{"architectures", nullptr}}), "no error");
  EXPECT_THAT(error({{"model_type", "t5\n"}}), HasSubstr("model_type \"t5\\n\" is not supported: llama"));
  EXPECT_THAT(error({{"model_type", nullptr}}), HasSubstr("model_type must be a string, it is absent"));
  EXPECT_THAT(error({{"hidden_size", "64"}}), HasSubstr("hidden_size must be an integer from 1 to"));
  EXPECT_THAT(error({{"hidden_size", -64}}), HasSubstr("it is -64"));
  EXPECT_THAT(error({{"hidden_size", 64.5}}), HasSubstr("it is 64.5"));
  EXPECT_THAT(error({{"vocab_size", 18446744073709551615u}}), HasSubstr("vocab_size must be"));
  EXPECT_THAT(error({{"vocab_size", 16777216}, {"hidden_size", 16777216}}),
              HasSubstr("this model wants (16777216, 16777216)"));
  EXPECT_THAT(error({{"num_attention_heads", 6}}), HasSubstr("does not divide"));
  EXPECT_THAT(error({{"hidden_act", "mish"}}), HasSubstr("activation \"mish\" is not known"));
  EXPECT_THAT(error({{"rms_norm_eps", 0}}), HasSubstr("must be a positive number"));
  EXPECT_THAT(error({{"rope_parameters", {{"rope_type", "mrope"}}}}),
              HasSubstr("rope_type \"mrope\" is not supported"));
  EXPECT_THAT(error_with("gpt2", {{"scale_attn_by_inverse_layer_idx", true}}),
              HasSubstr("scale_attn_by_inverse_layer_idx is not supported"));
  EXPECT_THAT(error_with("gemma_wide_heads", {{"use_bidirectional_attention", true}}),
              HasSubstr("use_bidirectional_attention is not supported"));
  EXPECT_THAT(error_with("qwen2_bias_tied", {{"layer_types", {"full_attention"}}}),
              HasSubstr("names 1 layers"));
  EXPECT_THAT(error_with("qwen2_bias_tied", {{"layer_types", {"full_attention", "sliding_attention"}}}),
              HasSubstr("sliding_window is absent"));
}

TEST(HuggingFace, WeightsThatDoNotFitTheConfigurationAreRefusedInOneLine) {
  EXPECT_THAT(error_with("llama_mha", {{"intermediate_size", 48}}),
              HasSubstr("has the shape (56, 64), this model wants (48, 64)"));
  EXPECT_THAT(error_with("llama_mha", {{"num_hidden_layers", 1}}), HasSubstr("has no place in the model"));
  EXPECT_THAT(error_with("llama_gqa_bf16", {{"attention_bias", true}}),
              HasSubstr("holds no tensor model.layers.0.self_attn.q_proj.bias"));
  EXPECT_THAT(error_with("qwen2_bias_tied", {{"model_type", "mistral"}}),
              HasSubstr("k_proj.bias has no place"));
  EXPECT_THAT(
      error_with("llama_mha", {{"tie_word_embeddings", true}}),
      HasSubstr("lm_head.weight differs from model.embed_tokens.weight, to which config.json ties it"));
}

TEST(HuggingFace, MissingFilesAreNamed) {
  const TemporaryFolder folder;
  EXPECT_FALSE(is_hugging_face_model(folder.path()));
  EXPECT_TRUE(is_hugging_face_model(kGolden / "gpt2"));
  const auto error = [&] {
    try {
      open_hugging_face(folder.path());
    } catch (const UserError& e) {
      return std::string(e.what());
    }
    return std::string("no error");
  };
  EXPECT_THAT(error(), HasSubstr("config.json"));
  write_file_atomically(folder / "config.json", "{\"model_type\": ");
  EXPECT_THAT(error(), HasSubstr("not valid JSON"));
  write_file_atomically(folder / "config.json", "[1]");
  EXPECT_THAT(error(), HasSubstr("not a JSON object"));
  write_file_atomically(folder / "config.json", read_file(kGolden / "gpt2" / "config.json"));
  EXPECT_THAT(error(), HasSubstr("holds neither model.safetensors nor model.safetensors.index.json"));
}

/// A model of one layer whose tensors hold a number each: 1, 2, ... in the order of `names`.
StoredModel import_numbered(const json& config,
                            const std::vector<std::pair<std::string, std::vector<int64>>>& names) {
  const TemporaryFolder folder;
  std::vector<Buffer> buffers;
  std::vector<NamedView> tensors;
  for (const auto& [name, shape] : names) {
    const int64 rows = shape[0], columns = shape.size() > 1 ? shape[1] : 1;
    buffers.emplace_back(DType::f32, std::initializer_list<int64>{rows * columns});
    const View flat = buffers.back();
    std::fill_n(flat.data<float>(), flat.elements(), static_cast<float>(buffers.size()));
    tensors.push_back({name, shape.size() > 1 ? flat.reshape({rows, columns}) : flat});
  }
  write_safetensors(folder / "model.safetensors", tensors, {});
  write_file_atomically(folder / "config.json", config.dump());
  return open_hugging_face(folder.path());
}

void expect_numbers(const StoredModel& model, const std::vector<std::string>& names) {
  const std::vector<float> parameters = parameters_of(model);
  const ParameterLayout layout = Decoder(decoder_shape(model.config, model.vocabulary)).layout();
  ASSERT_EQ(layout.parameters().size(), names.size());
  for (size_t i = 0; i < names.size(); ++i) {
    const ParameterId id = layout.find(names[i]);
    ASSERT_NE(id, kNoParameter) << names[i];
    for (int64 e = 0; e < layout[id].elements(); ++e)
      ASSERT_EQ(parameters[static_cast<size_t>(layout[id].offset + e)], static_cast<float>(i + 1))
          << names[i];
  }
}

const json kSmall = {{"vocab_size", 7},          {"num_hidden_layers", 1},       {"hidden_size", 12},
                     {"num_attention_heads", 4}, {"num_key_value_heads", 2},     {"head_dim", 4},
                     {"intermediate_size", 10},  {"max_position_embeddings", 64}};

TEST(HuggingFace, Gemma2FindsEachTensorItsPlace) {
  json config = kSmall;
  config.update({{"model_type", "gemma2"},
                 {"query_pre_attn_scalar", 16},
                 {"sliding_window", 8},
                 {"final_logit_softcapping", nullptr}});
  const std::string layer = "model.layers.0.", block = "blocks.0.";
  const StoredModel model = import_numbered(config, {{"model.embed_tokens.weight", {7, 12}},
                                                     {layer + "input_layernorm.weight", {12}},
                                                     {layer + "post_attention_layernorm.weight", {12}},
                                                     {layer + "pre_feedforward_layernorm.weight", {12}},
                                                     {layer + "post_feedforward_layernorm.weight", {12}},
                                                     {layer + "self_attn.q_proj.weight", {16, 12}},
                                                     {layer + "self_attn.k_proj.weight", {8, 12}},
                                                     {layer + "self_attn.v_proj.weight", {8, 12}},
                                                     {layer + "self_attn.o_proj.weight", {12, 16}},
                                                     {layer + "mlp.gate_proj.weight", {10, 12}},
                                                     {layer + "mlp.up_proj.weight", {10, 12}},
                                                     {layer + "mlp.down_proj.weight", {12, 10}},
                                                     {"model.norm.weight", {12}}});
  expect_numbers(
      model,
      {"embed.weight", block + "attention_norm.weight", block + "attention_post_norm.weight",
       block + "mlp_norm.weight", block + "mlp_post_norm.weight", block + "attention.q.weight",
       block + "attention.k.weight", block + "attention.v.weight", block + "attention.out.weight",
       block + "mlp.gate.weight", block + "mlp.up.weight", block + "mlp.down.weight", "final_norm.weight"});
  EXPECT_EQ(model.shape().attention_scale, 0.25f);  // 1 / sqrt(query_pre_attn_scalar)
  EXPECT_EQ(model.config.attention, std::vector<std::string>{"window"});
  EXPECT_EQ(model.config.sliding_window, 8);
  EXPECT_EQ(model.config.attention_softcap, 50);
  EXPECT_EQ(model.config.logit_softcap, 0);
}

TEST(HuggingFace, Qwen3FindsEachTensorItsPlace) {
  json config = kSmall;
  config.update({{"model_type", "qwen3"}, {"tie_word_embeddings", false}});
  const std::string layer = "model.layers.0.", block = "blocks.0.";
  const StoredModel model = import_numbered(config, {{"model.embed_tokens.weight", {7, 12}},
                                                     {layer + "input_layernorm.weight", {12}},
                                                     {layer + "post_attention_layernorm.weight", {12}},
                                                     {layer + "self_attn.q_proj.weight", {16, 12}},
                                                     {layer + "self_attn.q_norm.weight", {4}},
                                                     {layer + "self_attn.k_proj.weight", {8, 12}},
                                                     {layer + "self_attn.k_norm.weight", {4}},
                                                     {layer + "self_attn.v_proj.weight", {8, 12}},
                                                     {layer + "self_attn.o_proj.weight", {12, 16}},
                                                     {layer + "mlp.gate_proj.weight", {10, 12}},
                                                     {layer + "mlp.up_proj.weight", {10, 12}},
                                                     {layer + "mlp.down_proj.weight", {12, 10}},
                                                     {"model.norm.weight", {12}},
                                                     {"lm_head.weight", {7, 12}}});
  expect_numbers(
      model, {"embed.weight", block + "attention_norm.weight", block + "mlp_norm.weight",
              block + "attention.q.weight", block + "attention.q_norm.weight", block + "attention.k.weight",
              block + "attention.k_norm.weight", block + "attention.v.weight", block + "attention.out.weight",
              block + "mlp.gate.weight", block + "mlp.up.weight", block + "mlp.down.weight",
              "final_norm.weight", "head.weight"});
}

/// A golden model with another config.json.
StoredModel import_with(const std::string& name, const json& changes) {
  const TemporaryFolder folder;
  json config = json::parse(read_file(kGolden / name / "config.json"));
  config.merge_patch(changes);
  write_file_atomically(folder / "config.json", config.dump());
  std::filesystem::copy(kGolden / name / "model.safetensors", folder / "model.safetensors");
  return open_hugging_face(folder.path());
}

// GPT-2 can do without 1 / sqrt(head_dim).
TEST(HuggingFace, UnscaledScoresOfGpt2AreReadAsSuch) {
  const StoredModel scaled = import_with("gpt2", {{"scale_attn_weights", true}}),
                    unscaled = import_with("gpt2", {{"scale_attn_weights", false}});
  EXPECT_EQ(decoder_of(scaled).shape().attention_scale,
            1 / std::sqrt(static_cast<float>(scaled.config.head_dim)));
  EXPECT_EQ(decoder_of(unscaled).shape().attention_scale, 1);
  EXPECT_EQ(parameters_of(unscaled), parameters_of(scaled));
}

// GPT-NeoX-20B's name for it.
TEST(HuggingFace, GeluFastIsTheTanhOne) {
  EXPECT_EQ(import_with("gpt_neox_partial_rotary", {{"hidden_act", "gelu_fast"}}).shape().activation,
            ActivationKind::gelu_tanh);
}

TEST(HuggingFace, AllLayersOfQwen2MayHaveAWindow) {
  const StoredModel model = import_with("qwen2_bias_tied", {{"use_sliding_window", true},
                                                            {"sliding_window", 8},
                                                            {"max_window_layers", 0},
                                                            {"layer_types", nullptr}});
  for (const Mask& mask : model.shape().masks) EXPECT_EQ(mask.left, 7);
  const json written = write_hugging_face_config("qwen2", model.config, model.vocabulary);
  const HuggingFaceConfig again = read_hugging_face_config(written, "config.json");
  EXPECT_EQ(decoder_shape(again.model, again.vocabulary), model.shape());
}

// As transformers, which leaves them to Ministral.
TEST(HuggingFace, LayerTypesOfMistralSayNothing) {
  const StoredModel model = import_with("mistral_window", json::object());
  const json full = json::array({"full_attention", "full_attention"});
  EXPECT_EQ(import_with("mistral_window", {{"layer_types", full}}).shape(), model.shape());
}

// transformers 4 spelled the same models otherwise.
TEST(HuggingFace, OldSpellingsMeanTheSame) {
  const json without_rope = {{"rope_parameters", nullptr}, {"rope_scaling", nullptr}};
  json old_llama = without_rope, old_neox = without_rope;
  old_llama["rope_theta"] = 500000.0;
  old_neox["rotary_pct"] = 0.5;
  old_neox["rotary_emb_base"] = 2000;
  EXPECT_EQ(import_with("llama_gqa_bf16", old_llama).config.rope_theta, 500000);
  EXPECT_EQ(import_with("gpt_neox_partial_rotary", old_neox).config.rope_theta, 2000);
  EXPECT_EQ(import_with("gpt_neox_partial_rotary", old_neox).config.rope_fraction, 0.5);
}

}  // namespace
}  // namespace fovea
