// What is written for others to read: golden folders through it and back, shards, layouts that a family
// lacks.
#include "convert/hugging_face_export.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "convert/gqa.h"
#include "convert/hugging_face.h"
#include "core/error.h"
#include "core/json.h"
#include "model/families.h"
#include "small_decoder.h"
#include "temporary_folder.h"

namespace fovea {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::HasSubstr;

const fs::path kGolden = fs::path(FOVEA_GOLDEN) / "models";
constexpr int64 kOneFile = int64{1} << 40;

// Name, dtype, shape and bytes of every tensor.
using Contents = std::map<std::string, std::tuple<DType, std::vector<int64>, std::string>>;
Contents contents_of(const fs::path& folder) {
  const TensorFiles files = TensorFiles::of_folder(folder);
  Contents contents;
  for (const std::string_view name : files.names()) {
    const auto bytes = files.bytes(name);
    contents[std::string(name)] = {files.tensor(name).dtype,
                                   files.tensor(name).shape,
                                   {reinterpret_cast<const char*>(bytes.data()), bytes.size()}};
  }
  return contents;
}

std::set<std::string> names_in(const fs::path& folder) {
  std::set<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) names.insert(entry.path().filename().string());
  return names;
}

class GoldenFolder : public testing::TestWithParam<std::string> {};
std::vector<std::string> golden_folders() {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(kGolden))
    if (is_hugging_face_model(entry.path())) names.push_back(entry.path().filename().string());
  return names;
}
INSTANTIATE_TEST_SUITE_P(All, GoldenFolder, testing::ValuesIn(golden_folders()),
                         [](const auto& test) { return test.param; });

TEST_P(GoldenFolder, ComesOutAsItWentIn) {
  const TemporaryFolder folder;
  const StoredModel model = open_hugging_face(kGolden / GetParam());
  write_hugging_face(folder / "out", model, {kOneFile});
  EXPECT_EQ(contents_of(folder / "out"), contents_of(kGolden / GetParam()));
  EXPECT_EQ(parse_json(read_file(folder / "out" / "config.json"), ""),
            parse_json(read_file(kGolden / GetParam() / "config.json"), ""));
  EXPECT_EQ(names_in(folder.path()), std::set<std::string>{"out"});  // nothing else is left beside it
}

// The configuration made from the shape alone, as for a model that was trained here.
TEST_P(GoldenFolder, IsDescribedAnewAsItIs) {
  const TemporaryFolder folder;
  StoredModel model = open_hugging_face(kGolden / GetParam());
  model.companions.clear();
  write_hugging_face(folder / "out", model, {kOneFile});
  EXPECT_EQ(contents_of(folder / "out"), contents_of(kGolden / GetParam()));
  const json written = parse_json(read_file(folder / "out" / "config.json"), ""),
             saved = parse_json(read_file(kGolden / GetParam() / "config.json"), "");
  EXPECT_EQ(written["architectures"], saved["architectures"]);
  EXPECT_EQ(written["torch_dtype"], saved.contains("dtype") ? saved["dtype"] : saved["torch_dtype"]);
  const StoredModel again = open_hugging_face(folder / "out");
  const Decoder before(model.shape(), 0, DType::f64), after(again.shape(), 0, DType::f64);
  const std::vector<int32> tokens = drawn_tokens();
  EXPECT_EQ(logits_of(before, read_all(model.parameters, model.layout), tokens, 3),
            logits_of(after, read_all(again.parameters, again.layout), tokens, 3));
}

TEST_P(GoldenFolder, IsTheSameInShards) {
  const TemporaryFolder folder;
  const StoredModel model = open_hugging_face(kGolden / GetParam());
  write_hugging_face(folder / "out", model, {20000});
  EXPECT_EQ(contents_of(folder / "out"), contents_of(kGolden / GetParam()));
  const json index = parse_json(read_file(folder / "out" / "model.safetensors.index.json"), "");
  std::set<std::string> files;
  for (const auto& [tensor, file] : index["weight_map"].items()) files.insert(file.get<std::string>());
  EXPECT_GT(files.size(), 2u);
  int64 bytes = 0;
  for (const auto& [name, tensor] : contents_of(folder / "out"))
    bytes += static_cast<int64>(std::get<2>(tensor).size());
  EXPECT_EQ(index["metadata"]["total_size"], bytes);
  files.insert({"config.json", "model.safetensors.index.json"});
  EXPECT_EQ(names_in(folder / "out"), files);
}

