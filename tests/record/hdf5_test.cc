#include "record/hdf5.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <rapidcheck/gtest.h>
#include <cmath>
#include <limits>

#include "core/file.h"
#include "expect_error.h"
#include "synthetic.h"

namespace fovea::h5 {
namespace {

using test::expect_error;
using test::TemporaryDirectory;
using testing::ElementsAre;
using testing::HasSubstr;

template <class T>
void round_trip(const Shape& shape, const std::vector<T>& values) {
  const TemporaryDirectory directory;
  create_file(directory / "a.h5").write<T>("deep/x", shape, std::span<const T>(values));
  const Array<T> read = open_file(directory / "a.h5").read<T>("deep/x");
  EXPECT_EQ(read.shape, shape);
  EXPECT_EQ(read.values, values);
}

TEST(Hdf5, EveryTypeComesBack) {
  round_trip<float>({2, 3}, {1, -2, 3.5F, std::numeric_limits<float>::infinity(), 1e-40F, 0});
  round_trip<double>({}, {0.1});
  round_trip<int32>({2}, {std::numeric_limits<int32>::min(), std::numeric_limits<int32>::max()});
  round_trip<int64>({1, 2, 1}, {std::numeric_limits<int64>::min(), std::numeric_limits<int64>::max()});
  round_trip<std::string>({3}, {"", "α", "two words\nand a line"});
  round_trip<float>({4, 0}, {});
  round_trip<std::string>({0}, {});
}

RC_GTEST_PROP(Hdf5, AnyListComesBack, (const std::vector<double>& values)) {
  const TemporaryDirectory directory;
  create_file(directory / "a.h5").write("x", values);
  RC_ASSERT(open_file(directory / "a.h5").read_list<double>("x") == values);
}

TEST(Hdf5, LargeDataIsCompressedAndComesBack) {
  const TemporaryDirectory directory;
  std::vector<double> values(300 * 1000);
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<double>(i / 1000);
  create_file(directory / "a.h5").write<double>("x", {300, 1000}, std::span<const double>(values));
  EXPECT_LT(std::filesystem::file_size(directory / "a.h5"), values.size());
  const Array<double> read = open_file(directory / "a.h5").read<double>("x");
  EXPECT_EQ(read.shape, (Shape{300, 1000}));
  EXPECT_EQ(read.values, values);
}

TEST(Hdf5, WidthsConvertAndKindsDoNot) {
  const TemporaryDirectory directory;
  {
    const Group root = create_file(directory / "a.h5");
    root.write<int32>("small", {1, 2});
    root.write<int64>("wide", {1, int64{1} << 40});
    root.write<double>("real", {0.5, 1e300});
    root.write<std::string>("text", {"a"});
    root.create_group("group");
  }
  const Group root = open_file(directory / "a.h5");
  EXPECT_THAT(root.read_list<double>("small"), ElementsAre(1, 2));
  EXPECT_THAT(root.read_list<int64>("small"), ElementsAre(1, 2));
  EXPECT_THAT(root.read_list<float>("wide"), ElementsAre(1, 1099511627776.0F));
  expect_error(ExitCode::input, "does not fit 32 bits", [&] { root.read<int32>("wide"); });
  expect_error(ExitCode::input, "does not fit 32 bits", [&] { root.read<float>("real"); });
  expect_error(ExitCode::input, "/real: holds floats, wanted are integers",
               [&] { root.read<int64>("real"); });
  expect_error(ExitCode::input, "/text: holds strings, wanted are numbers",
               [&] { root.read<double>("text"); });
  expect_error(ExitCode::input, "/small: holds integers, wanted are strings",
               [&] { root.read<std::string>("small"); });
  expect_error(ExitCode::input, "/none: is not in the file", [&] { root.read<float>("none"); });
  expect_error(ExitCode::input, "/group: is not a readable dataset", [&] { root.read<float>("group"); });
  expect_error(ExitCode::input, "/real: is not a group", [&] { root.group("real"); });
  EXPECT_THAT(root.names(), ElementsAre("group", "real", "small", "text", "wide"));
  EXPECT_FALSE(root.has("group/none/none"));
  const Info info = root.info("small");
  EXPECT_EQ(info.kind, Kind::integer);
  EXPECT_EQ(info.element_bytes, 4);
}

TEST(Hdf5, AListHasOneDimension) {
  const TemporaryDirectory directory;
  const std::vector<float> values(4);
  create_file(directory / "a.h5").write<float>("x", {2, 2}, std::span<const float>(values));
  expect_error(ExitCode::input, "has 2 dimensions",
               [&] { open_file(directory / "a.h5").read_list<float>("x"); });
}

TEST(Hdf5, AttributesComeBackInTheirTypes) {
  const TemporaryDirectory directory;
  const std::vector<std::pair<std::string, AttributeValue>> wanted = {
      {"a", int64{-3}},
      {"b", 0.25},
      {"c", true},
      {"d", std::string("α")},
      {"e", std::vector<int64>{1, 2}},
      {"f", std::vector<double>{}},
      {"g", std::vector<std::string>{"x", ""}}};
  {
    const Group root = create_file(directory / "a.h5");
    root.write<double>("x", {1});
    for (const auto& [name, value] : wanted) root.set_attribute("x", name, value);
    root.set_attribute("x", "a", int64{4});
    root.set_attribute("x", "a", int64{-3});
  }
  const Group root = open_file(directory / "a.h5");
  for (const auto& [name, value] : wanted) EXPECT_EQ(root.any_attribute("x", name), value) << name;
  EXPECT_THAT(root.attribute_names("x"), ElementsAre("a", "b", "c", "d", "e", "f", "g"));
  EXPECT_EQ(root.attribute<double>("x", "a"), -3);
  expect_error(ExitCode::input, "/x@b: holds floats", [&] { root.attribute<int64>("x", "b"); });
  expect_error(ExitCode::input, "/x@d: holds strings", [&] { root.attribute<double>("x", "d"); });
  expect_error(ExitCode::input, "has 2 values", [&] { root.attribute<int64>("x", "e"); });
  expect_error(ExitCode::input, "not in the file", [&] { root.attribute<int64>("x", "z"); });
  EXPECT_FALSE(root.has_attribute("none", "a"));
}

TEST(Hdf5, TruncatedAndForeignFilesAreRefused) {
  const TemporaryDirectory directory;
  std::vector<double> values(5000);
  for (size_t i = 0; i < values.size(); ++i) values[i] = std::sin(static_cast<double>(i));
  create_file(directory / "whole.h5").write("x", values);
  const std::string bytes = read_file(directory / "whole.h5");
  for (const size_t keep : {bytes.size() - 1, bytes.size() / 2, size_t{100}, size_t{8}, size_t{0}}) {
    write_file_atomically(directory / "cut.h5", std::string_view(bytes).substr(0, keep));
    expect_error(ExitCode::input, "cut.h5", [&] { open_file(directory / "cut.h5").read<double>("x"); });
  }
  write_file_atomically(directory / "text.h5", std::string_view("not a file of that kind"));
  expect_error(ExitCode::input, "is not an HDF5 file", [&] { open_file(directory / "text.h5"); });
  expect_error(ExitCode::input, "there is no such file", [&] { open_file(directory / "none.h5"); });
  expect_error(ExitCode::input, "is not a regular file", [&] { open_file(directory.path()); });
  expect_error(ExitCode::failed, "cannot be created", [&] { create_file(directory / "none" / "a.h5"); });
}

}  // namespace
}  // namespace fovea::h5
