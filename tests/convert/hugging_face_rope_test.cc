#include "convert/hugging_face_rope.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "model/families.h"
#include "small_decoder.h"

namespace fovea {
namespace {

using nlohmann::json;
using testing::HasSubstr;

ModelConfig model_of(const std::string& family = "llama") {
  ModelConfig model;
  model.family = family;
  model.head_dim = 16;
  model.context = 4096;
  return model;
}

ModelConfig read(const json& keys, const std::string& family = "llama") {
  ModelConfig model = model_of(family);
  read_rope(JsonKeys("config.json", keys), model);
  return model;
}

std::string error_of(const json& keys, const std::string& family = "llama") {
  try {
    read(keys, family);
  } catch (const UserError& error) {
    EXPECT_EQ(error.code(), ExitCode::input) << error.what();
    const std::string line = error.what();
    EXPECT_TRUE(line.starts_with("config.json: ")) << line;
    EXPECT_EQ(line.find('\n'), std::string::npos) << line;
    return line;
  }
  return "no error";
}

json scaling(const std::string& type, const json& more = json::object()) {
  json parameters = {{"rope_type", type}};
  parameters.update(more);
  return parameters;
}

const json kLists = {{"short_factor", {1, 1, 1, 1, 1, 1, 1.5, 2}}, {"long_factor", {1, 1, 2, 2, 3, 3, 4, 4}}};

TEST(HuggingFaceRope, BothSpellingsSayTheSame) {
  const json yarn = scaling("yarn", {{"factor", 4.0}, {"original_max_position_embeddings", 1024}});
  json with_theta = yarn, old = yarn;
  with_theta["rope_theta"] = 5e5;
  old.erase("rope_type");
  old["type"] = "yarn";
  const ModelConfig model = read({{"rope_parameters", with_theta}});
  EXPECT_EQ(model.rope_type, "yarn");
  EXPECT_EQ(model.rope_theta, 5e5);
  EXPECT_EQ(model.rope_factor, 4);
  EXPECT_EQ(model.rope_original_context, 1024);
  EXPECT_TRUE(model.rope_truncate);
  EXPECT_EQ(model.rope_beta_fast, 32);
  EXPECT_EQ(read({{"rope_theta", 5e5}, {"rope_scaling", yarn}}), model);
  EXPECT_EQ(read({{"rope_theta", 5e5}, {"rope_scaling", old}}), model);
  EXPECT_EQ(read({{"rope_theta", 1}, {"rope_parameters", with_theta}}), model);  // the inner theta
  // What version 4 wrote stands over the other, unless it is empty.
  EXPECT_EQ(read({{"rope_theta", 5e5}, {"rope_scaling", yarn}, {"rope_parameters", {{"rope_theta", 7}}}}),
            model);
  EXPECT_EQ(read({{"rope_scaling", json::object()}, {"rope_parameters", with_theta}}), model);
  EXPECT_EQ(read({{"rope_scaling", nullptr}, {"rope_parameters", with_theta}}), model);
  EXPECT_EQ(read(json::object()).rope_type, "default");
  EXPECT_EQ(read(json::object()).rope_theta, 10000);
}

TEST(HuggingFaceRope, DefaultsAreThoseOfTransformers) {
  const auto shape = [](const json& parameters) {
    return decoder_shape(read({{"rope_scaling", parameters}}), 7).rope.scaling;
  };
  EXPECT_EQ(shape(scaling("yarn", {{"factor", 2}})).original_context, 4096);
  EXPECT_EQ(shape(scaling("yarn", {{"factor", nullptr}, {"original_max_position_embeddings", 512}})).factor,
            8);
  EXPECT_EQ(shape(scaling("yarn", {{"factor", 2}, {"beta_fast", 0}, {"beta_slow", nullptr}})).beta_fast, 32);
  EXPECT_TRUE(shape(scaling("yarn", {{"factor", 2}})).truncate);
  EXPECT_FALSE(shape(scaling("yarn", {{"factor", 2}, {"truncate", false}})).truncate);
  EXPECT_FALSE(shape(scaling("yarn", {{"factor", 2}, {"truncate", nullptr}})).truncate);
  json longrope = scaling("longrope", kLists);
  EXPECT_EQ(shape(longrope).original_context, 4096);
  EXPECT_EQ(shape(longrope).factor, 1);
  longrope["original_max_position_embeddings"] = 1024;
  EXPECT_EQ(shape(longrope).factor, 4);
  EXPECT_EQ(shape(scaling("proportional")).factor, 1);
  // Not what dynamic goes by.
  const json dynamic = scaling("dynamic", {{"factor", 2}, {"original_max_position_embeddings", 64}});
  EXPECT_EQ(shape(dynamic).original_context, 4096);
  // The top level beats what stands inside.
  const ModelConfig top = read({{"original_max_position_embeddings", 2048}, {"rope_scaling", longrope}});
  EXPECT_EQ(top.rope_original_context, 2048);
}

TEST(HuggingFaceRope, LongropeHadAnotherName) {
  json su = kLists;
  su["type"] = "su";
  EXPECT_EQ(read({{"rope_scaling", su}}), read({{"rope_scaling", scaling("longrope", kLists)}}));
}

TEST(HuggingFaceRope, LayerTypesMustBeAlike) {
  const json linear = scaling("linear", {{"factor", 2}, {"rope_theta", 10000.0}}),
             same = scaling("linear", {{"factor", 2.0}});
  const auto both = [](const json& full, const json& sliding) {
    return json{{"rope_parameters", {{"full_attention", full}, {"sliding_attention", sliding}}}};
  };
  EXPECT_EQ(read(both(linear, same)), read({{"rope_parameters", linear}}));
  EXPECT_EQ(read(both(linear, nullptr)), read({{"rope_parameters", linear}}));
  EXPECT_THAT(error_of(both(linear, scaling("default"))),
              HasSubstr("differs between the layer types full_attention and sliding_attention"));
}

TEST(HuggingFaceRope, GptNeoxHasItsOwnNames) {
  const ModelConfig model = read({{"rotary_pct", 0.5}, {"rotary_emb_base", 2000}, {"rope_theta", 7}}, "neox");
  EXPECT_EQ(model.rope_theta, 2000);
  EXPECT_EQ(model.rope_fraction, 0.5);
  EXPECT_EQ(read(json::object(), "neox").rope_fraction, 0.25);
}

TEST(HuggingFaceRope, WhatCannotBeIsRefusedByName) {
  const auto error = [](const json& parameters) { return error_of({{"rope_scaling", parameters}}); };
  for (const char* type : {"mrope", "axial", "ntk", "YaRN"})
    EXPECT_THAT(error(scaling(type)), HasSubstr(fmt::format("rope_type \"{}\" is not supported", type)));
  EXPECT_THAT(error({{"rope_type", 3}}), HasSubstr("rope_type must be a string, it is 3"));
  EXPECT_THAT(error(json::array({1})), HasSubstr("rope_scaling must be an object"));
  for (const char* type : {"linear", "dynamic", "llama3"})
    EXPECT_THAT(error(scaling(type)), HasSubstr("factor must be a positive number, it is absent"));
  EXPECT_THAT(error(scaling("yarn")), HasSubstr("yarn needs a factor"));
  EXPECT_THAT(error(scaling("yarn", {{"factor", -2}})), HasSubstr("factor must be a positive number"));
  EXPECT_THAT(error(scaling("yarn", {{"factor", 2}, {"beta_slow", 32}})),
              HasSubstr("beta_fast = 32 must be above beta_slow = 32"));
  EXPECT_THAT(error(scaling("yarn", {{"factor", 2}, {"rope_theta", 1}})), HasSubstr("rope_theta above 1"));
  EXPECT_THAT(error(scaling("yarn", {{"factor", 2}, {"truncate", 1}})), HasSubstr("truncate must be true"));
  EXPECT_THAT(error(scaling("llama3", {{"factor", 2}})), HasSubstr("low_freq_factor must be"));
  EXPECT_THAT(error(scaling("llama3", {{"factor", 2}, {"low_freq_factor", 4}, {"high_freq_factor", 4}})),
              HasSubstr("high_freq_factor = 4 must be above low_freq_factor = 4"));
  EXPECT_THAT(error(scaling("longrope")), HasSubstr("short_factor must be a list, it is absent"));
  json longrope = scaling("longrope", kLists);
  longrope["long_factor"] = {1, 2};
  EXPECT_THAT(error(longrope), HasSubstr("long_factor has 2 numbers for the 8 planes of a head"));
  longrope["long_factor"] = {1, 2, 0};
  EXPECT_THAT(error(longrope), HasSubstr("long_factor must hold positive numbers, there is 0"));
  longrope = scaling("longrope", kLists);
  longrope["original_max_position_embeddings"] = 1;
  EXPECT_THAT(error(longrope), HasSubstr("its logarithm is 0"));
  EXPECT_THAT(error_of({{"partial_rotary_factor", 0.5}}), HasSubstr("transformers rotates whole heads"));
  EXPECT_THAT(error_of({{"rotary_pct", 1.5}}, "neox"), HasSubstr("1.5 of a head cannot be rotated"));
  EXPECT_THAT(error_of({{"rotary_pct", 0.05}}, "neox"), HasSubstr("nothing to rotate"));
  EXPECT_THAT(error_of({{"rotary_pct", 0.2}}, "neox"), HasSubstr("3 elements of a head cannot be rotated"));
}

ModelConfig with(const std::string& type, const std::function<void(ModelConfig&)>& change = {},
                 const std::string& family = "llama") {
  ModelConfig model = model_of(family);
  model.rope_type = type;
  model.rope_theta = 12345.678;
  model.rope_factor = 4;
  model.rope_fraction = family == "neox" ? 0.5 : 1;
  if (type == "default") model.rope_factor = -1;
  if (change) change(model);
  return model;
}

TEST(HuggingFaceRope, WhatIsWrittenReadsBackTheSame) {
  const auto all = [](ModelConfig& c) {
    c.rope_original_context = 1000;
    c.rope_attention_factor = 1.25;
    c.rope_beta_fast = 30;
    c.rope_beta_slow = 2;
    c.rope_truncate = false;
    c.rope_mscale = 0.7;
    c.rope_mscale_all_dim = 0.9;
  };
  const auto lists = [](ModelConfig& c) {
    c.rope_short_factors = {1, 1, 1, 1, 1, 1, 1.5, 2};
    c.rope_long_factors = {1, 1, 2, 2, 3, 3, 4, 4.125};
  };
  const auto as_phi3 = [&](ModelConfig& c) {
    lists(c);
    c.rope_factor = -1;
    c.rope_original_context = 1024;
  };
  const auto bands = [](ModelConfig& c) {
    c.rope_original_context = 1024;
    c.rope_low_freq_factor = 1.5;
    c.rope_high_freq_factor = 3;
  };
  const auto half = [](ModelConfig& c) { c.rope_fraction = 0.5; };
  for (const ModelConfig& model :
       {with("default"), with("linear"), with("dynamic"), with("yarn"), with("yarn", all),
        with("llama3", bands), with("longrope", lists), with("longrope", as_phi3), with("proportional", half),
        with("default", {}, "neox"), with("linear", {}, "neox"), with("dynamic", {}, "neox")}) {
    const json written = write_rope(model);
    EXPECT_EQ(read(written, model.family), model) << written.dump();
  }
}

// Of the same function, if not in the same words.
TEST(HuggingFaceRope, NtkIsWrittenAsItsBase) {
  const ModelConfig model = with("ntk");
  const json written = write_rope(model);
  EXPECT_TRUE(written.at("rope_scaling").is_null());
  EXPECT_EQ(decoder_shape(read(written), 7), decoder_shape(model, 7));
  EXPECT_NE(read(written).rope_theta, model.rope_theta);
}

TEST(HuggingFaceRope, WhatTransformersCannotBeToldIsNotWritten) {
  const auto refusal = [](const ModelConfig& model) { return refusal_of([&] { write_rope(model); }); };
  EXPECT_THAT(refusal(with("default", [](ModelConfig& c) { c.rope_fraction = 0.5; })),
              HasSubstr("model.rope_fraction = 0.5 cannot be said in a Hugging Face llama model"));
  EXPECT_THAT(refusal(with("proportional", {}, "neox")), HasSubstr("model.rope_type = \"proportional\""));
  EXPECT_THAT(refusal(with("dynamic", [](ModelConfig& c) { c.rope_original_context = 64; })),
              HasSubstr("model.rope_original_context = 64 cannot be said"));
}

}  // namespace
}  // namespace fovea