// A parameter at a time is what a conversion of the whole gives, to the bit.
TEST_P(GoldenFolder, HeadsAreConvertedAlikeOneByOne) {
  const StoredModel model = open_hugging_face(kGolden / GetParam());
  ModelConfig config = model.config;
  config.kv_heads = 1;
  const Decoder source(model.shape()), target(decoder_shape(config, model.vocabulary));
  const std::vector<float> parameters = read_all(model.parameters, model.layout);
  for (const char* word : {"mean", "mean_scaled", "first", "random", "aligned", "aligned_unscaled"}) {
    const GqaConversion conversion{conversion_named(word), 3};
    EXPECT_EQ(read_all(convert_kv_heads(source, model.parameters, target, conversion), target.layout()),
              convert_kv_heads(source, parameters, target, conversion))
        << word;
  }
}

/// A drawn model of a small decoder, with its weights.
struct Drawn {
  ModelConfig config;
  std::vector<float> parameters;
  StoredModel model;
  explicit Drawn(const ModelConfig& of) : config(of) {
    const Decoder decoder = decoder_of(config);
    parameters = drawn_parameters(decoder, 7);
    model = model_of(config, decoder.shape().vocab, parameters);
  }
  std::vector<double> logits() const { return logits_of(decoder_of(config), parameters); }
};

class Exported : public testing::TestWithParam<DecoderCase> {};
INSTANTIATE_TEST_SUITE_P(Cases, Exported, testing::ValuesIn(decoder_cases()),
                         [](const auto& test) { return test.param.name; });

// Either a family has words for it, and then it computes the same, or what is lacking is named.
TEST_P(Exported, ComputesTheSameOrIsRefused) {
  const TemporaryFolder folder;
  const Drawn drawn(GetParam().config);
  try {
    write_hugging_face(folder / "out", drawn.model, {kOneFile});
  } catch (const UserError& error) {
    EXPECT_EQ(error.code(), ExitCode::usage);
    EXPECT_THAT(error.what(), testing::AllOf(HasSubstr("no Hugging Face family"), HasSubstr("model.")));
    EXPECT_TRUE(names_in(folder.path()).empty());
    return;
  }
  const StoredModel again = open_hugging_face(folder / "out");
  const Decoder decoder(again.shape(), 0, DType::f64);
  EXPECT_LE(difference(logits_of(decoder, read_all(again.parameters, again.layout)), drawn.logits()), 1e-6);
}

TEST(Export, HeadsThatAFamilyLacksAreRepeated) {
  ModelConfig config = decoder_cases().front().config;
  config.kv_heads_per_layer = {4, 2};
  const TemporaryFolder folder;
  const Drawn drawn(config);
  EXPECT_THAT(write_hugging_face(folder / "out", drawn.model, {kOneFile}), HasSubstr("4 in a layer"));
  const StoredModel again = open_hugging_face(folder / "out");
  EXPECT_EQ(again.config.kv_heads, 4);
  const Decoder decoder(again.shape(), 0, DType::f64);
  EXPECT_LE(difference(logits_of(decoder, read_all(again.parameters, again.layout)), drawn.logits()), 1e-12);
}

TEST(Export, PairsOfRopeBecomeHalves) {
  ModelConfig config = decoder_cases().front().config;
  config.family = "qwen3";
  config.position = "rope";
  config.rope_interleaved = true;
  const TemporaryFolder folder;
  const Drawn drawn(config);
  write_hugging_face(folder / "out", drawn.model, {kOneFile});
  const StoredModel again = open_hugging_face(folder / "out");
  EXPECT_FALSE(again.shape().rope.interleaved);
  const Decoder decoder(again.shape(), 0, DType::f64);
  EXPECT_LE(difference(logits_of(decoder, read_all(again.parameters, again.layout)), drawn.logits()), 1e-12);
}

TEST(Export, FewerHeadsChangeOneNumberOfTheConfiguration) {
  const TemporaryFolder folder;
  StoredModel model = open_hugging_face(kGolden / "llama_gqa_bf16");
  const Decoder source(model.shape());
  model.config.kv_heads = 1;
  const Decoder target(model.shape());
  model.layout = target.layout();
  model.parameters = convert_kv_heads(source, model.parameters, target, {conversion_named("mean")});
  write_hugging_face(folder / "out", model, {kOneFile});
  json expected = parse_json(read_file(kGolden / "llama_gqa_bf16" / "config.json"), "");
  expected["num_key_value_heads"] = 1;
  EXPECT_EQ(parse_json(read_file(folder / "out" / "config.json"), ""), expected);
  EXPECT_EQ(open_hugging_face(folder / "out").parameters.dtype(3), DType::bf16);
}

