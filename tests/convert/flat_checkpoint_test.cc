// Checkpoints of llm.c and llama2.c: tests/golden/flat says where the right answers come from.
#include "convert/flat_checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "core/error.h"
#include "small_decoder.h"
#include "temporary_folder.h"

namespace fovea {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

const fs::path kFlat = fs::path(FOVEA_GOLDEN) / "flat";

template <class T>
void append(std::string& file, const std::vector<T>& values) {
  file.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
}

std::vector<float> parameters_of(const StoredModel& model) {
  return read_all(model.parameters, model.layout);
}

std::vector<float> values_in(const StoredModel& model, const std::string& name) {
  const std::vector<float> all = parameters_of(model);
  const auto values = values_of(model.layout, all, name);
  return {values.begin(), values.end()};
}

class Llama2C : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(All, Llama2C, testing::Values("apart", "tied"));

TEST_P(Llama2C, HasTheLogitsOfItsProgram) {
  const fs::path path = kFlat / (GetParam() + std::string(".bin"));
  ASSERT_TRUE(is_flat_checkpoint(path));
  const StoredModel model = open_flat_checkpoint(path);
  const std::string answer = read_file(kFlat / (GetParam() + std::string(".logits")));
  std::vector<float> expected(answer.size() / sizeof(float));
  std::memcpy(expected.data(), answer.data(), answer.size());
  std::vector<int32> tokens;
  for (int32 p = 0; p < 16; ++p) tokens.push_back((p * 7 + 3) % 32);
  const Decoder decoder(model.shape(), 16, DType::f64);
  EXPECT_LE(
      difference(logits_of(decoder, parameters_of(model), tokens, 1), {expected.begin(), expected.end()}),
      3e-6);
}

// Version 1 lays the same tensors down in another order, behind a longer header.
TEST_P(Llama2C, IsTheSameInVersion1) {
  const fs::path path = kFlat / (GetParam() + std::string(".bin"));
  const StoredModel old = open_flat_checkpoint(path);
  const bool tied = GetParam() == std::string("tied");
  std::string file;
  append(file, std::vector<int32>{0x616b3432, 1, 16, 24, 2, 4, 2, 32, 16});
  file += static_cast<char>(tied);
  file.resize(256);
  const auto layers = [&](const char* name) {
    for (int layer = 0; layer < 2; ++layer)
      append(file, values_in(old, fmt::format("blocks.{}.{}.weight", layer, name)));
  };
  layers("attention_norm");
  layers("mlp_norm");
  append(file, values_in(old, "final_norm.weight"));
  append(file, values_in(old, "embed.weight"));
  for (const char* name :
       {"attention.q", "attention.k", "attention.v", "attention.out", "mlp.gate", "mlp.down", "mlp.up"})
    layers(name);
  if (!tied) append(file, values_in(old, "head.weight"));
  const TemporaryFolder folder;
  write_file_atomically(folder / "model", file);
  ASSERT_TRUE(is_flat_checkpoint(folder / "model"));
  const StoredModel model = open_flat_checkpoint(folder / "model");
  EXPECT_EQ(parameters_of(model), parameters_of(old));
  EXPECT_EQ(model.shape(), old.shape());
}

/// A drawn GPT-2 as llm.c writes it (train_gpt2.py, write_model), its table padded by `padding` rows.
std::string as_llm_c(const StoredModel& gpt2, bool half, int64 padding) {
  const DecoderShape shape = gpt2.shape();
  std::string file;
  append(file, std::vector<int32>{20240326, half ? 5 : 3, static_cast<int32>(shape.context),
                                  static_cast<int32>(shape.vocab), static_cast<int32>(shape.layers),
                                  static_cast<int32>(shape.q_heads), static_cast<int32>(shape.width),
                                  static_cast<int32>(shape.vocab + padding)});
  file.resize(1024);
  const auto add = [&](const std::vector<float>& values) {
    if (!half) return append(file, values);
    std::vector<bf16> rounded;
    for (const float value : values) rounded.emplace_back(value);
    append(file, rounded);
  };
  add(values_in(gpt2, "embed.weight"));
  add(std::vector<float>(static_cast<size_t>(padding * shape.width), 7.0f));
  add(values_in(gpt2, "position.weight"));
  const auto layers = [&](const std::vector<std::string>& names) {
    for (int64 layer = 0; layer < shape.layers; ++layer)
      for (const std::string& name : names) add(values_in(gpt2, fmt::format("blocks.{}.{}", layer, name)));
  };
  for (const char* what : {"weight", "bias"}) layers({fmt::format("attention_norm.{}", what)});
  for (const char* what : {"weight", "bias"})
    layers({fmt::format("attention.q.{}", what), fmt::format("attention.k.{}", what),
            fmt::format("attention.v.{}", what)});
  for (const char* module : {"attention.out", "mlp_norm", "mlp.up", "mlp.down"})
    for (const char* what : {"weight", "bias"}) layers({fmt::format("{}.{}", module, what)});
  add(values_in(gpt2, "final_norm.weight"));
  add(values_in(gpt2, "final_norm.bias"));
  return file;
}

TEST(LlmC, IsTheModelThatItWasMadeFrom) {
  ModelConfig config;
  config.family = "gpt2";
  config.layers = 2;
  config.width = 12;
  config.q_heads = 3;
  config.context = 10;
  const Decoder decoder = decoder_of(config);
  const std::vector<float> drawn = drawn_parameters(decoder, 5);
  const StoredModel gpt2 = model_of(config, decoder.shape().vocab, drawn);
  const TemporaryFolder folder;
  for (const int64 padding : {0, 5}) {
    write_file_atomically(folder / "f32", as_llm_c(gpt2, false, padding));
    const StoredModel model = open_flat_checkpoint(folder / "f32");
    EXPECT_EQ(parameters_of(model), parameters_of(gpt2));
    EXPECT_EQ(model.shape(), gpt2.shape());
  }
  write_file_atomically(folder / "bf16", as_llm_c(gpt2, true, 3));
  const StoredModel half = open_flat_checkpoint(folder / "bf16");
  EXPECT_EQ(half.parameters.dtype(0), DType::bf16);
  const std::vector<float> rounded = parameters_of(half), full = parameters_of(gpt2);
  for (size_t i = 0; i < full.size(); ++i) ASSERT_EQ(rounded[i], to_f32(bf16(full[i])));
}

std::string error_of(const std::string& bytes) {
  const TemporaryFolder folder;
  write_file_atomically(folder / "x.bin", bytes);
  try {
    open_flat_checkpoint(folder / "x.bin");
  } catch (const UserError& error) {
    EXPECT_EQ(error.code(), ExitCode::input);
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
    EXPECT_THAT(error.what(), HasSubstr("x.bin"));
    return error.what();
  }
  return "no error";
}

TEST(FlatCheckpoints, ThatLieAreRefusedInOneLine) {
  const std::string good = read_file(kFlat / "apart.bin");
  EXPECT_EQ(error_of(good), "no error");
  EXPECT_THAT(error_of(""), HasSubstr("shorter than its header"));
  EXPECT_THAT(error_of(good.substr(0, 20)), HasSubstr("shorter than its header"));
  EXPECT_THAT(error_of(good.substr(0, good.size() - 1)), HasSubstr("or truncated"));
  EXPECT_THAT(error_of(good + "x"), HasSubstr("its header asks for"));
  const auto with = [&](size_t word, int32 value) {
    std::string bytes = good;
    std::memcpy(bytes.data() + 4 * word, &value, 4);
    return bytes;
  };
  EXPECT_THAT(error_of(with(0, -1)), HasSubstr("a width of -1"));
  EXPECT_THAT(error_of(with(0, 1 << 30)), HasSubstr("a width of 1073741824"));
  EXPECT_THAT(error_of(with(0, 65536)), HasSubstr("its header asks for"));
  EXPECT_THAT(error_of(with(3, 3)), HasSubstr("are not whole"));
  EXPECT_THAT(error_of(with(4, 3)), HasSubstr("are not whole"));
  EXPECT_THAT(error_of(with(3, 16)), HasSubstr("RoPE turns pairs"));
  EXPECT_THAT(error_of(with(5, 0)), HasSubstr("a vocabulary of 0"));
  EXPECT_THAT(error_of(with(5, -2147483647 - 1)), HasSubstr("a vocabulary of -2147483648"));
  EXPECT_THAT(error_of(with(0, 20240326)), HasSubstr("version 24 of llm.c's checkpoints"));
  EXPECT_THAT(error_of(with(0, 0x616b3432)), HasSubstr("version 24 of llama2.c's checkpoints"));
}

}  // namespace
}  // namespace fovea
