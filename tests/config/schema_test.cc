#include "config/schema.h"

#include <gmock/gmock.h>

#include <cstdlib>
#include <set>

#include "core/file.h"
#include "core/hash.h"
#include "tests/config/helpers.h"

namespace fovea {
namespace {

using testing::HasSubstr;
using testing::Not;

// A value of the same type that differs.
ConfigValue another(const ConfigValue& value) {
  struct Change {
    ConfigValue operator()(const std::string& x) const { return x + "x"; }
    ConfigValue operator()(int64 x) const { return x + 1; }
    ConfigValue operator()(double x) const { return x + 1; }
    ConfigValue operator()(bool x) const { return !x; }
    ConfigValue operator()(std::vector<std::string> x) const { return x.push_back("x"), x; }
    ConfigValue operator()(std::vector<int64> x) const { return x.push_back(1), x; }
    ConfigValue operator()(std::vector<double> x) const { return x.push_back(1), x; }
  };
  return std::visit(Change{}, value);
}

TEST(Schema, EachKeySetsAMemberOfItsOwn) {
  std::set<std::string_view> paths;
  std::set<const void*> members;
  Config config;
  for (const ConfigKey& key : config_keys()) {
    EXPECT_TRUE(paths.insert(key.path).second) << key.path;
    std::visit([&](auto* member) { EXPECT_TRUE(members.insert(member).second) << key.path; },
               key.slot(config));
    const ConfigValue changed = another(value_of(key, config));
    set_value(key, config, changed);
    EXPECT_EQ(value_of(key, config), changed) << key.path;
    EXPECT_EQ(find_config_key(key.path), &key);
  }
  EXPECT_EQ(find_config_key("train"), nullptr);
}

// The members and nothing between them: a member that config.h gains without a row here changes the size.
TEST(Schema, EveryMemberHasARow) {
  size_t bytes = 0;
  Config config;
  for (const ConfigKey& key : config_keys())
    std::visit([&](auto* member) { bytes += sizeof(*member); }, key.slot(config));
  EXPECT_LE(bytes, sizeof(Config));
  EXPECT_LE(sizeof(Config) - bytes, 5 * 8u) << "beyond the padding after the booleans";
}

TEST(Schema, DefaultsAreAcceptable) {
  for (const ConfigKey& key : config_keys()) {
    EXPECT_TRUE(acceptable(key, value_of(key, Config{}))) << key.path;
    EXPECT_FALSE(key.description.empty());
    EXPECT_EQ(key.description.find_first_of("|\n"), std::string_view::npos) << key.path;
  }
}

TEST(Schema, BoundsAndWordsHoldAtTheirEnds) {
  const auto accepts = [](std::string_view path, const ConfigValue& value) {
    return acceptable(*find_config_key(path), value);
  };
  EXPECT_TRUE(accepts("model.dropout", 0.0));
  EXPECT_FALSE(accepts("model.dropout", 1.0));
  EXPECT_TRUE(accepts("train.warmup", 1.0));
  EXPECT_FALSE(accepts("train.lr", 0.0));
  EXPECT_TRUE(accepts("model.rope_fraction", -1.0));
  EXPECT_FALSE(accepts("model.rope_fraction", 0.0));
  EXPECT_TRUE(accepts("model.layers", int64{1024}));
  EXPECT_FALSE(accepts("model.layers", int64{1025}));
  EXPECT_FALSE(accepts("gqa.inits", std::vector<std::string>{"mean", "median"}));
  EXPECT_FALSE(accepts("gqa.inits", std::vector<std::string>{}));
  EXPECT_TRUE(accepts("gqa.kv_heads", std::vector<int64>{}));
  for (const std::string good : {"none", "selective", "block", "every 1", "every 12"})
    EXPECT_TRUE(accepts("train.recompute", good)) << good;
  for (const std::string bad : {"", "every", "every ", "every K", "every 0", "every 01", "every -1",
                                "every 2x", "every 99999999999999999999"})
    EXPECT_FALSE(accepts("train.recompute", bad)) << bad;
}

TEST(Schema, OnlyWhatChangesARunChangesItsIdentity) {
  const std::set<std::string_view> excluded = {"data.cache",
                                               "run.backend",
                                               "run.threads",
                                               "run.profile",
                                               "run.tensorboard",
                                               "train.checkpoint_every",
                                               "train.keep_checkpoints"};
  for (const ConfigKey& key : config_keys()) {
    Config config;
    set_value(key, config, another(value_of(key, config)));
    const bool of_the_study = key.path.starts_with("study.") || key.path.starts_with("gqa.");
    EXPECT_EQ(canonical(config) == canonical(Config{}), of_the_study || excluded.contains(key.path))
        << key.path;
  }
}

TEST(Schema, TheCanonicalTextIsStable) {
  Config config;
  config.train.lr = 0.1;
  config.data.corpus = "a \"quoted\"\nname";
  config.model.sliding_window = 7;
  config.model.attention = {"window", "full"};
  config.model.rope_fraction = -0.0;
  const std::string text = canonical(config);
  EXPECT_THAT(text, testing::StartsWith("model.family = \"llama\"\nmodel.layers = 4\nmodel.width = 256\n"));
  EXPECT_THAT(text, HasSubstr("\ntrain.lr = 0.1\n"));
  EXPECT_THAT(text, HasSubstr("\ndata.corpus = \"a \\\"quoted\\\"\\u000aname\"\n"));
  EXPECT_THAT(text, HasSubstr("\nmodel.attention = [\"window\", \"full\"]\n"));
  EXPECT_THAT(text, HasSubstr("\nmodel.rope_fraction = 0\n"));
  EXPECT_THAT(text, HasSubstr("\ntrain.epsilon = 1e-08\n"));
  EXPECT_THAT(text, Not(HasSubstr("gqa.")));
}

TEST(Schema, ResolvedValuesCarryUnitAndSource) {
  const Folder folder;
  const LoadedConfig loaded = folder.load("train.tokens = 2e6");
  const std::vector<ResolvedValue> values = resolved_values(loaded.config, loaded.sources);
  EXPECT_EQ(values.size(), config_keys().size());
  int seen = 0;
  for (const ResolvedValue& value : values) {
    if (value.path == "train.tokens") {
      EXPECT_EQ(std::get<int64>(value.value), 2000000);
      EXPECT_EQ(value.unit, "tokens");
      EXPECT_EQ(folder.relative(value.source), "x.toml:1:16");
      ++seen;
    }
    if (value.path == "train.beta2") {
      EXPECT_EQ(std::get<double>(value.value), 0.95);
      EXPECT_EQ(value.source, "default");
      ++seen;
    }
  }
  EXPECT_EQ(seen, 2);
}

// Keys that came later are silent at their defaults: what earlier programs ran is not run again.
TEST(Canonical, TheDefaultsAreWhatTheyWereWhenRunsWereFirstIdentified) {
  EXPECT_EQ(hash128(canonical(Config{})), "088bd73e564b82a4cf2e007cb655c544");
  Config config;
  config.train.ema = 0.5;
  EXPECT_THAT(canonical(config), HasSubstr("train.ema = 0.5\n"));
}

TEST(Reference, DocsAreWhatTheTableSays) {
  const std::string path = FOVEA_SOURCE_ROOT "/docs/config.md";
  if (std::getenv("FOVEA_WRITE_DOCS")) write_file_atomically(path, config_reference_markdown());
  EXPECT_EQ(read_file(path), config_reference_markdown()) << "run this test once with FOVEA_WRITE_DOCS=1";
}

}  // namespace
}  // namespace fovea
