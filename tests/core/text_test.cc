#include "core/text.h"

#include <gtest/gtest.h>

namespace fovea {
namespace {

TEST(Text, EditsAreInsertionsDeletionsReplacementsAndSwaps) {
  EXPECT_EQ(edits("loss", "loss"), 0U);
  EXPECT_EQ(edits("los", "loss"), 1U);
  EXPECT_EQ(edits("lsos", "loss"), 1U);
  EXPECT_EQ(edits("boss", "loss"), 1U);
  EXPECT_EQ(edits("", "loss"), 4U);
}

TEST(Text, TheNearestIsWhatWasMeant) {
  constexpr std::string_view kWords[] = {"mean", "first", "random", "<", "<="};
  EXPECT_EQ(nearest("maen", kWords), "mean");
  EXPECT_EQ(nearest("radnom", kWords), "random");
  EXPECT_EQ(nearest("=<", kWords), "<=");
  EXPECT_EQ(nearest("median of three", kWords), "");
  EXPECT_EQ(nearest("x", kWords), "") << "one letter is near to nothing";
  EXPECT_EQ(nearest(std::string(1000, 'm'), kWords), "");
  EXPECT_EQ(nearest("mean", {}), "");
}

TEST(Text, ControlCharactersAreEscaped) {
  EXPECT_EQ(on_one_line("a\nb\tc\x7f\x01 é"), "a\\x0ab\\x09c\\x7f\\x01 é");
  EXPECT_EQ(on_one_line(std::string_view("\0", 1)), "\\x00");
}

}  // namespace
}  // namespace fovea
