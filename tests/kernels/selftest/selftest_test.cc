#include "kernels/selftest/selftest.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <regex>
#include <sstream>

#include "kernels/rope/backends.h"

namespace fovea {

// Stands in for the library's kernel, and makes a mistake of its own in each line of the table.
void cpu::run(Execution& execution, const Rope& op) {
  const bool f32 = op.x.dtype() == DType::f32;
  Rope done = op;
  if (f32 && op.inverse) done.inverse = false;
  reference::run(execution, done);
  static int calls = 0;
  if (float* y = f32 ? op.y.data<float>() : nullptr; y && !op.inverse && ++calls % 2 == 0)
    *y = std::nextafter(*y, HUGE_VALF);
  if (!f32 && !op.inverse) store(op.x, {0, 0, 0}, 7);
  if (!f32 && op.inverse) store(op.y, {0, 0, 0}, std::nan(""));
}

namespace {

TEST(SelfTest, FindsTheKernelThatIsWrong) {
  testing::internal::CaptureStdout();
  EXPECT_EQ(selftest("cpu", 2), ExitCode::failed);
  std::istringstream table(testing::internal::GetCapturedStdout());
  std::string line, found, text;
  const std::regex row(R"(  (\S.*\S) +(\d+) +(\S+)  (same|other) +(ok|WRONG))");
  std::smatch match;
  int64 rows = 0;
  while (std::getline(table, line)) {
    text = line;
    if (std::regex_match(line, match, row)) ++rows;
    if (line.find("WRONG") != std::string::npos || line.starts_with("    "))
      found += std::regex_replace(line, std::regex(" +"), " ") + "\n";
  }
  EXPECT_GT(rows, 35);
  const auto says = [&](const std::string& pattern) {
    EXPECT_TRUE(std::regex_search(found, std::regex(pattern))) << pattern << "\n" << found;
  };
  says(R"( rope forward f32 4 0\.\d+ other WRONG\n( .*: called again it gave other bits\n){4})");
  says(
      R"( rope backward f32 4 \d+\.\d+ same WRONG\n( .*: y\[\d+\] is .*, not .*: error .*, allowed .*\n){4})");
  says(R"( rope forward bf16 4 0\.\d+ same WRONG\n( .*: x was written to\n){4})");
  says(R"( rope backward bf16 4 inf same WRONG\n( .*: y\[0\] is nan, not .*\n){4})");
  EXPECT_EQ(std::count(found.begin(), found.end(), '\n'), 4 * 5) << found;
  EXPECT_TRUE(text.ends_with(" checks, 16 failed")) << text;
}

}  // namespace
}  // namespace fovea
