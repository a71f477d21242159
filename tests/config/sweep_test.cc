#include <gmock/gmock.h>

#include <cmath>

#include "tests/config/helpers.h"

namespace fovea {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(Sweep, WithoutOneThereIsARunPerSeed) {
  const Folder folder;
  EXPECT_THAT(names_of(folder.load("")), ElementsAre("seed=0"));
  const auto variants = expand(folder.load("study.seeds = [3, 1]"));
  ASSERT_EQ(variants.size(), 2u);
  EXPECT_EQ(variants[0].name, "seed=3");
  EXPECT_EQ(variants[0].config.train.seed, 3);
  EXPECT_EQ(variants[1].config.train.seed, 1);
  EXPECT_EQ(folder.relative(source_of(variants[1].sources, "train.seed")), "x.toml:1:15");
}

TEST(Sweep, ListsMultiplyInTheOrderOfTheFileAndSeedsAreInnermost) {
  const Folder folder;
  const LoadedConfig loaded = folder.load(R"([study]
seeds = [0, 1]
[sweep]
"train.lr" = [1e-3, 2e-3]
[sweep.model]
layers = [1, 2]
)");
  EXPECT_THAT(names_of(loaded),
              ElementsAre("lr=0.001,layers=1,seed=0", "lr=0.001,layers=1,seed=1", "lr=0.001,layers=2,seed=0",
                          "lr=0.001,layers=2,seed=1", "lr=0.002,layers=1,seed=0", "lr=0.002,layers=1,seed=1",
                          "lr=0.002,layers=2,seed=0", "lr=0.002,layers=2,seed=1"));
  const RunVariant last = expand(loaded).back();
  EXPECT_EQ(last.config.train.lr, 2e-3);
  EXPECT_EQ(last.config.model.layers, 2);
  EXPECT_EQ(last.config.train.seed, 1);
  EXPECT_EQ(folder.relative(source_of(last.sources, "train.lr")), "x.toml:4:21");
}

TEST(Sweep, TiedListsChangeTogether) {
  const Folder folder;
  const auto variants = expand(folder.load(R"([[sweep.zip]]
"model.width" = [64, 128]
train.lr = [2e-3, 1e-3]
[[sweep.zip]]
model.dropout = [0, 0.1]
)"));
  ASSERT_EQ(variants.size(), 4u);
  EXPECT_EQ(variants[0].name, "width=64,lr=0.002,dropout=0,seed=0");
  EXPECT_EQ(variants[1].name, "width=64,lr=0.002,dropout=0.1,seed=0");
  EXPECT_EQ(variants[3].name, "width=128,lr=0.001,dropout=0.1,seed=0");
  EXPECT_EQ(variants[3].config.model.width, 128);
  EXPECT_EQ(variants[3].config.train.lr, 1e-3);
}

TEST(Sweep, AGqaStudyKeepsItsSeeds) {
  const Folder folder;
  const auto variants =
      expand(folder.load("study.kind = 'gqa'\nstudy.seeds = [4, 5]\nsweep.train.lr = [1e-3, 2e-3]"));
  ASSERT_EQ(variants.size(), 2u);
  EXPECT_EQ(variants[1].name, "lr=0.002");
  EXPECT_THAT(variants[1].config.study.seeds, ElementsAre(4, 5));
  EXPECT_THAT(names_of(folder.load("study.kind = 'gqa'")), ElementsAre(""));
}

TEST(Sweep, TheLastLayerDecidesWhetherAKeyIsSweptOrSet) {
  const Folder folder;
  folder.write("a.toml", "[[sweep.zip]]\ntrain.lr = [1e-3, 2e-3]\nmodel.layers = [1, 2]");
  EXPECT_THAT(names_of(folder.load("base = 'a.toml'")),
              ElementsAre("layers=1,lr=0.001,seed=0", "layers=2,lr=0.002,seed=0"));
  EXPECT_THAT(names_of(folder.load("base = 'a.toml'\ntrain.lr = 0.5")),
              ElementsAre("layers=1,seed=0", "layers=2,seed=0"));
  EXPECT_EQ(expand(folder.load("base = 'a.toml'\ntrain.lr = 0.5"))[1].config.train.lr, 0.5);
  EXPECT_THAT(names_of(folder.load("base = 'a.toml'", {"train.lr=0.5", "model.layers=3"})),
              ElementsAre("seed=0"));
  EXPECT_THAT(names_of(folder.load("train.lr = 0.5", {"sweep.train.lr=[1, 2]"})),
              ElementsAre("lr=1,seed=0", "lr=2,seed=0"));
}

TEST(Sweep, NamesAreFitForFilesAndDistinct) {
  const Folder folder;
  EXPECT_THAT(
      names_of(folder.load(R"(model.sliding_window = 8
sweep.model.attention = [["full"], ["window", "full"]]
sweep.data.corpus = ["/a b", "/a/b", "/a_b"]
)")),
      ElementsAre("attention=full,corpus=_ab,seed=0", "attention=full,corpus=_a_b,seed=0",
                  "attention=full,corpus=_a_b,seed=0-2", "attention=window+full,corpus=_ab,seed=0",
                  "attention=window+full,corpus=_a_b,seed=0", "attention=window+full,corpus=_a_b,seed=0-2"));
}

TEST(Sweep, EveryPointIsChecked) {
  const Folder folder;
  EXPECT_EQ(
      folder.error_in("sweep.model.q_heads = [8, 7]"),
      "2 x.toml:1:27: model.q_heads is 7: model.width = 256 must be divisible by model.q_heads = 7, or set "
      "model.head_dim");
}

struct Wrong {
  std::string text, line;
};

TEST(Sweep, MistakesAreToldInOneLine) {
  const Folder folder;
  const Wrong cases[] = {
      {"[[sweep.zip]]\nmodel.layers = [1, 2]\ntrain.lr = [1]",
       "2 x.toml:3:12: train.lr lists 1 values and model.layers lists 2: keys in one [[sweep.zip]] need "
       "lists of the "
       "same length"},
      {"sweep.train.lr = 3", "2 x.toml:1:18: sweep of train.lr is 3: must be a list of the values to try"},
      {"sweep.train.lr = []", "2 x.toml:1:18: sweep of train.lr is []: must be a list of the values to try"},
      {"sweep.train.lr = [1, 2, 1.0]", "2 x.toml:1:25: the sweep of train.lr lists 1 twice: remove one"},
      {"sweep.train.lr = [1, -2]",
       "2 x.toml:1:22: train.lr is -2: must be a number > 0 (learning rate, peak)"},
      {"sweep.train.l = [1]", "2 x.toml:1:13: unknown key train.l: did you mean train.lr?"},
      {"train.lr = 1\nsweep.train.lr = [1]",
       "2 x.toml:1:7: train.lr is given twice, by itself or in a sweep: keep one of them"},
      {"sweep.zip = [{train.lr = [1]}]\n[sweep.train]\nlr = [2]",
       "2 x.toml:1:21: train.lr is given twice, by itself or in a sweep: keep one of them"},
      {"sweep.train.seed = [1]",
       "2 x.toml:1:13: train.seed cannot be swept: seeds are an axis of their own, study.seeds = [0, 1]"},
      {"[sweep.zip]\ntrain.lr = [1]",
       "2 x.toml:2:7: sweep.zip is a list of tables: write [[sweep.zip]] above its keys"},
      {"sweep.zip = 3",
       "2 x.toml:1:7: sweep.zip is 3: write [[sweep.zip]] above the keys that change together"},
      {"[[sweep.zip]]", "2 x.toml:1:1: a [[sweep.zip]] without keys: list the keys that change together"},
      {"sweep = 3", "2 x.toml:1:1: sweep is a table: give its keys one by one, as sweep.KEY"},
  };
  for (const auto& [text, line] : cases) EXPECT_EQ(folder.error_in(text), line) << text;
}

TEST(Sweep, TooManyRunsAreRefused) {
  const Folder folder;
  std::string list = "0";
  for (int i = 1; i < 150; ++i) list += ", " + std::to_string(i);
  EXPECT_THAT(folder.error_in("study.seeds = [" + list +
                              "]\nsweep.model.norm_epsilon = [0]\nsweep.train.clip = [" + list + "]"),
              HasSubstr("the sweep makes more than 10000 runs"));
}

}  // namespace
}  // namespace fovea
