#include "core/error.h"

#include <gtest/gtest.h>

namespace fovea {
namespace {

template <class F>
ExitCode code_of(F fail, const std::string& line) {
  try {
    fail();
  } catch (const UserError& error) {
    EXPECT_EQ(error.what(), line);
    return error.code();
  }
  return ExitCode::done;
}

TEST(Error, AUsersMistakeIsOneLineWithItsExitCode) {
  EXPECT_EQ(code_of([] { fail_usage("{}: {}", "a.toml:3:1", "unknown key"); }, "a.toml:3:1: unknown key"),
            ExitCode::usage);
  EXPECT_EQ(code_of([] { fail_input("{} missing", "x"); }, "x missing"), ExitCode::input);
  EXPECT_EQ(code_of([] { fail_unavailable("no {}", "GPU"); }, "no GPU"), ExitCode::unavailable);
  EXPECT_EQ(code_of([] { fail_run("disk full"); }, "disk full"), ExitCode::failed);
}

TEST(Error, ExitCodesAreThoseOfTheDocs) {
  EXPECT_EQ(static_cast<int>(ExitCode::failed), 1);
  EXPECT_EQ(static_cast<int>(ExitCode::usage), 2);
  EXPECT_EQ(static_cast<int>(ExitCode::input), 3);
  EXPECT_EQ(static_cast<int>(ExitCode::unavailable), 4);
  EXPECT_EQ(static_cast<int>(ExitCode::interrupted), 75);
}

TEST(ErrorDeath, ABrokenInvariantAbortsWithPlaceAndCondition) {
  const int heads = 3;
  EXPECT_DEATH(FOVEA_CHECK(heads % 2 == 0, "{} heads", heads),
               "broken invariant at .*error_test.cc:[0-9]+: heads % 2 == 0: 3 heads");
  FOVEA_CHECK(heads == 3, "never formatted");
}

}  // namespace
}  // namespace fovea
