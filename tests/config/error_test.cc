#include <gmock/gmock.h>

#include "config/suggest.h"
#include "tests/config/helpers.h"

namespace fovea {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

struct Wrong {
  std::string text, line;
};

TEST(Errors, ReadAsTheyShould) {
  const Folder folder;
  const Wrong cases[] = {
      // range
      {"[train]\nlr = -1", "2 x.toml:2:6: train.lr is -1: must be a number > 0 (learning rate, peak)"},
      {"train.lr = nan", "2 x.toml:1:12: train.lr is nan: must be a number > 0 (learning rate, peak)"},
      {"train.lr = inf", "2 x.toml:1:12: train.lr is inf: must be a number > 0 (learning rate, peak)"},
      {"model.layers = 0",
       "2 x.toml:1:16: model.layers is 0: must be an integer in [1, 1024] (decoder layers)"},
      {"model.rope_fraction = -0.5",
       "2 x.toml:1:23: model.rope_fraction is -0.5: must be a number in (0, 1], or -1 (part of a head that "
       "is "
       "rotated; -1: the family's)"},
      {"gqa.alphas = [0, 2]",
       "2 x.toml:1:14: gqa.alphas is [0, 2]: must be a list of numbers in [0, 1], not empty (uptraining, as "
       "fractions "
       "of the baseline's steps)"},
      {"study.seeds = []",
       "2 x.toml:1:15: study.seeds is []: must be a list of integers >= 0, not empty (one run per seed; "
       "stands over "
       "train.seed unless that is set later)"},
      // type
      {"train.lr = \"fast\"",
       "2 x.toml:1:12: train.lr is \"fast\": must be a number > 0 (learning rate, peak)"},
      {"model.layers = 2.5",
       "2 x.toml:1:16: model.layers is 2.5: must be an integer in [1, 1024] (decoder layers)"},
      {"model.layers = 1e300",
       "2 x.toml:1:16: model.layers is 1e+300: must be an integer in [1, 1024] (decoder layers)"},
      {"model.layers = [2]",
       "2 x.toml:1:16: model.layers is [2]: must be an integer in [1, 1024] (decoder layers)"},
      {"model.layers = 1979-05-27",
       "2 x.toml:1:16: model.layers is a date or time: must be an integer in [1, 1024] (decoder layers)"},
      {"data.documents = 1",
       "2 x.toml:1:18: data.documents is 1: must be true or false (pack documents and mask attention across "
       "their "
       "bounds)"},
      {"study.seeds = 3",
       "2 x.toml:1:15: study.seeds is 3: must be a list of integers >= 0, not empty (one run per seed; "
       "stands "
       "over train.seed unless that is set later)"},
      {"train.schedule = \"cosin\"",
       "2 x.toml:1:18: train.schedule is \"cosin\": must be one of \"constant\", \"linear\", \"cosine\", "
       "\"wsd\" "
       "(course of the learning rate after the warm-up)"},
      {"train.recompute = \"every 0\"",
       "2 x.toml:1:19: train.recompute is \"every 0\": must be one of \"none\", \"selective\", \"block\", "
       "\"every K\" (gradient checkpointing: none, what is cheap (selective), every block, or every K-th "
       "(\"every 2\"))"},
      {"data.corpus = \"\"",
       "2 x.toml:1:15: data.corpus is \"\": must be a string, not empty (what to train on: kjv, a text file, "
       "folder or glob, or .bin token files)"},
      // keys
      {"[train]\n  leraning = 1", "2 x.toml:2:3: unknown key train.leraning: docs/config.md lists them all"},
      {"[train]\nwarmpu = 1", "2 x.toml:2:1: unknown key train.warmpu: did you mean train.warmup?"},
      {"[modle]\nlayers = 1", "2 x.toml:2:1: unknown key modle.layers: did you mean model.layers?"},
      {"lr = 1", "2 x.toml:1:1: unknown key lr: did you mean train.lr?"},
      {"model.lr = 1", "2 x.toml:1:7: unknown key model.lr: did you mean train.lr?"},
      {"train.lr.peak = 1", "2 x.toml:1:10: unknown key train.lr.peak: docs/config.md lists them all"},
      {"[optimizer]", "2 x.toml:1:2: unknown key optimizer: docs/config.md lists them all"},
      {"model = 3", "2 x.toml:1:1: model is a table: give its keys one by one, as model.KEY"},
      {"\"a\\nb\" = 1", "2 x.toml:1:1: unknown key a\\x0ab: docs/config.md lists them all"},
      {"\"train.lr\" = 1\n[train]\nlr = 2",
       "2 x.toml:1:1: train.lr is given twice, by itself or in a sweep: keep one of them"},
      // bases
      {"base = 3", "2 x.toml:1:8: base is 3: must be a list of files, as base = [\"other.toml\"]"},
      {"base = [\"x.toml\"]", "2 x.toml:1:8: base x.toml leads back to itself: remove one of the base lines"},
  };
  for (const auto& [text, line] : cases) EXPECT_EQ(folder.error_in(text), line) << text;
}

TEST(Errors, OverridesAreNamedAsTheyWereTyped) {
  const Folder folder;
  EXPECT_EQ(folder.error_in("", {"train.lr=-1"}),
            "2 command line: train.lr=-1: train.lr is -1: must be a number > 0 (learning rate, peak)");
  EXPECT_EQ(
      folder.error_in("", {"train.lr=1e-3x"}),
      "2 command line: train.lr=1e-3x: train.lr is \"1e-3x\": must be a number > 0 (learning rate, peak)");
  EXPECT_EQ(folder.error_in("", {"trian.lr=1"}),
            "2 command line: trian.lr=1: unknown key trian.lr: did you mean train.lr?");
  EXPECT_EQ(folder.error_in("", {"train.lr"}),
            "2 command line: \"train.lr\" is no override: write key.path=value");
  EXPECT_THAT(folder.error_in("", {"base=a.toml"}),
              StartsWith("2 command line: base=a.toml: unknown key base"));
}

TEST(Errors, MalformedTomlNamesTheLineAndColumn) {
  const Folder folder;
  for (const std::string text : {"[train]\nlr = ", "[train\n", "[train]\nlr = 1\nlr = 2",
                                 "[train]\nlr = \"a\nb\"", "a = \xff\xfe", "x = [[[[[[[["}) {
    const std::string line = folder.error_in(text);
    EXPECT_THAT(line, testing::MatchesRegex("2 x.toml:[0-9]+:[0-9]+: [^\n]+")) << text;
  }
}

TEST(Errors, MissingFilesAreInputErrors) {
  const Folder folder;
  EXPECT_THAT(folder.error("missing.toml"), StartsWith("3 "));
  EXPECT_THAT(folder.error("missing.toml"), HasSubstr("missing.toml"));
  const std::string line = folder.error_in("\nbase = ['a/missing.toml']");
  EXPECT_THAT(line, StartsWith("3 x.toml:2:8: base: "));
  EXPECT_THAT(line, HasSubstr("a/missing.toml"));
  EXPECT_THAT(folder.error("."), StartsWith("3 "));
}

TEST(Errors, ALongerCycleOfBasesIsRefused) {
  const Folder folder;
  folder.write("a.toml", "base = 'b.toml'");
  folder.write("b.toml", "base = 'sub/../a.toml'");
  EXPECT_EQ(folder.error_in("base = 'a.toml'"),
            "2 b.toml:1:8: base a.toml leads back to itself: remove one of the base lines");
}

TEST(Errors, BasesThatMultiplyEnd) {
  const Folder folder;
  folder.write("0.toml", "");
  for (int i = 1; i < 30; ++i) {
    const std::string below = std::to_string(i - 1) + ".toml";
    folder.write(std::to_string(i) + ".toml", "base = ['" + below + "', '" + below + "']");
  }
  EXPECT_THAT(folder.error("29.toml"), HasSubstr("more than 1000 files"));
}

TEST(Errors, SuggestionsAreNearOrAbsent) {
  EXPECT_EQ(nearest_config_key("model.qheads"), "model.q_heads");
  EXPECT_EQ(nearest_config_key("train.bacth"), "train.batch");
  EXPECT_EQ(nearest_config_key("run.seed"), "train.seed");
  EXPECT_EQ(nearest_config_key("entirely.different"), "");
  EXPECT_EQ(nearest_config_key(""), "");
  EXPECT_EQ(nearest_config_key(std::string(1000000, 'a')), "");
}

}  // namespace
}  // namespace fovea
