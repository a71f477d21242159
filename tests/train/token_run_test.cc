#include <numbers>

#include "record/hdf5.h"
#include "runs.h"
#include "tokenizer/bpe_trainer.h"
#include "train/run.h"

namespace fovea {
namespace {

/// Each byte of the text as a token of uint16.
std::string as_tokens(const std::string& text) {
  std::string tokens;
  for (const char c : text) tokens += {c, '\0'};
  return tokens;
}

RunRecord run_of(const SmallRun& small, const Config& config, const char* name) {
  const auto directory = small.folder / name;
  const RunState state =
      execute_run(job_of(config, directory), open_dataset(config.data, config.model.context), 1,
                  [](const RunProgress&) {});
  EXPECT_EQ(state, RunState::done);
  return read_run_file(directory / "run.h5");
}

// The same sequences by either route: blocks of as many tokens, which take twice the bytes.
TEST(TokenRun, BytesAsTokensTrainAsTheTextDoes) {
  SmallRun small;
  small.config.train.evaluate_every = 4;
  Config tokens = small.config;
  tokens.data.corpus = (small.folder / "text.bin").string();
  tokens.data.vocab = 256;
  tokens.data.block_bytes = 2 * small.config.data.block_bytes;
  write_file_atomically(tokens.data.corpus, as_tokens(read_file(small.config.data.corpus)));

  const RunRecord text = run_of(small, small.config, "text"), token = run_of(small, tokens, "tokens");
  EXPECT_EQ(token.series.train_loss, text.series.train_loss);
  EXPECT_EQ(token.series.grad_norm, text.series.grad_norm);
  ASSERT_EQ(token.evaluations.size(), text.evaluations.size());
  for (size_t i = 0; i < text.evaluations.size(); ++i) {
    EXPECT_EQ(token.evaluations[i].loss, text.evaluations[i].loss);
    EXPECT_TRUE(text.evaluations[i].bits_per_byte.has_value());
    EXPECT_FALSE(token.evaluations[i].bits_per_byte.has_value());  // of which text nobody knows
  }
  EXPECT_TRUE(h5::open_file(small.folder / "text/run.h5").group("final").has("bits_per_byte"));
  EXPECT_FALSE(h5::open_file(small.folder / "tokens/run.h5").group("final").has("bits_per_byte"));
}

/// The configuration of a run on tokens of a byte-pair encoding that its text trains.
Config with_trained_tokens(const SmallRun& small) {
  Config config = small.config;
  config.data.tokenizer = (small.folder / "tokenizer.json").string();
  write_file_atomically(config.data.tokenizer,
                        train_bpe({read_file(config.data.corpus)}, {"gpt2", 300}).json);
  return config;
}

TEST(TokenRun, BitsPerByteAreOfTheSameTextWhateverTheTokens) {
  SmallRun small;
  small.config.train.evaluate_every = 5;
  const Config tokens = with_trained_tokens(small);
  const Dataset bytes = small.dataset(), merged = open_dataset(tokens.data, 16);
  EXPECT_EQ(merged.held_out_bytes(), bytes.held_out_bytes());
  EXPECT_LT(merged.held_out_tokens(), bytes.held_out_tokens() / 2);
  const RunRecord record = run_of(small, tokens, "merged");
  ASSERT_EQ(record.evaluations.size(), 2u);
  for (const Evaluation& evaluation : record.evaluations)
    EXPECT_DOUBLE_EQ(*evaluation.bits_per_byte, evaluation.loss / std::numbers::ln2 *
                                                    static_cast<double>(merged.held_out_tokens()) /
                                                    static_cast<double>(bytes.held_out_bytes()));
  EXPECT_LT(record.evaluations.back().loss, record.evaluations.front().loss);
  EXPECT_THAT(record.corpus.description, testing::HasSubstr("tokenizer.json, vocabulary of "));
}

// Documents masked from each other, stopped and resumed: the bits of a calm run.
TEST(TokenRun, IsResumedToTheSameBits) {
  SmallRun small;
  small.config = with_trained_tokens(small);
  small.config.data.documents = true;
  small.config.train.evaluate_every = 4;
  run_of(small, small.config, "calm");
  const auto directory = small.folder / "stopped";
  for (const int step : {2, 7}) {
    Child child(small, directory, 1 + step % 2, step);
    ASSERT_EQ(child.wait(), kInterrupted) << step;
  }
  Child child(small, directory, 2, 0);
  ASSERT_EQ(child.wait(), kDone);
  expect_equal(outcome_of(directory), outcome_of(small.folder / "calm"));
}

}  // namespace
}  // namespace fovea
