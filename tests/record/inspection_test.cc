#include "record/inspection.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "core/file.h"
#include "expect_error.h"
#include "record/record_parts.h"
#include "synthetic.h"

namespace fovea {
namespace {

using test::expect_error;
using test::TemporaryDirectory;

/// Equal, with not-a-numbers where the other has them.
void expect_same(const std::vector<double>& a, const std::vector<double>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i)
    EXPECT_TRUE(a[i] == b[i] || (std::isnan(a[i]) && std::isnan(b[i]))) << i;
}

void expect_same(const ModelStatistics& a, const ModelStatistics& b) {
  EXPECT_EQ(a.loss, b.loss);
  for (const auto& column : head_columns()) expect_same(a.heads.*column.values, b.heads.*column.values);
  for (const auto& column : gradient_columns())
    expect_same(a.gradients.*column.values, b.gradients.*column.values);
}

TEST(InspectionFile, GivesBackWhatWasWritten) {
  const TemporaryDirectory directory;
  Inspection i = test::synthetic_inspection(3, 4, 1);
  i.cosines.value_aligned[1] = std::nan("");
  write_inspection(directory / "inspect.h5", i);
  Inspection back = read_inspection(directory / "inspect.h5");
  EXPECT_EQ(back.model, i.model);
  EXPECT_EQ(back.weights, i.weights);
  EXPECT_EQ(back.text, i.text);
  EXPECT_EQ(back.provenance.commit, i.provenance.commit);
  EXPECT_EQ(back.kv_heads, i.kv_heads);
  EXPECT_EQ(back.windows, i.windows);
  EXPECT_EQ(back.attention_scale, i.attention_scale);
  EXPECT_EQ(std::tuple(back.layers, back.q_heads, back.head_dim, back.sequences, back.length, back.repeated),
            std::tuple(i.layers, i.q_heads, i.head_dim, i.sequences, i.length, i.repeated));
  EXPECT_EQ(back.cosines.heads, 2);
  EXPECT_EQ(back.cosines.groups, 2);
  for (const auto& column : cosine_columns())
    expect_same(back.cosines.*column.values, i.cosines.*column.values);
  expect_same(back.trained, i.trained);
  ASSERT_TRUE(back.initial.has_value());
  expect_same(*back.initial, *i.initial);

  i.initial.reset();
  i.cosines = {};
  write_inspection(directory / "inspect.h5", i);
  back = read_inspection(directory / "inspect.h5");
  EXPECT_FALSE(back.initial.has_value());
  EXPECT_EQ(back.cosines.heads, 0);
}

TEST(InspectionFile, EveryDatasetSaysItsUnitAndMeaning) {
  const TemporaryDirectory directory;
  write_inspection(directory / "inspect.h5", test::synthetic_inspection(2, 4, 1));
  const h5::Group root = h5::open_file(directory / "inspect.h5");
  for (const char* name : {"loss", "attention/entropy", "attention/induction", "gradients/mlp",
                           "initial/attention/saturated", "initial/loss", "cosine/key_aligned"}) {
    EXPECT_FALSE(root.attribute<std::string>(name, "units").empty()) << name;
    EXPECT_FALSE(root.attribute<std::string>(name, "long_name").empty()) << name;
  }
  EXPECT_EQ(root.info("attention/entropy").shape, (h5::Shape{2, 4}));
}

TEST(InspectionFile, WhatIsNoneIsRefusedByName) {
  const TemporaryDirectory directory;
  const std::filesystem::path file = directory / "inspect.h5";
  expect_error(ExitCode::input, "inspect.h5", [&] { read_inspection(file); });
  write_file_atomically(file, std::string_view("damaged"));
  expect_error(ExitCode::input, "is not an HDF5 file", [&] { read_inspection(file); });

  const auto changed = [&](const std::function<void(const h5::Group&)>& change) {
    const h5::Group root = h5::create_file(file);
    change(root);
    root.flush();
  };
  changed([](const h5::Group& root) { root.set_attribute(".", "format", std::string("fovea run")); });
  expect_error(ExitCode::input, "is not an inspection", [&] { read_inspection(file); });
  changed([](const h5::Group& root) {
    root.set_attribute(".", "format", std::string("fovea inspection"));
    root.set_attribute(".", "format_version", int64{2});
  });
  expect_error(ExitCode::input, "version 2", [&] { read_inspection(file); });

  Inspection wrong = test::synthetic_inspection(2, 4, 1);
  wrong.kv_heads.pop_back();
  write_inspection(file, wrong);
  expect_error(ExitCode::input, "do not go together", [&] { read_inspection(file); });

  // Attributes of one model over numbers of another.
  const auto with_heads = [&](const h5::Shape& shape) {
    changed([&](const h5::Group& root) {
      root.set_attribute(".", "format", std::string("fovea inspection"));
      root.set_attribute(".", "format_version", int64{1});
      for (const char* name : {"model", "weights", "text"}) root.set_attribute(".", name, std::string(name));
      for (const char* name : {"layers", "q_heads", "head_dim", "sequences", "length", "repeated"})
        root.set_attribute(".", name, int64{2});
      for (const char* name : {"group_heads", "groups"}) root.set_attribute(".", name, int64{0});
      for (const char* name : {"kv_heads", "windows"})
        root.set_attribute(".", name, std::vector<int64>{2, 2});
      root.set_attribute(".", "attention_scale", 1.0);
      write_provenance(root, {});
      root.write<double>("loss", {}, std::vector<double>{1});
      root.write<double>("attention/entropy", shape, std::vector<double>(4, 0.0));
    });
  };
  for (const h5::Shape& shape : {h5::Shape{4}, h5::Shape{4, 1}, h5::Shape{1, 2, 2}}) {
    with_heads(shape);
    expect_error(ExitCode::input, "attention/entropy: is not of the shape", [&] { read_inspection(file); });
  }
  with_heads({2, 2});
  expect_error(ExitCode::input, "relative_entropy", [&] { read_inspection(file); });
}

}  // namespace
}  // namespace fovea