TEST(Export, WhatIsThereIsNotWrittenOver) {
  const TemporaryFolder folder;
  const StoredModel model = open_hugging_face(kGolden / "gpt2");
  fs::create_directory(folder / "empty");
  write_hugging_face(folder / "empty", model, {kOneFile});
  EXPECT_THROW(write_hugging_face(folder / "empty", model, {kOneFile}), UserError);
  write_file_atomically(folder / "empty" / "mine", "x");
  EXPECT_THROW(write_hugging_face(folder / "empty" / "", model, {kOneFile}), UserError);
  EXPECT_EQ(read_file(folder / "empty" / "mine"), "x");
  write_hugging_face(folder / "empty", model, {kOneFile, AtomicFolder::Existing::replace});
  EXPECT_FALSE(fs::exists(folder / "empty" / "mine"));
  EXPECT_TRUE(is_hugging_face_model(folder / "empty"));
}

// GPT-2 as it was first published: without the head's prefix, with buffers, and the head that is tied.
TEST(Export, BareNamesStayBare) {
  const TemporaryFolder folder;
  const StoredModel model = open_hugging_face(kGolden / "gpt2");
  StoredModel bare = model;
  bare.bare_names = true;
  write_hugging_face(folder / "bare", bare, {kOneFile});
  EXPECT_TRUE(contents_of(folder / "bare").contains("wte.weight"));
  const StoredModel again = open_hugging_face(folder / "bare");
  EXPECT_TRUE(again.bare_names);
  EXPECT_EQ(read_all(again.parameters, again.layout), read_all(model.parameters, model.layout));
  write_hugging_face(folder / "again", again, {kOneFile});
  EXPECT_EQ(contents_of(folder / "again"), contents_of(folder / "bare"));
}

/// The one line that a folder of shards is refused with, its index changed.
std::string index_error(const std::function<void(json&, const fs::path&)>& change) {
  const TemporaryFolder folder;
  write_hugging_face(folder / "out", open_hugging_face(kGolden / "llama_mha"), {60000});
  const fs::path index = folder / "out" / "model.safetensors.index.json";
  json content = parse_json(read_file(index), "");
  change(content, folder / "out");
  write_file_atomically(index, content.dump());
  try {
    open_hugging_face(folder / "out");
  } catch (const UserError& error) {
    EXPECT_EQ(error.code(), ExitCode::input);
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << error.what();
    return error.what();
  }
  return "no error";
}

TEST(ShardedModel, IndicesThatLieAreRefusedInOneLine) {
  const std::string tensor = "model.norm.weight";
  EXPECT_EQ(index_error([](json&, const fs::path&) {}), "no error");
  EXPECT_THAT(index_error([](json& index, const fs::path&) { index.erase("weight_map"); }),
              HasSubstr("has no weight_map"));
  EXPECT_THAT(index_error([](json& index, const fs::path&) { index = json::array(); }),
              HasSubstr("has no weight_map"));
  EXPECT_THAT(index_error([](json& index, const fs::path&) { index["weight_map"] = json::object(); }),
              HasSubstr("has no weight_map"));
  for (const json& file : {json("../x.safetensors"), json("/etc/passwd"), json("a\n/b.safetensors"), json(3),
                           json(nullptr), json(std::string(300, 'x') + ".safetensors")})
    EXPECT_THAT(index_error([&](json& index, const fs::path&) { index["weight_map"][tensor] = file; }),
                HasSubstr("must be a .safetensors file of the same folder"));
  EXPECT_THAT(index_error([&](json& index, const fs::path&) {
                index["weight_map"][tensor] = index["weight_map"]["model.embed_tokens.weight"];
              }),
              HasSubstr("tensor model.norm.weight is not in model-00001-of"));
  EXPECT_THAT(index_error([&](json& index, const fs::path&) { index["weight_map"].erase(tensor); }),
              HasSubstr("holds tensor model.norm.weight, which model.safetensors.index.json does not say"));
  EXPECT_THAT(
      index_error([&](json& index, const fs::path&) { index["weight_map"]["more"] = "gone.safetensors"; }),
      HasSubstr("gone.safetensors: cannot be opened"));
  EXPECT_THAT(index_error([&](json& index, const fs::path& folder) {
                const fs::path file = folder / index["weight_map"][tensor].get<std::string>();
                fs::resize_file(file, fs::file_size(file) - 1);
              }),
              HasSubstr("is it truncated?"));
}

}  // namespace
}  // namespace fovea
