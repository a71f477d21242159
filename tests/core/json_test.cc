#include "core/json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/error.h"

namespace fovea {
namespace {

using testing::HasSubstr;

std::string error_of(const std::string& text) {
  try {
    parse_json(text, "a.json");
  } catch (const UserError& error) {
    EXPECT_EQ(error.code(), ExitCode::input);
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
    EXPECT_THAT(error.what(), HasSubstr("a.json: "));
    return error.what();
  }
  return "no error";
}

std::string nested(int depth) {
  return std::string(static_cast<size_t>(depth), '[') + std::string(static_cast<size_t>(depth), ']');
}

TEST(Json, IsReadOnce) {
  const auto json = parse_json(R"({"a": {"b": [1, {"b": 2}]}, "b": "\u00e9"})", "a.json");
  EXPECT_EQ(json["a"]["b"][1]["b"], 2);
  EXPECT_EQ(json["b"], "\xc3\xa9");
}

TEST(Json, WhatCannotBeTrustedIsRefusedInOneLine) {
  EXPECT_THAT(error_of(""), HasSubstr("not valid JSON"));
  EXPECT_THAT(error_of("{\"a\": 1,}"), HasSubstr("not valid JSON, at byte 9"));
  EXPECT_THAT(error_of("[1e999]"), HasSubstr("not valid JSON"));
  EXPECT_THAT(error_of("\"\xff\""), HasSubstr("not valid JSON"));
  EXPECT_THAT(error_of(R"({"a": 1, "b": 2, "a": 3})"), HasSubstr("gives \"a\" twice"));
  EXPECT_THAT(error_of(R"([{"x": {"a\n": 1, "a\n": 3}}])"), HasSubstr(R"(gives "a\n" twice)"));
  EXPECT_EQ(error_of(R"([{"a": 1}, {"a": 1}])"), "no error");
  EXPECT_EQ(error_of(nested(60)), "no error");
  EXPECT_THAT(error_of(nested(66)), HasSubstr("nests deeper than 64"));
  EXPECT_THAT(error_of(nested(10'000'000)), HasSubstr("nests deeper than 64"));
}

// In a time that grows with the text, not with its square.
TEST(Json, ManyObjectsInAListAreReadAtOnce) {
  std::string text = "[{}";
  for (int i = 0; i < 500'000; ++i) text += ",{}";
  EXPECT_EQ(parse_json(text + "]", "a.json").size(), 500'001u);
  text = "[0";
  for (int i = 0; i < 4'000'000; ++i) text += ",0";
  EXPECT_THAT(error_of(text + "]"), HasSubstr("more than 4000000 values"));
}

TEST(Json, StringsFromOutsideStayOnOneLine) {
  EXPECT_EQ(printable("a\n\"b\"\xff"), R"(a\n\"b\"\ufffd)");
  EXPECT_EQ(printable("abcdef", 3), "abc");
  EXPECT_EQ(printable_json(nlohmann::json::parse("[1, {\"a\": null}]")), R"([1,{"a":null}])");
  EXPECT_THAT(printable_json(nlohmann::json(std::string(100, 'x'))), testing::EndsWith("xxx..."));
}

}  // namespace
}  // namespace fovea
