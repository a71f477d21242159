#include "convert/safetensors.h"
#include "convert/safetensors_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>

#include "core/buffer.h"
#include "core/error.h"
#include "temporary_folder.h"

namespace fovea {
namespace {

using testing::HasSubstr;

std::string file_of(const std::string& header, size_t data_bytes, uint64 claimed) {
  std::string bytes(8, '\0');
  std::memcpy(bytes.data(), &claimed, 8);
  return bytes + header + std::string(data_bytes, '\1');
}
std::string file_of(const std::string& header, size_t data_bytes) {
  return file_of(header, data_bytes, header.size());
}

std::string error_of(const std::string& bytes) {
  const TemporaryFolder folder;
  write_file_atomically(folder / "model.safetensors", bytes);
  try {
    const SafeTensors file(folder / "model.safetensors");
  } catch (const UserError& error) {
    EXPECT_EQ(error.code(), ExitCode::input);
    const std::string line = error.what();
    EXPECT_EQ(line.find('\n'), std::string::npos) << line;
    EXPECT_THAT(line, HasSubstr("model.safetensors"));
    return line;
  }
  return "no error";
}

std::string tensor(const std::string& dtype, const std::string& shape, const std::string& offsets) {
  return "{\"a\":{\"dtype\":\"" + dtype + "\",\"shape\":" + shape + ",\"data_offsets\":" + offsets + "}}";
}

TEST(SafeTensors, ReadsEveryFloatingPointKind) {
  const std::string header = R"({"__metadata__":{"format":"pt"},
    "mask":{"dtype":"BOOL","shape":[3],"data_offsets":[14,17]},
    "empty":{"dtype":"F32","shape":[0,4],"data_offsets":[4,4]},
    "f32":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},
    "bf16":{"dtype":"BF16","shape":[2],"data_offsets":[4,8]},
    "f16":{"dtype":"F16","shape":[1,1],"data_offsets":[8,10]},
    "scalar":{"dtype":"I32","shape":[],"data_offsets":[10,14]},
    "f64":{"dtype":"F64","shape":[1],"data_offsets":[17,25]}})";
  const float one_and_half = 1.5f;
  const double third = 1.0 / 3;
  std::string data(25, '\0');
  std::memcpy(data.data(), &one_and_half, 4);
  const uint16 halves[] = {0x3fc0, 0xc000, 0x3e00};  // bf16 1.5, -2; f16 1.5
  std::memcpy(data.data() + 4, halves, 6);
  std::memcpy(data.data() + 17, &third, 8);
  const TemporaryFolder folder;
  write_file_atomically(folder / "x", file_of(header, 0) + data);
  const SafeTensors file(folder / "x");
  EXPECT_EQ(file.read_f32("f32"), std::vector{1.5f});
  EXPECT_EQ(file.read_f32("bf16"), (std::vector{1.5f, -2.0f}));
  EXPECT_EQ(file.read_f32("f16"), std::vector{1.5f});
  EXPECT_EQ(file.read_f32("f64"), std::vector{static_cast<float>(third)});
  EXPECT_EQ(file.read_f32("empty").size(), 0u);
  EXPECT_EQ(file.metadata().at("format"), "pt");
  EXPECT_FALSE(file.has("mask"));
  EXPECT_THROW(file.read_f32("scalar"), UserError);
  EXPECT_THROW(file.read_f32("absent"), UserError);
}

