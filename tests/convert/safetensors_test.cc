#include "convert/safetensors.h"

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
  EXPECT_THAT(error_of(file_of("{\"a\":", 0)), HasSubstr("no JSON object"));
  EXPECT_THAT(error_of(file_of(std::string(100000, '['), 0)), HasSubstr("no JSON object"));
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

}  // namespace
}  // namespace fovea
