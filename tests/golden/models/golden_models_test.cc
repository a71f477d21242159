// Models of Hugging Face transformers against the answers that it gave: README.md has the rules.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <numeric>

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

void expect_within(const std::vector<double>& x, const std::vector<double>& ref, double bound,
                   const std::string& what) {
  const double error = error_of(x, ref);
  EXPECT_LE(error, bound) << what;
  testing::Test::RecordProperty(what, std::to_string(error / bound));
}

class Scores : public Answers, public testing::WithParamInterface<std::tuple<const char*, Backend>> {};

TEST_P(Scores, AreThoseOfTransformers) {
  const auto [name, backend] = GetParam();
  const h5::Group reference = reference_of(name);
  const fs::path out = directory_ / "answer.h5";
  score(open_model(folder_of(name)), folder_of(name) / "reference.h5", out, backend, 2);
  const h5::Group answer = h5::open_file(out);
  for (const auto& [what, bound] : {std::pair("logits", 2e-4), {"logprobs", 4e-4}, {"loss", 4e-4}}) {
    const h5::Array<double> x = answer.read<double>(what), ref = reference.read<double>(what);
    EXPECT_EQ(x.shape, ref.shape) << what;
    expect_within(x.values, ref.values, bound, what);
  }
}

std::string name_of_test(const std::string& model, Backend backend) {
  return model + "_" + std::string(name_of(backend));
}

INSTANTIATE_TEST_SUITE_P(Models, Scores,
                         testing::Combine(testing::ValuesIn(kModels),
                                          testing::Values(Backend::cpu, Backend::naive, Backend::reference)),
                         [](const auto& test) {
                           return name_of_test(std::get<0>(test.param), std::get<1>(test.param));
                         });

/// Which of our parameters a tensor of theirs holds, and how.
struct Correspondence {
  std::string theirs;
  std::vector<std::string> ours;  ///< one, or q, k, v
  bool transposed = false;        ///< (in, out)
  bool by_head = false;           ///< q, k, v of head 0, then of head 1, ...
};

std::vector<Correspondence> correspondences() {
  std::vector<Correspondence> all{
      {"model.embed_tokens.weight", {"embed.weight"}},
      {"model.norm.weight", {"final_norm.weight"}},
      {"lm_head.weight", {"head.weight"}},
      {"transformer.wte.weight", {"embed.weight"}},
      {"transformer.ln_f.weight", {"final_norm.weight"}},
      {"gpt_neox.embed_in.weight", {"embed.weight"}},
      {"gpt_neox.final_layer_norm.weight", {"final_norm.weight"}},
      {"gpt_neox.final_layer_norm.bias", {"final_norm.bias"}},
  };
  for (const std::string end : {".weight", ".bias"}) {
    const bool matrix = end == ".weight";
    const auto add = [&](const std::string& theirs, const std::vector<std::string>& modules,
                         bool transposed = false, bool by_head = false) {
      std::vector<std::string> ours;
      for (const std::string& module : modules) ours.push_back("blocks.0." + module + end);
      all.push_back({theirs + end, ours, transposed && matrix, by_head});
    };
    const std::vector<std::string> qkv{"attention.q", "attention.k", "attention.v"};
    const std::string llama = "model.layers.0.", gpt2 = "transformer.h.0.", neox = "gpt_neox.layers.0.";
    add(llama + "input_layernorm", {"attention_norm"});
    add(llama + "post_attention_layernorm", {"mlp_norm"});
    add(llama + "self_attn.q_proj", {"attention.q"});
    add(llama + "self_attn.k_proj", {"attention.k"});
    add(llama + "self_attn.v_proj", {"attention.v"});
    add(llama + "self_attn.o_proj", {"attention.out"});
    add(llama + "mlp.gate_proj", {"mlp.gate"});
    add(llama + "mlp.up_proj", {"mlp.up"});
    add(llama + "mlp.down_proj", {"mlp.down"});
    add(gpt2 + "ln_1", {"attention_norm"});
    add(gpt2 + "ln_2", {"mlp_norm"});
    add(gpt2 + "attn.c_attn", qkv, true);
    add(gpt2 + "attn.c_proj", {"attention.out"}, true);
    add(gpt2 + "mlp.c_fc", {"mlp.up"}, true);
    add(gpt2 + "mlp.c_proj", {"mlp.down"}, true);
    add(neox + "input_layernorm", {"attention_norm"});
    add(neox + "post_attention_layernorm", {"mlp_norm"});
    add(neox + "attention.query_key_value", qkv, false, true);
    add(neox + "attention.dense", {"attention.out"});
    add(neox + "mlp.dense_h_to_4h", {"mlp.up"});
    add(neox + "mlp.dense_4h_to_h", {"mlp.down"});
  }
  return all;
}

