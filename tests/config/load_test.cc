#include <gmock/gmock.h>

#include "tests/config/helpers.h"

namespace fovea {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(Load, AnEmptyFileGivesTheDefaults) {
  const Folder folder;
  const LoadedConfig loaded = folder.load("");
  Config expected;
  expected.study.name = "x";
  EXPECT_EQ(toml_text(loaded.config), toml_text(expected));
  EXPECT_EQ(source_of(loaded.sources, "model.width"), "default");
  EXPECT_EQ(source_of(loaded.sources, "study.name"), "name of the file");
}

TEST(Load, ValuesOfEveryKindArriveWithTheirSource) {
  const Folder folder;
  const LoadedConfig loaded = folder.load(R"(study.seeds = [3, 4]
[model]
width = 64
rope_interleaved = true
  attention = ["full",
    "window"]
sliding_window = 9
[train]
lr = 1
tokens = 2e6
schedule = "wsd"
[gqa]
alphas = [0, 0.5]
)");
  EXPECT_THAT(loaded.config.study.seeds, ElementsAre(3, 4));
  EXPECT_EQ(loaded.config.model.width, 64);
  EXPECT_TRUE(loaded.config.model.rope_interleaved);
  EXPECT_THAT(loaded.config.model.attention, ElementsAre("full", "window"));
  EXPECT_EQ(loaded.config.train.lr, 1.0);
  EXPECT_EQ(loaded.config.train.tokens, 2000000);
  EXPECT_EQ(loaded.config.train.schedule, "wsd");
  EXPECT_THAT(loaded.config.gqa.alphas, ElementsAre(0, 0.5));
  EXPECT_EQ(folder.relative(source_of(loaded.sources, "study.seeds")), "x.toml:1:15");
  EXPECT_EQ(folder.relative(source_of(loaded.sources, "model.attention")), "x.toml:5:15");
}

TEST(Load, LaterFilesStandOverEarlierOnesAndOverridesOverAll) {
  const Folder folder;
  folder.write("bases/a.toml", "[model]\nlayers = 1\nwidth = 64\ncontext = 32\n");
  folder.write("bases/b.toml", "base = 'a.toml'\n[model]\nlayers = 2\ndropout = 0.5");
  folder.write("c.toml", "[model]\ndropout = 0.25\n");
  const std::string path =
      folder.write("run/x.toml", "base = [\"../bases/b.toml\", \"../c.toml\"]\nmodel.context = 64\n");
  const LoadedConfig loaded =
      load_config(path, std::vector<std::string>{"model.context=128", "model.context=256"});
  EXPECT_EQ(loaded.config.model.layers, 2);
  EXPECT_EQ(loaded.config.model.width, 64);
  EXPECT_EQ(loaded.config.model.dropout, 0.25);
  EXPECT_EQ(loaded.config.model.context, 256);
  EXPECT_EQ(folder.relative(source_of(loaded.sources, "model.layers")), "bases/b.toml:3:10");
  EXPECT_EQ(folder.relative(source_of(loaded.sources, "model.width")), "bases/a.toml:3:9");
  EXPECT_EQ(source_of(loaded.sources, "model.context"), "command line: model.context=256");
  EXPECT_EQ(loaded.config.study.name, "x");
}

TEST(Load, FilesOfClaimsLieBesideWhatNamesThem) {
  const Folder folder;
  folder.write("bases/a.toml", "study.claims = ['claims/a.toml', '../b.toml']\n");
  folder.write("run/x.toml", "base = '../bases/a.toml'\n");
  const LoadedConfig loaded = load_config(folder.at("run/x.toml"));
  ASSERT_EQ(loaded.claim_files.size(), 2u);
  EXPECT_EQ(folder.relative(loaded.claim_files[0]), "bases/claims/a.toml");
  EXPECT_EQ(folder.relative(loaded.claim_files[1]), "b.toml");
  const std::vector<std::string> overrides = {"study.claims=c/d.toml"};
  const LoadedConfig overridden = load_config(folder.at("run/x.toml"), overrides);
  ASSERT_EQ(overridden.claim_files.size(), 1u);
  EXPECT_EQ(overridden.claim_files[0], "c/d.toml") << "relative to the working directory";
}

// Of a model with other values than the defaults in keys of several kinds.
std::optional<InitialModel> some_model(const std::string& path) {
  if (path == "bare") return std::nullopt;
  if (path == "gone") fail_input("gone: cannot be opened");
  InitialModel initial;
  initial.model.family = "qwen3";
  initial.model.layers = path == "deep" ? 9 : 3;
  initial.model.kv_heads_per_layer = {8, 4, 2};
  initial.model.kv_heads_per_layer.resize(static_cast<size_t>(initial.model.layers), 1);
  initial.model.rope_theta = 5e5;
  initial.model.dropout = 0.5;
  return initial;
}

TEST(Load, WhatTheInitialModelSaysNeedNotBeSaid) {
  const Folder folder;
  const auto load = [&](const std::string& text) {
    return load_config(folder.write("x.toml", text), {}, some_model);
  };
  const LoadedConfig loaded = load("init.from = 'there'\nmodel.rope_theta = 7\n");
  EXPECT_EQ(loaded.config.model.family, "qwen3");
  EXPECT_EQ(loaded.config.model.layers, 3);
  EXPECT_EQ(loaded.config.model.kv_heads_per_layer, (std::vector<int64>{8, 4, 2}));
  EXPECT_EQ(loaded.config.model.rope_theta, 7);
  EXPECT_EQ(loaded.config.model.dropout, 0) << "a recipe's";
  EXPECT_EQ(loaded.config.data.tokenizer, "bytes");
  EXPECT_EQ(source_of(loaded.sources, "model.layers"), "init.from");
  EXPECT_EQ(folder.relative(source_of(loaded.sources, "model.rope_theta")), "x.toml:2:20");
  EXPECT_EQ(load("init.from = 'there'\nmodel.kv_heads = 2\n").config.model.kv_heads_per_layer.size(), 0u);
  EXPECT_EQ(load("init.from = 'bare'\n").config.model.layers, Config().model.layers);
  EXPECT_EQ(load("model.layers = 1\n").config.model.family, "llama");
  try {
    load("[init]\nfrom = 'gone'\n");
    ADD_FAILURE();
  } catch (const UserError& error) {
    EXPECT_EQ(error.code(), ExitCode::input);
    EXPECT_EQ(folder.relative(error.what()), "x.toml:2:8: init.from: gone: cannot be opened");
  }
}

TEST(Load, EachPointOfASweepStartsFromItsOwnModel) {
  const Folder folder;
  const LoadedConfig loaded =
      load_config(folder.write("x.toml", "sweep.'init.from' = ['there', 'deep', 'bare']\n"), {}, some_model);
  std::vector<int64> layers;
  for (const RunVariant& variant : expand(loaded)) layers.push_back(variant.config.model.layers);
  EXPECT_EQ(layers, (std::vector<int64>{3, 9, Config().model.layers}));
}

TEST(Load, TheRawTextHoldsEveryFileAndOverrideVerbatim) {
  const Folder folder;
  folder.write("a.toml", "# odd   spacing\nmodel.layers =   1");
  const LoadedConfig loaded = folder.load("base = ['a.toml']\n# mine\n", {"train.lr=1e-3"});
  EXPECT_EQ(folder.relative(loaded.raw_text),
            "# ---- a.toml\n# odd   spacing\nmodel.layers =   1\n# ---- x.toml\nbase = ['a.toml']\n# mine\n"
            "# ---- command line: train.lr=1e-3\n");
}

TEST(Load, ABaseMayBeReachedTwice) {
  const Folder folder;
  folder.write("a.toml", "model.layers = 1");
  folder.write("b.toml", "base = 'a.toml'");
  folder.write("c.toml", "base = './a.toml'");
  EXPECT_EQ(folder.load("base = ['b.toml', 'c.toml']").config.model.layers, 1);
}

TEST(Load, OverridesAreTomlValuesOrBareStrings) {
  const Folder folder;
  const Config config =
      folder
          .load("",
                {"data.corpus=/some/folder/*.txt", "train.schedule=linear", "study.name=2024",
                 "model={layers = 1, width = 64}", "gqa.kv_heads=[4, 2]", "gqa.inits=mean", "study.seeds=7",
                 "train.recompute=every 2", "data.tokenizer=bytes", "init.from=", "data.cache='a=b'"})
          .config;
  EXPECT_EQ(config.data.corpus, "/some/folder/*.txt");
  EXPECT_EQ(config.train.schedule, "linear");
  EXPECT_EQ(config.study.name, "2024");
  EXPECT_EQ(config.model.layers, 1);
  EXPECT_EQ(config.model.width, 64);
  EXPECT_THAT(config.gqa.kv_heads, ElementsAre(4, 2));
  EXPECT_THAT(config.gqa.inits, ElementsAre("mean"));
  EXPECT_THAT(config.study.seeds, ElementsAre(7));
  EXPECT_EQ(config.train.recompute, "every 2");
  EXPECT_EQ(config.init.from, "");
  EXPECT_EQ(config.data.cache, "a=b");
}

TEST(Load, ATokenizerLiesBesideTheFileThatNamesIt) {
  const Folder folder;
  folder.write("bases/a.toml", "data.tokenizer = '../t/llama.json'\n");
  folder.write("b.toml", "data.tokenizer = 'bytes'\n");
  const auto tokenizer = [&](const std::string& text, const std::vector<std::string>& overrides = {}) {
    return folder.relative(folder.load(text, overrides).config.data.tokenizer);
  };
  EXPECT_EQ(tokenizer("base = ['bases/a.toml']"), "t/llama.json");
  EXPECT_EQ(tokenizer("base = ['bases/a.toml', 'b.toml']"), "bytes");
  EXPECT_EQ(tokenizer("", {"data.tokenizer=x/t.model"}), "x/t.model");
  EXPECT_EQ(tokenizer("", {"data.tokenizer=./bytes"}), "./bytes");
  EXPECT_EQ(tokenizer("data.tokenizer = '/t.json'"), "/t.json");
  const LoadedConfig swept = folder.load("[sweep]\ndata.tokenizer = ['bytes', 'b.json']");
  EXPECT_EQ(folder.relative(expand(swept)[1].config.data.tokenizer), "b.json");
  // A record of values has paths as they were resolved.
  EXPECT_EQ(config_from_text("data.tokenizer = 'a/b.json'", "c/model: config").data.tokenizer, "a/b.json");
}

TEST(Load, AnOverrideCannotSmuggleInASecondKey) {
  const Folder folder;
  EXPECT_THAT(folder.error_in("", {"train.lr=1\ny=2"}), HasSubstr("must be a number"));
}

TEST(Load, ASeedSetLastStandsForTheListOfSeeds) {
  const Folder folder;
  EXPECT_THAT(folder.load("train.seed = 5").config.study.seeds, ElementsAre(5));
  EXPECT_THAT(folder.load("study.seeds = [1, 2]", {"train.seed=2"}).config.study.seeds, ElementsAre(2));
  EXPECT_THAT(folder.load("train.seed = 5\nstudy.seeds = [1, 2]").config.study.seeds, ElementsAre(1, 2));
  EXPECT_THAT(folder.load("train.seed = 5", {"study.seeds=[1, 2]"}).config.study.seeds, ElementsAre(1, 2));
}

}  // namespace
}  // namespace fovea
