#include <gmock/gmock.h>

#include <numeric>

#include "config/explain.h"
#include "core/file.h"
#include "tests/config/helpers.h"

namespace fovea {
namespace {

using testing::HasSubstr;

std::string shipped(const std::string& name) { return FOVEA_SOURCE_ROOT "/configs/" + name; }

// Tokens of all the trainings that a gqa study is made of.
double gqa_tokens(const Config& config) {
  const GqaConfig& gqa = config.gqa;
  const double fractions = std::accumulate(gqa.alphas.begin(), gqa.alphas.end(), 0.0);
  const auto groups = static_cast<double>(gqa.kv_heads.size()), inits = static_cast<double>(gqa.inits.size());
  const double per_seed =
      1 + groups * inits * fractions + (gqa.control_mha ? fractions : 0) + (gqa.control_scratch ? groups : 0);
  return per_seed * static_cast<double>(config.train.tokens) * static_cast<double>(config.study.seeds.size());
}

TEST(Configs, AllLoadAndSayWhatTheyAreFor) {
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(shipped(""))) {
    if (entry.is_directory()) continue;  // claims
    ++count;
    EXPECT_NO_THROW(load_config(entry.path().string())) << entry.path();
    EXPECT_TRUE(read_file(entry.path()).starts_with("# ")) << entry.path();
  }
  EXPECT_GE(count, 7);
}

TEST(Configs, StudiesFitTheTimeTheyPromise) {
  EXPECT_NEAR(gqa_tokens(load_config(shipped("gqa.toml")).config), 51e6, 1e6);
  EXPECT_NEAR(gqa_tokens(load_config(shipped("demo.toml")).config), 3.5e6, 0.2e6);
  EXPECT_EQ(load_config(shipped("demo.toml")).config.study.name, "demo");
}

TEST(Configs, TheSweepIsNineRuns) {
  const auto names = names_of(load_config(shipped("sweep.toml")));
  ASSERT_EQ(names.size(), 9u);
  EXPECT_EQ(names[1], "lr=0.002,seed=1");
}

TEST(Explain, TellsEveryValueAndItsOrigin) {
  const Folder folder;
  folder.write("a.toml", "model.layers = 2\n");
  const LoadedConfig loaded = folder.load(
      "base = 'a.toml'\nmodel.width = 256\ntrain.tokens = 2e6\n"
      "[sweep]\ntrain.clip = [1, 2]\n[[sweep.zip]]\ntrain.lr = [1, 2]\ntrain.beta1 = [0.8, 0.9]",
      {"model.context=64"});
  const std::string text = folder.relative(explain(loaded));
  EXPECT_THAT(text, testing::StartsWith("x.toml: 4 runs \"x\" (* differs from the default)\n\n[study]\n"));
  EXPECT_THAT(text, HasSubstr("\n[model]\n"
                              "  family                 \"llama\"                      default\n"
                              "* layers                 2                            a.toml:1:16\n"
                              "  width                  256                          x.toml:2:15\n"));
  EXPECT_THAT(
      text,
      HasSubstr("\n* context                64 tokens                    command line: model.context=64\n"));
  EXPECT_THAT(text, HasSubstr("\n* tokens                 2000000 tokens               x.toml:3:16\n"));
  EXPECT_THAT(text, HasSubstr("\n* lr                     swept                        see [sweep] below\n"));
  EXPECT_THAT(text, testing::EndsWith("\n[sweep]\n"
                                      "* train.clip = 1, 2  (x.toml:5:15)\n"
                                      "* train.beta1 = 0.8, 0.9  (x.toml:8:16)\n"
                                      "* train.lr = 1, 2  (x.toml:7:13, tied to train.beta1)\n"));
  for (const ConfigKey& key : config_keys()) {
    const std::string name{key.path.substr(key.path.find('.') + 1)};
    EXPECT_THAT(text, testing::ContainsRegex("\n[ *] " + name + " ")) << key.path;
  }
}

}  // namespace
}  // namespace fovea
