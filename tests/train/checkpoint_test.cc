#include "train/checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/file.h"
#include "helpers.h"

namespace fovea {
namespace {

using testing::HasSubstr;
namespace fs = std::filesystem;

ParameterLayout small_layout(int64 width = 5) {
  ParameterLayout layout;
  layout.add_matrix("blocks.0.attention.q.weight", 3, width, 0.02);
  layout.add_vector("norm.weight", width, 1);
  return layout;
}

void fill(const View& flat, const ParameterLayout& layout, uint32 stream) {
  const RandomSequence random{5, RandomUse::synthetic, stream};
  for (const Parameter& parameter : layout.parameters())
    for (int64 i = parameter.offset; i < parameter.offset + parameter.elements(); ++i)
      store(flat, {i}, random.normal(static_cast<uint64>(i)));
}

OptimizerState filled_state(const ParameterLayout& layout, DType wide = DType::f32) {
  OptimizerState state(layout, wide, wide);
  fill(state.weights(), layout, 0);
  fill(state.moment1(), layout, 1);
  fill(state.moment2(), layout, 2);
  return state;
}

const CheckpointInfo kInfo{1200, "0123456789abcdef0123456789abcdef", "model.width = 5\n", 256};

TEST(Checkpoint, ComesBackToTheBit) {
  const TemporaryFolder folder;
  for (const DType wide : {DType::f32, DType::f64}) {
    const ParameterLayout layout = small_layout();
    const OptimizerState state = filled_state(layout, wide);
    write_checkpoint(folder / "a", layout, state, kInfo);
    OptimizerState read(layout, wide, wide);
    const CheckpointInfo info = read_checkpoint(folder / "a", layout, read, kInfo);
    EXPECT_EQ(info.step, 1200);
    EXPECT_EQ(info.identity, kInfo.identity);
    EXPECT_EQ(info.config, kInfo.config);
    EXPECT_EQ(info.vocabulary, 256);
    EXPECT_EQ(bits(read.weights()), bits(state.weights()));
    EXPECT_EQ(bits(read.moment1()), bits(state.moment1()));
    EXPECT_EQ(bits(read.moment2()), bits(state.moment2()));
    EXPECT_EQ(checkpoint_info(SafeTensors(folder / "a")).step, 1200);
  }
}

TEST(Checkpoint, TheSameStateIsTheSameFile) {
  const TemporaryFolder folder;
  const ParameterLayout layout = small_layout();
  write_checkpoint(folder / "a", layout, filled_state(layout), kInfo);
  write_checkpoint(folder / "b", layout, filled_state(layout), kInfo);
  EXPECT_EQ(read_file(folder / "a"), read_file(folder / "b"));
}

class DamagedCheckpoint : public testing::Test {
 protected:
  DamagedCheckpoint() { write_checkpoint(path, layout, filled_state(layout), kInfo); }
  std::string failure(const CheckpointInfo& run = kInfo) {
    OptimizerState read(layout, DType::f32, DType::f32);
    const std::string line = error_of([&] { read_checkpoint(path, layout, read, run); }, ExitCode::input);
    EXPECT_THAT(line, HasSubstr(path.string()));
    return line;
  }
  void write(const std::string& data) {
    fs::remove(path);  // cutting a file short waits for the disk
    std::ofstream(path, std::ios::binary) << data;
  }