/// A model's gradients of the mean cross-entropy of each next token, on one backend.
class Gradients {
 public:
  Gradients(const StoredModel& model, const h5::Array<int32>& tokens, Backend backend)
      : wide_(backend == Backend::reference ? DType::f64 : DType::f32),
        decoder_(model.shape(), tokens.shape[1], wide_),
        gradients_(wide_, {decoder_.layout().elements()}) {
    const int64 n = tokens.shape[0] * tokens.shape[1], length = tokens.shape[1];
    std::vector<int32> inputs = tokens.values, targets(inputs.size(), -1), positions(inputs.size());
    for (size_t i = 0; i < inputs.size(); ++i) {
      positions[i] = static_cast<int32>(static_cast<int64>(i) % length);
      if (positions[i] + 1 < length) targets[i] = inputs[i + 1];
    }
    Buffer weights(wide_, {decoder_.layout().elements()}), losses(wide_, {n});
    read_all(model.parameters, model.layout, weights);
    const auto view = [&](std::vector<int32>& values) { return View(values.data(), DType::i32, {n}); };
    const double scored = static_cast<double>(n - tokens.shape[0]);
    const auto run = [&](Stream& stream, Arena& arena) {
      const StepContext context{
          .stream = stream,
          .arena = arena,
          .layout = decoder_.layout(),
          .precision = {wide_, wide_, wide_},
          .weights = weights,
          .compute_weights = weights,
          .gradients = gradients_,
          .batch = {tokens.shape[0], length, view(inputs), view(targets), view(positions), nullptr}};
      decoder_.train(context, losses, 1 / scored, recompute_policy_named("every 2"));
    };
    Stream planning(backend, 2, Stream::Mode::plan), stream(backend, 2);
    Arena recording, arena;
    run(planning, recording);
    const MemoryPlan plan = recording.plan();
    Buffer memory(plan.bytes);
    arena.replay(plan, memory.data());
    run(stream, arena);
    stream.synchronize();
    for (int64 i = 0; i < n; ++i) loss_ += load(losses, {i}) / scored;
  }

  double loss() const { return loss_; }
  double norm() const {
    double sum = 0;
    for (int64 i = 0; i < gradients_.view().elements(); ++i) sum += std::pow(load(gradients_, {i}), 2);
    return std::sqrt(sum);
  }

  /// The gradient in the order in which their tensor lies in the file.
  std::vector<double> as(const Correspondence& to) const {
    std::vector<View> parts;
    int64 columns = 1;
    for (const std::string& name : to.ours) {
      const ParameterId id = decoder_.layout().find(name);
      FOVEA_CHECK(id != kNoParameter, "the model has no {}", name);
      const Parameter& p = decoder_.layout()[id];
      columns = p.vector ? 1 : p.columns;
      parts.push_back(decoder_.layout().view(gradients_, id).reshape({p.elements() / columns, columns}));
    }
    std::vector<std::pair<const View*, int64>> rows;  // of our parts, in their order
    const int64 head = to.by_head ? decoder_.shape().head_dim : parts[0].size(0);
    for (int64 begin = 0; begin < parts[0].size(0); begin += head)
      for (const View& part : parts)
        for (int64 row = begin; row < begin + head; ++row) rows.emplace_back(&part, row);
    std::vector<double> values;
    if (to.transposed)
      for (int64 column = 0; column < columns; ++column)
        for (const auto& [part, row] : rows) values.push_back(load(*part, {row, column}));
    else
      for (const auto& [part, row] : rows)
        for (int64 column = 0; column < columns; ++column) values.push_back(load(*part, {row, column}));
    return values;
  }

 private:
  DType wide_;
  Decoder decoder_;
  Buffer gradients_;
  double loss_ = 0;
};

class GoldenGradients : public testing::TestWithParam<std::tuple<const char*, Backend>> {};

TEST_P(GoldenGradients, AreThoseOfTransformers) {
  const auto [name, backend] = GetParam();
  const h5::Group reference = reference_of(name);
  const Gradients gradients(open_model(folder_of(name)), reference.read<int32>("tokens"), backend);
  expect_within({gradients.loss()}, reference.read<double>("loss").values, 4e-4, "loss");
  if (!reference.has("grads")) return;
  expect_within({gradients.norm()}, reference.read<double>("grad_norm").values, 1e-3, "grad_norm");
  const std::vector<Correspondence> all = correspondences();
  const h5::Group expected = reference.group("grads");
  EXPECT_GE(expected.names().size(), 10u);
  for (const std::string& tensor : expected.names()) {
    const auto found =
        std::find_if(all.begin(), all.end(), [&](const Correspondence& c) { return c.theirs == tensor; });
    ASSERT_NE(found, all.end()) << tensor;
    expect_within(gradients.as(*found), expected.read<double>(tensor).values, 1e-3, tensor);
  }
}

INSTANTIATE_TEST_SUITE_P(Models, GoldenGradients,
                         testing::Combine(testing::ValuesIn(kModels),
                                          testing::Values(Backend::cpu, Backend::naive, Backend::reference)),
                         [](const auto& test) {
                           return name_of_test(std::get<0>(test.param), std::get<1>(test.param));
                         });

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
      score(open_model(folder_of("gpt2")), path, out, Backend::cpu, 1);
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
  const StoredModel model = open_model(folder_of("mistral_window"));
  const auto logits = [&](const h5::Array<int32>& tokens) {
    {
      const h5::Group file = h5::create_file(directory_ / "tokens.h5");
      file.write<int32>("tokens", tokens.shape, std::span<const int32>(tokens.values));
      file.flush();
    }
    score(model, directory_ / "tokens.h5", directory_ / "answer.h5", Backend::reference, 1);
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