TEST(SafeTensors, HeadersThatLieAreRefusedInOneLine) {
  EXPECT_THAT(error_of(""), HasSubstr("shorter than its header"));
  EXPECT_THAT(error_of("1234567"), HasSubstr("shorter than its header"));
  EXPECT_THAT(error_of(file_of("{}", 0, 3)), HasSubstr("truncated"));
  EXPECT_THAT(error_of(file_of("{}", 0, ~uint64{0})), HasSubstr("truncated"));
  EXPECT_THAT(error_of(file_of("{}", 0, ~uint64{0} - 7)), HasSubstr("truncated"));
  EXPECT_THAT(error_of(file_of("[]", 0)), HasSubstr("no JSON object"));
  EXPECT_THAT(error_of(file_of("{\"a\":", 0)), HasSubstr("its header: not valid JSON"));
  EXPECT_THAT(error_of(file_of(std::string(100000, '['), 0)), HasSubstr("nests deeper"));
  EXPECT_THAT(error_of(file_of("{\"a\\nb\":3}", 0)), HasSubstr("a\\nb"));
  EXPECT_THAT(error_of(file_of(R"({"a\nb":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}})", 0)),
              HasSubstr("control characters"));
  EXPECT_THAT(error_of(file_of("{\"__metadata__\":{\"a\":1}}", 0)), HasSubstr("no string"));
}

TEST(SafeTensors, TensorsThatLieAreRefusedInOneLine) {
  const auto error = [](const std::string& dtype, const std::string& shape, const std::string& offsets,
                        size_t data = 8) { return error_of(file_of(tensor(dtype, shape, offsets), data)); };
  EXPECT_EQ(error("F32", "[2]", "[0,8]"), "no error");
  EXPECT_THAT(error("F33", "[2]", "[0,8]"), HasSubstr("dtype F33 is not supported"));
  EXPECT_THAT(error("F3\\n3", "[2]", "[0,8]"), HasSubstr("not supported"));
  EXPECT_THAT(error("F32", "[2]", "[0,8]", 7), HasSubstr("outside of the file"));
  EXPECT_THAT(error("F32", "[2]", "[8,0]"), HasSubstr("outside of the file"));
  EXPECT_THAT(error("F32", "[2]", "[18446744073709551608,8]"), HasSubstr("not a size"));
  EXPECT_THAT(error("F32", "[3]", "[0,8]"), HasSubstr("not as long as its shape"));
  EXPECT_THAT(error("BF16", "[2]", "[0,8]"), HasSubstr("not as long as its shape"));
  EXPECT_THAT(error("BOOL", "[2]", "[0,8]"), HasSubstr("not as long as its shape"));
  EXPECT_THAT(error("F32", "[4294967296,4294967296,2]", "[0,8]"), HasSubstr("too large"));
  EXPECT_THAT(error("F32", "[-2]", "[0,8]"), HasSubstr("not a size"));
  EXPECT_THAT(error("F32", "[2.0]", "[0,8]"), HasSubstr("not a size"));
  EXPECT_THAT(error("F32", "\"2\"", "[0,8]"), HasSubstr("not a list"));
  EXPECT_THAT(error("F32", "[2]", "[0,8,8]"), HasSubstr("not a list"));
  EXPECT_THAT(error("F32", "[1]", "[4,8]"), HasSubstr("overlap or leave a gap"));
  EXPECT_THAT(error("F32", "[1]", "[0,4]"), HasSubstr("8 bytes of data, its tensors take 4"));
  EXPECT_THAT(error_of(file_of("{\"a\":{\"dtype\":\"F32\"}}", 0)),
              HasSubstr("no dtype, shape or data_offsets"));
  const std::string two = R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},
                              "b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})";
  EXPECT_THAT(error_of(file_of(two, 8)), HasSubstr("overlap"));
  const std::string twice = R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},
                                "a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})";
  EXPECT_THAT(error_of(file_of(twice, 4)), HasSubstr("gives \"a\" twice"));
}

TEST(SafeTensors, WhatIsWrittenReadsBack) {
  const TemporaryFolder folder;
  Buffer matrix(DType::bf16, {3, 5}), vector(DType::f32, {7});
  for (int64 i = 0; i < 15; ++i) store(matrix.view().reshape({15}), {i}, static_cast<double>(i) / 4);
  for (int64 i = 0; i < 7; ++i) store(vector, {i}, -static_cast<double>(i));
  write_safetensors(folder / "x", {{"m", matrix}, {"v", vector}}, {{"step", "12"}});
  const SafeTensors file(folder / "x");
  EXPECT_EQ(file.metadata().at("step"), "12");
  EXPECT_EQ(file.tensor("m").shape, (std::vector<int64>{3, 5}));
  Buffer again(DType::bf16, {3, 5});
  file.read_into("m", again);
  EXPECT_EQ(std::memcmp(again.data(), matrix.data(), 30), 0);
  EXPECT_EQ(file.read_f32("v")[6], -6);
  Buffer wrong(DType::bf16, {5, 3});
  EXPECT_THROW(file.read_into("m", wrong), UserError);
}

