// Models of Hugging Face transformers against the answers that it gave: README.md has the rules.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>

#include "convert/safetensors.h"
#include "core/error.h"
#include "experiments/model_file.h"
#include "experiments/score.h"
#include "model/decoder.h"
#include "record/hdf5.h"

namespace fovea {
namespace {

namespace fs = std::filesystem;

const char* const kModels[] = {"gemma_wide_heads", "gpt2",           "gpt_neox_partial_rotary",
                               "llama_gqa_bf16",   "llama_mha",      "mistral_window",
                               "qwen2_bias_tied",  "llama_linear",   "llama_dynamic",
                               "llama_yarn",       "llama_longrope", "llama_llama3_old_spelling"};

fs::path folder_of(const std::string& name) { return fs::path(GOLDEN_MODELS) / name; }
h5::Group reference_of(const std::string& name) { return h5::open_file(folder_of(name) / "reference.h5"); }

class Answers : public testing::Test {
 protected:
  Answers() {
    std::string name = (fs::temp_directory_path() / "models-XXXXXX").string();
    directory_ = mkdtemp(name.data());
  }
  ~Answers() override { fs::remove_all(directory_); }
  fs::path directory_;
};

/// max|x - ref| by max|ref|.
double error_of(const std::vector<double>& x, const std::vector<double>& ref) {
  EXPECT_EQ(x.size(), ref.size());
  double most = 0, error = 0;
  for (size_t i = 0; i < ref.size() && i < x.size(); ++i) {
    if (!std::isfinite(x[i])) return INFINITY;
    most = std::max(most, std::abs(ref[i]));
    error = std::max(error, std::abs(x[i] - ref[i]));
  }
  return error / most;
}

/// A tenth of what README.md allows: an independent implementation comes within a fiftieth.
constexpr double kLogits = 2e-5, kLogprobs = 2 * kLogits, kGradients = 1e-4;

void expect_within(const h5::Group& answer, const h5::Group& reference, const std::string& what,
                   double bound) {
  const h5::Array<double> x = answer.read<double>(what), ref = reference.read<double>(what);
  EXPECT_EQ(x.shape, ref.shape) << what;
  const double error = error_of(x.values, ref.values);
  EXPECT_LE(error, bound) << what;
  testing::Test::RecordProperty(what, std::to_string(error / bound));
}

class Scores : public Answers, public testing::WithParamInterface<std::tuple<const char*, Backend>> {};

TEST_P(Scores, AreThoseOfTransformers) {
  const auto [name, backend] = GetParam();
  const h5::Group reference = reference_of(name);
  ScoreOptions options{.tokens = folder_of(name) / "reference.h5",
                       .out = directory_ / "answer.h5",
                       .logits = true,
                       .gradients = true,
                       .backend = backend,
                       .threads = 2};
  score(folder_of(name), options);
  const h5::Group answer = h5::open_file(options.out);
  expect_within(answer, reference, "logits", kLogits);
  expect_within(answer, reference, "logprobs", kLogprobs);
  expect_within(answer, reference, "loss", kLogprobs);
  if (!reference.has("grads")) return;
  expect_within(answer, reference, "grad_norm", kGradients);
  const std::vector<std::string> tensors = reference.group("grads").names();
  EXPECT_GE(tensors.size(), 10u);
  for (const std::string& tensor : tensors) expect_within(answer, reference, "grads/" + tensor, kGradients);
}

/// Those of the host, or the one that FOVEA_TEST_BACKEND names: the program runs once more for the device.
std::vector<Backend> backends() {
  if (const char* name = std::getenv("FOVEA_TEST_BACKEND")) return {backend_named(name)};
  return {Backend::reference, Backend::naive, Backend::cpu};
}

std::string name_of_test(const std::string& model, Backend backend) {
  return model + "_" + std::string(name_of(backend));
}

INSTANTIATE_TEST_SUITE_P(Models, Scores,
                         testing::Combine(testing::ValuesIn(kModels), testing::ValuesIn(backends())),
                         [](const auto& test) {
                           return name_of_test(std::get<0>(test.param), std::get<1>(test.param));
                         });

/// Of every tensor of the model's own file there is a gradient of its shape, and no other.
TEST_F(Answers, GradientsAreNamedAsTheFileNamesItsTensors) {
  for (const char* name : kModels) {
    const ScoreOptions options{
        .tokens = folder_of(name) / "reference.h5", .out = directory_ / "answer.h5", .gradients = true};
    score(folder_of(name), options);
    const h5::Group gradients = h5::open_file(options.out).group("grads");
    const SafeTensors file(folder_of(name) / "model.safetensors");
    std::vector<std::string> names;
    double squares = 0;
    for (const auto& [tensor, stored] : file.tensors()) {
      names.push_back(tensor);
      const h5::Array<double> gradient = gradients.read<double>(tensor);
      EXPECT_EQ(gradient.shape, stored.shape) << tensor;
      for (const double value : gradient.values) squares += value * value;
    }
    EXPECT_EQ(gradients.names(), names) << name;
    EXPECT_FALSE(h5::open_file(options.out).has("logits"));
    const double norm = h5::open_file(options.out).read<double>("grad_norm").values.at(0);
    EXPECT_NEAR(norm, std::sqrt(squares), 1e-9 * norm);
  }
}

/// What is written besides changes no number.
TEST_F(Answers, LogprobsAreTheSameWhateverIsAskedFor) {
  std::vector<std::vector<double>> all;
  for (const bool logits : {false, true})
    for (const bool gradients : {false, true}) {
      const ScoreOptions options{.tokens = folder_of("gpt2") / "reference.h5",
                                 .out = directory_ / "answer.h5",
                                 .logits = logits,
                                 .gradients = gradients};
      score(folder_of("gpt2"), options);
      const h5::Group answer = h5::open_file(options.out);
      EXPECT_EQ(answer.has("logits"), logits);
      EXPECT_EQ(answer.has("grads"), gradients);
      all.push_back(answer.read<double>("logprobs").values);
      EXPECT_EQ(all.back(), all.front());
    }
}

class Scoring : public Answers {
 protected:
  /// What is said of these tokens to GPT-2 with its 101 tokens and 48 positions.
  std::string refusal(const std::string& dataset, const h5::Shape& shape, std::vector<int32> tokens) {
    const fs::path path = directory_ / "tokens.h5";
    {
      const h5::Group file = h5::create_file(path);
      file.write<int32>(dataset, shape, tokens);
      file.flush();
    }
    const fs::path out = directory_ / "answer.h5";
    try {
      score(folder_of("gpt2"), {.tokens = path, .out = out});
      return "accepted";
    } catch (const UserError& error) {
      EXPECT_EQ(error.code(), ExitCode::input);
      EXPECT_FALSE(fs::exists(out));
      const std::string line = error.what();
      EXPECT_THAT(line, testing::HasSubstr("tokens.h5"));
      EXPECT_EQ(std::count(line.begin(), line.end(), '\n'), 0);
      return line;
    }
  }
};

TEST_F(Scoring, RefusesTokensThatTheModelCannotTake) {
  using testing::HasSubstr;
  EXPECT_EQ(refusal("tokens", {1, 3}, {0, 100, 1}), "accepted");
  fs::remove(directory_ / "answer.h5");
  EXPECT_THAT(refusal("tokens", {1, 3}, {0, 101, 1}), HasSubstr("token 101"));
  EXPECT_THAT(refusal("tokens", {1, 3}, {0, -1, 1}), HasSubstr("token -1"));
  EXPECT_THAT(refusal("tokens", {3}, {0, 1, 2}), HasSubstr("(sequences, length)"));
  EXPECT_THAT(refusal("tokens", {0, 3}, {}), HasSubstr("(sequences, length)"));
  EXPECT_THAT(refusal("tokens", {1, 49}, std::vector<int32>(49)), HasSubstr("positions for 48"));
  EXPECT_THAT(refusal("labels", {1, 3}, {0, 1, 2}), HasSubstr("tokens"));
}

// Causal, and positions count from zero in each sequence: a part is scored as within the whole.
TEST_F(Scoring, BeginningOfASequenceIsScoredAsInTheWhole) {
  const auto logits = [&](const h5::Array<int32>& tokens) {
    {
      const h5::Group file = h5::create_file(directory_ / "tokens.h5");
      file.write<int32>("tokens", tokens.shape, std::span<const int32>(tokens.values));
      file.flush();
    }
    score(folder_of("mistral_window"), {.tokens = directory_ / "tokens.h5",
                                        .out = directory_ / "answer.h5",
                                        .logits = true,
                                        .backend = Backend::reference});
    return h5::open_file(directory_ / "answer.h5").read<double>("logits").values;
  };
  const h5::Array<int32> whole = reference_of("mistral_window").read<int32>("tokens");
  const std::vector<double> all = logits(whole);
  const std::vector<double> part =
      logits({{1, 20}, {whole.values.begin() + 48, whole.values.begin() + 48 + 20}});
  const size_t row = all.size() / whole.values.size();
  ASSERT_EQ(part.size(), 20 * row);
  for (size_t i = 0; i < part.size(); ++i) ASSERT_NEAR(part[i], all[48 * row + i], 1e-6);
}

}  // namespace
}  // namespace fovea
