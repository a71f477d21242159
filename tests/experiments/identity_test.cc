// What names a run: everything that can change its result, and nothing else.
#include <gtest/gtest.h>

#include "experiments/identity.h"
#include "tests/config/helpers.h"
#include "tokenizer/bpe_trainer.h"

namespace fovea {
namespace {

class Identity : public testing::Test {
 protected:
  Identity() {
    run_.config.data.corpus = folder_.write("corpus.txt", text_);
    run_.config.data.cache = folder_.at("cache");
    run_.config.model.context = 16;
    run_.name = "a";
  }
  Dataset dataset(const Config& config) const { return open_dataset(config.data, config.model.context); }
  RunIdentity identity_of(const PlannedRun& run) const { return identify(run, dataset(run.config), {}); }

  Folder folder_;
  std::string text_ = std::string(100000, 'x') + "end";
  PlannedRun run_;
};

// Another acceptable value of the key, whatever it is now.
ConfigValue other_value(const ConfigKey& key, const Config& config) {
  const ConfigValue now = value_of(key, config);
  const std::vector<ConfigValue> candidates = {ConfigValue(std::string("none")),
                                               ConfigValue(std::string("every 3")),
                                               ConfigValue(std::string("other")),
                                               ConfigValue(int64{1}),
                                               ConfigValue(int64{2}),
                                               ConfigValue(0.25),
                                               ConfigValue(0.75),
                                               ConfigValue(true),
                                               ConfigValue(false),
                                               ConfigValue(std::vector<std::string>{"mean"}),
                                               ConfigValue(std::vector<std::string>{"window"}),
                                               ConfigValue(std::vector<int64>{7}),
                                               ConfigValue(std::vector<double>{0.5})};
  for (const ConfigValue& candidate : candidates)
    if (candidate.index() == now.index() && candidate != now && acceptable(key, candidate)) return candidate;
  for (const std::string_view word : key.words)
    if (const ConfigValue candidate{std::string(word)}; candidate != now) return candidate;
  ADD_FAILURE() << key.path << " has one value only";
  return now;
}

TEST_F(Identity, ChangesWithEachKeyThatChangesResultsAndWithNoOther) {
  const std::string before = identity_of(run_).full;
  const Dataset same = dataset(run_.config);
  int64 with = 0, without = 0;
  for (const ConfigKey& key : config_keys()) {
    if (key.path.starts_with("data.") || key.path == "init.from") continue;  // below
    PlannedRun changed = run_;
    set_value(key, changed.config, other_value(key, run_.config));
    // The backend is computed with, but written down as no key of the result: identify() adds it.
    const bool matters = key.identity || key.path == "run.backend";
    const bool differs = identify(changed, same, {}).full != before;
    EXPECT_EQ(differs, matters) << key.path;
    ++(matters ? with : without);
  }
  EXPECT_GT(with, 30);
  EXPECT_GT(without, 5);
}

TEST_F(Identity, IsNotMovedByHowAndWhereItRuns) {
  const std::string before = identity_of(run_).full;
  PlannedRun changed = run_;
  changed.name = "b";
  changed.config.study.name = "other";
  changed.config.run.threads = 7;
  changed.config.train.checkpoint_every = 3;
  changed.config.train.keep_checkpoints = 9;
  changed.config.data.cache = folder_.at("elsewhere");
  changed.config.data.corpus = folder_.write("same text.txt", text_);
  EXPECT_EQ(identity_of(changed).full, before);
}

TEST_F(Identity, ChangesWithTheTextThatIsRead) {
  const std::string before = identity_of(run_).full;
  PlannedRun changed = run_;
  changed.config.data.corpus = folder_.write("other.txt", text_ + "!");
  EXPECT_NE(identity_of(changed).full, before);
  changed = run_;
  changed.config.data.held_out_every = 10;
  EXPECT_NE(identity_of(changed).full, before);
}

TEST_F(Identity, ChangesWithWhatItStartsFrom) {
  const Dataset data = dataset(run_.config);
  const RunIdentity none = identify(run_, data, {}), one = identify(run_, data, "baseline 1"),
                    two = identify(run_, data, "baseline 2");
  EXPECT_NE(none.full, one.full);
  EXPECT_NE(one.full, two.full);
  EXPECT_NE(one.inputs, two.inputs);
  PlannedRun later = run_;
  later.first_sample = 8;
  EXPECT_NE(identify(later, data, {}).full, none.full);
}

TEST_F(Identity, OfAFileOfWeightsIsWhatItHolds) {
  const auto with_weights = [&](const std::string& name, const std::string& bytes) {
    PlannedRun run = run_;
    run.config.init.from = folder_.write(name, bytes);
    return identity_of(run).full;
  };
  const std::string before = with_weights("a.safetensors", "weights");
  EXPECT_EQ(with_weights("b.safetensors", "weights"), before);
  EXPECT_NE(with_weights("a.safetensors", "weightz"), before);
}

TEST_F(Identity, NamesTheDirectoryWithoutNumerics) {
  const RunIdentity identity = identity_of(run_);
  EXPECT_EQ(identity.inputs.size(), 32U);
  EXPECT_EQ(identity.full.size(), 32U);
  EXPECT_NE(identity.inputs, identity.full);
}

TEST_F(Identity, SeesWhatATokenizerDoesAndNotWhereItLies) {
  const std::string json = train_bpe({"xxxx xxx end"}, {"gpt2", 260}).json;
  const auto identity = [&](const std::string& tokenizer) {
    PlannedRun run = run_;
    run.config.data.tokenizer = tokenizer;
    return identity_of(run).full;
  };
  const std::string here = identity(folder_.write("here.json", json));
  EXPECT_EQ(identity(folder_.write("there.json", json)), here);
  EXPECT_NE(identity(folder_.write("other.json", train_bpe({"xxxx xxx end"}, {"gpt2", 257}).json)), here);
  EXPECT_NE(identity("bytes"), here);
}

}  // namespace
}  // namespace fovea