  TemporaryFolder folder;
  fs::path path = folder / "step-00001200.safetensors";
  ParameterLayout layout = small_layout();
};

// A byte that nothing depends on (blanks behind the header) may be what it likes; no other may.
TEST_F(DamagedCheckpoint, NoByteThatChangesIsReadAsSomethingElse) {
  const std::string whole = read_file(path), state = bits(filled_state(layout).weights());
  int64 refused = 0;
  for (size_t i = 0; i < whole.size(); ++i)
    for (const char flip : {'\x01', '\x20'}) {
      SCOPED_TRACE(fmt::format("byte {} of {}: '{}'", i, whole.size(), whole[i]));
      std::string damaged = whole;
      damaged[i] = static_cast<char>(damaged[i] ^ flip);
      write(damaged);
      OptimizerState read(layout, DType::f32, DType::f32);
      try {
        const CheckpointInfo info = read_checkpoint(path, layout, read, kInfo);
        EXPECT_EQ(info.step, kInfo.step);
        EXPECT_EQ(info.config, kInfo.config);
        EXPECT_EQ(info.vocabulary, kInfo.vocabulary);
        EXPECT_EQ(bits(read.weights()), state);
      } catch (const UserError& error) {
        ++refused;
        EXPECT_THAT(error.what(), testing::AllOf(HasSubstr(path.string()), testing::Not(HasSubstr("\n"))));
      }
    }
  EXPECT_GT(refused, 2 * static_cast<int64>(whole.size()) - 16);
}

TEST_F(DamagedCheckpoint, SaysThatDataAreDamaged) {
  std::string data = read_file(path);
  data[data.size() - 7] ^= 4;
  write(data);
  EXPECT_THAT(failure(), HasSubstr("damaged"));
}

TEST_F(DamagedCheckpoint, SaysSoForAnyTruncation) {
  const std::string whole = read_file(path);
  for (size_t size = 0; size < whole.size(); size += 11) {
    write(whole.substr(0, size));
    failure();
  }
  write(whole + "more");
  failure();
}

TEST_F(DamagedCheckpoint, LeavesTheStateAsItWas) {
  std::string data = read_file(path);
  data.back() ^= 1;
  write(data);
  OptimizerState state = filled_state(layout);
  fill(state.weights(), layout, 9);
  const std::string before = bits(state.weights());
  EXPECT_THROW(read_checkpoint(path, layout, state, kInfo), UserError);
  EXPECT_EQ(bits(state.weights()), before);
}

TEST_F(DamagedCheckpoint, RefusesAStaleOneAndSaysWhatDiffers) {
  CheckpointInfo run = kInfo;
  run.identity = "ffffffffffffffffffffffffffffffff";
  EXPECT_THAT(failure(run), testing::AllOf(HasSubstr("is stale"), HasSubstr(kInfo.identity),
                                           HasSubstr("ffffffff"), HasSubstr("numerics")));
  run.config = "model.width = 6\n";
  EXPECT_THAT(failure(run), HasSubstr("\"model.width = 5\" where this one says \"model.width = 6\""));
  run.config = "model.width = 5\ntrain.ema = 0.5\n";
  EXPECT_THAT(failure(run), HasSubstr("\"\" where this one says \"train.ema = 0.5\""));
  write_checkpoint(path, layout, filled_state(layout), {1200, kInfo.identity, "init.from = \"a\"\n", 256});
  run.config = "init.from = \"b\"\n";
  EXPECT_THAT(failure(run), HasSubstr("numerics"));  // where a baseline lies is no difference
}

TEST_F(DamagedCheckpoint, RefusesAnotherVersion) {
  std::string data = read_file(path);
  const size_t at = data.find("fovea checkpoint 1");
  ASSERT_NE(at, data.npos);
  data[at + std::strlen("fovea checkpoint ")] = '2';
  write(data);
  EXPECT_THAT(failure(), testing::AllOf(HasSubstr("another version"), HasSubstr("fovea checkpoint 2")));
}

TEST_F(DamagedCheckpoint, RefusesAnotherShape) {
  layout = small_layout(6);
  EXPECT_THAT(failure(), testing::AllOf(HasSubstr("blocks.0.attention.q.weight"), HasSubstr("(3, 5)")));
  layout = small_layout();
  layout.add_vector("more.weight", 4, 1);
  EXPECT_THAT(failure(), HasSubstr("more.weight"));
}

TEST_F(DamagedCheckpoint, RefusesAnotherPrecision) {
  OptimizerState state(layout, DType::f64, DType::f64);
  EXPECT_THAT(error_of([&] { read_checkpoint(path, layout, state, kInfo); }, ExitCode::input),
              HasSubstr("f64"));
}

TEST_F(DamagedCheckpoint, RefusesAModelWithoutMoments) {
  write_model(path, layout, filled_state(layout).weights(), kInfo);
  EXPECT_THAT(failure(), HasSubstr("moment1/"));
}

TEST_F(DamagedCheckpoint, RefusesWhatIsNoCheckpoint) {
  write(std::string("\2\0\0\0\0\0\0\0{}", 10));
  EXPECT_THAT(failure(), HasSubstr("not a checkpoint"));
  fs::remove(path);
  failure();
}

void touch(const fs::path& path) { std::ofstream(path) << "x"; }

TEST(Checkpoints, TheLatestIsThatOfTheHighestStep) {
  const TemporaryFolder folder;
  EXPECT_EQ(latest_checkpoint(folder.path()), std::nullopt);
  EXPECT_EQ(latest_checkpoint(folder / "not there"), std::nullopt);
  for (const int64 step : {0, 9, 1200, 35, 123456789}) touch(checkpoint_path(folder.path(), step));
  EXPECT_EQ(checkpoint_path(folder.path(), 1200).filename(), "step-00001200.safetensors");
  EXPECT_EQ(latest_checkpoint(folder.path()), folder / "step-123456789.safetensors");
  std::vector<fs::path> all;
  for (const int64 step : {123456789, 1200, 35, 9, 0}) all.push_back(checkpoint_path(folder.path(), step));
  EXPECT_EQ(checkpoints_in(folder.path()), all);
}

TEST(Checkpoints, WhatIsHalfWrittenOrOfOthersIsNoCheckpoint) {
  const TemporaryFolder folder;
  touch(folder / "step-00000005.safetensors");
  for (const char* name : {"step-00000009.safetensors.tmp.123", "step-.safetensors", "step-9x.safetensors",
                           "step--9.safetensors", "xstep-00000009.safetensors", "model.safetensors",
                           "step-99999999999999999999.safetensors"})
    touch(folder / name);
  EXPECT_EQ(latest_checkpoint(folder.path()), folder / "step-00000005.safetensors");
  prune_checkpoints(folder.path(), 0);
  EXPECT_EQ(latest_checkpoint(folder.path()), std::nullopt);
  EXPECT_TRUE(fs::exists(folder / "model.safetensors"));
}

TEST(Checkpoints, PruningKeepsTheLast) {
  const TemporaryFolder folder;
  for (const int64 step : {100, 3, 20, 7}) touch(checkpoint_path(folder.path(), step));
  prune_checkpoints(folder.path(), 5);
  EXPECT_TRUE(fs::exists(checkpoint_path(folder.path(), 3)));
  prune_checkpoints(folder.path(), 2);
  EXPECT_TRUE(fs::exists(checkpoint_path(folder.path(), 100)));
  EXPECT_TRUE(fs::exists(checkpoint_path(folder.path(), 20)));
  EXPECT_FALSE(fs::exists(checkpoint_path(folder.path(), 7)));
  EXPECT_FALSE(fs::exists(checkpoint_path(folder.path(), 3)));
}

TEST(Checkpoints, WritingLeavesNothingElseBehind) {
  const TemporaryFolder folder;
  const ParameterLayout layout = small_layout();
  const fs::path path = checkpoint_path(folder.path(), 1);
  write_checkpoint(path, layout, filled_state(layout), kInfo);
  write_checkpoint(path, layout, filled_state(layout), kInfo);
  for (const auto& entry : fs::directory_iterator(folder.path())) EXPECT_EQ(entry.path(), path);
}

TEST(Checkpoints, AFolderThatIsNotThereIsOneLine) {
  const TemporaryFolder folder;
  const ParameterLayout layout = small_layout();
  EXPECT_THAT(error_of([&] { write_checkpoint(folder / "no/a", layout, filled_state(layout), kInfo); },
                       ExitCode::failed),
              HasSubstr("no/a"));
}

}  // namespace
}  // namespace fovea
