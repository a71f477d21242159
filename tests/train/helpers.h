#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "core/host_copy.h"
#include "core/random.h"
#include "data/dataset.h"
#include "job.h"
#include "train/trainer.h"

namespace fovea {

/// A folder of its own for one test, gone at its end.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "fovea-train-XXXXXX").string();
    FOVEA_CHECK(::mkdtemp(name.data()) != nullptr, "no temporary folder {}", name);
    path_ = name;
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  std::filesystem::path operator/(std::string_view name) const { return path_ / name; }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

/// The line that a call fails with, after a check that it is one line of the expected kind.
template <class F>
std::string error_of(F f, ExitCode expected) {
  try {
    f();
  } catch (const UserError& error) {
    const std::string line = error.what();
    EXPECT_EQ(error.code(), expected) << line;
    EXPECT_EQ(line.find('\n'), line.npos) << line;
    return line;
  }
  ADD_FAILURE() << "nothing was thrown";
  return {};
}

/// Sentences over a few words in random order, in documents of a few dozen bytes: quickly learned.
inline std::string learnable_text(int64 bytes) {
  constexpr std::string_view kWords[] = {"the ", "light ", "was ", "good ", "and ", "it ", "so. ", "\n\n"};
  const RandomSequence random{7, RandomUse::synthetic, 0};
  std::string text;
  for (uint64 i = 0; static_cast<int64>(text.size()) < bytes; ++i)
    text += kWords[random.below(std::size(kWords), i)];
  text.resize(static_cast<size_t>(bytes));
  return text;
}

/// A model of a few thousand parameters, and a text for it, in a folder of their own.
class SmallRun {
 public:
  SmallRun() {
    config.model.layers = 2;
    config.model.width = 32;
    config.model.q_heads = 4;
    config.model.kv_heads = 2;
    config.model.context = 16;
    config.train.batch = 4;
    config.train.grain = 2;
    config.train.tokens = 10 * 4 * 16;
    config.train.lr = 5e-3;
    config.data.corpus = (folder / "text.txt").string();
    config.data.cache = (folder / "cache").string();
    config.data.block_bytes = 64;
    config.data.held_out_every = 10;
    std::ofstream(config.data.corpus, std::ios::binary) << learnable_text(20000);
  }
  Dataset dataset() const { return open_dataset(config.data, config.model.context); }

  TemporaryFolder folder;
  Config config;
};

/// The bytes that a view names, to compare bits with.
inline std::string bits(const View& view) {
  FOVEA_CHECK(view.contiguous(), "bits of strided memory");
  return {static_cast<const char*>(view.data()), static_cast<size_t>(view.bytes())};
}

/// What a trainer comes to in some steps: every bit that a step leaves.
struct Trajectory {
  std::vector<double> losses, norms;
  std::string weights, moment1, moment2;
  bool operator==(const Trajectory&) const = default;
};

inline Trajectory train(const Config& config, const Dataset& dataset, int64 steps, int threads = 1,
                        Backend backend = Backend::cpu) {
  Trainer trainer(config, dataset, backend, threads);
  trainer.initialise_weights();
  Trajectory result;
  for (int64 i = 0; i < steps; ++i) {
    const StepResult step = trainer.step();
    result.losses.push_back(step.loss);
    result.norms.push_back(step.grad_norm);
  }
  result.weights = bits(HostCopy(trainer.state().weights()));
  result.moment1 = bits(HostCopy(trainer.state().moment1()));
  result.moment2 = bits(HostCopy(trainer.state().moment2()));
  return result;
}

}  // namespace fovea