// What transformers saved is what the format's own writer wrote.
class WrittenAsTheReferenceDoes : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(All, WrittenAsTheReferenceDoes,
                         testing::Values("llama_gqa_bf16", "gpt2", "gemma_wide_heads"));

TEST_P(WrittenAsTheReferenceDoes, ToTheByte) {
  const std::filesystem::path path =
      std::filesystem::path(FOVEA_GOLDEN) / "models" / GetParam() / "model.safetensors";
  const SafeTensors file(path);
  std::vector<TensorSpec> specs;
  for (const auto& [name, tensor] : file.tensors()) specs.push_back({name, tensor.dtype, tensor.shape});
  const TemporaryFolder folder;
  SafeTensorsWriter writer(folder / "x", specs, file.metadata());
  for (const TensorSpec& spec : writer.tensors()) writer.append(file.bytes(file.tensor(spec.name)));
  EXPECT_FALSE(std::filesystem::exists(folder / "x"));
  writer.commit();
  EXPECT_EQ(read_file(folder / "x"), read_file(path));
}

// Widest dtypes first, then names; the header is padded.
TEST(SafeTensorsWriter, LaysDtypesDownAsTheReferenceDoes) {
  const TemporaryFolder folder;
  Buffer f64(DType::f64, {3}), f32(DType::f32, {2}), i32(DType::i32, {1}), half(DType::bf16, {1}),
      f16(DType::f16, {1});
  write_safetensors(folder / "x", {{"c", f16}, {"b", half}, {"i", i32}, {"z", f32}, {"a", f64}, {"q", f32}},
                    {{"aa", "2"}});
  const std::string
      bytes = read_file(folder / "x"),
      header =
          R"({"__metadata__":{"aa":"2"},)"
          R"("a":{"dtype":"F64","shape":[3],"data_offsets":[0,24]},"q":{"dtype":"F32","shape":[2],"data_offsets":[24,32]},)"
          R"("z":{"dtype":"F32","shape":[2],"data_offsets":[32,40]},"i":{"dtype":"I32","shape":[1],"data_offsets":[40,44]},)"
          R"("b":{"dtype":"BF16","shape":[1],"data_offsets":[44,46]},"c":{"dtype":"F16","shape":[1],"data_offsets":[46,48]}})";
  EXPECT_EQ(bytes.substr(8, header.size()), header);
  EXPECT_EQ(bytes.size() % 8, 0u);
  EXPECT_THAT(bytes.substr(8 + header.size(), bytes.size() - 8 - header.size() - 48),
              testing::MatchesRegex(" *"));
}

TEST(SafeTensorsWriter, TakesMetadataThatIsKnownLast) {
  const TemporaryFolder folder;
  SafeTensorsWriter writer(folder / "x", {{"a", DType::f32, {1}}}, {{"sum", "????"}});
  const float one = 1;
  writer.append(std::as_bytes(std::span(&one, 1)));
  writer.set_metadata("sum", "1234");
  writer.commit();
  const SafeTensors file(folder / "x");
  EXPECT_EQ(file.metadata().at("sum"), "1234");
  EXPECT_EQ(file.read_f32("a"), std::vector{1.0f});
}

TEST(SafeTensorsWriter, LeavesNothingWhereItIsNotEnded) {
  const TemporaryFolder folder;
  { const SafeTensorsWriter writer(folder / "x", {{"a", DType::f32, {1}}}, {}); }
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

}  // namespace
}  // namespace fovea
