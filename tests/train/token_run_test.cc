#include <gtest/gtest.h>

#include "core/file.h"
#include "helpers.h"
#include "record/hdf5.h"
#include "record/run_file.h"
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

}  // namespace
}  // namespace fovea
