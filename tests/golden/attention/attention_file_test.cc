#include "experiments/attention_file.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>

#include "core/error.h"
#include "kernels/attention/error_rule.h"
#include "record/hdf5.h"

namespace fovea {
namespace {

using namespace check;

namespace fs = std::filesystem;

std::vector<fs::path> golden_files() {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(GOLDEN_ATTENTION))
    if (entry.path().extension() == ".h5") files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  return files;
}

class AnswerFile : public testing::Test {
 protected:
  AnswerFile() {
    std::string name = (fs::temp_directory_path() / "attention-XXXXXX").string();
    directory_ = mkdtemp(name.data());
  }
  ~AnswerFile() override { fs::remove_all(directory_); }
  fs::path directory_;
};

class Golden : public AnswerFile, public testing::WithParamInterface<std::tuple<fs::path, Backend>> {};

void expect_answer(const h5::Group& problem, const h5::Group& answer, const std::string& name) {
  SCOPED_TRACE(name);
  const h5::Array<double> expected = problem.read<double>("expected/" + name), x = answer.read<double>(name);
  ASSERT_EQ(x.shape, expected.shape);
  ASSERT_EQ(answer.info(name).kind, h5::Kind::floating);
  if (name == "lse") {
    EXPECT_EQ(broken(lse_deviation(x.values, expected.values)), "");
    return;
  }
  const DType dtype = dtype_named(problem.attribute<std::string>(".", "dtype"));
  const ErrorRule rule{.dtype = dtype,
                       .factor = name == "out" ? 2.0 : 3.0,
                       .low_error = most_apart(problem.read<double>("low/" + name).values, expected.values),
                       .most_lse = most_of(problem.read<double>("expected/lse").values)};
  EXPECT_EQ(broken(deviation(rule, x.values, expected.values)), "");
}

TEST_P(Golden, KeepsTheErrorRule) {
  const auto& [path, backend] = GetParam();
  const fs::path out = directory_ / "answer.h5";
  run_attention_file(path, out, backend, 2);
  const h5::Group problem = h5::open_file(path), answer = h5::open_file(out);
  EXPECT_EQ(answer.names(), problem.group("expected").names());
  for (const std::string& name : problem.group("expected").names()) expect_answer(problem, answer, name);
}

// Answers are what the dtype can hold, lse apart; the reference backend's are float64 as they come.
TEST_P(Golden, HoldsValuesOfTheDType) {
  const auto& [path, backend] = GetParam();
  const fs::path out = directory_ / "answer.h5";
  run_attention_file(path, out, backend, 1);
  const h5::Group problem = h5::open_file(path), answer = h5::open_file(out);
  const DType dtype =
      backend == Backend::reference ? DType::f64 : dtype_named(problem.attribute<std::string>(".", "dtype"));
  for (const std::string& name : answer.names()) {
    const std::vector<double> values = answer.read<double>(name).values;
    EXPECT_EQ(answer.info(name).element_bytes, backend == Backend::reference ? 8 : 4) << name;
    const auto held_by = [&](DType type) {
      return std::all_of(values.begin(), values.end(),
                         [&](double x) { return std::isinf(x) || x == round_to(type, x); });
    };
    EXPECT_TRUE(held_by(name == "lse" ? DType::f64 : dtype)) << name;
    EXPECT_FALSE(backend == Backend::reference && name == "lse" && held_by(DType::f32));
  }
}

/// Those of the host, or the one that FOVEA_TEST_BACKEND names: the program runs once more for the device.
std::vector<Backend> backends() {
  if (const char* name = std::getenv("FOVEA_TEST_BACKEND")) return {backend_named(name)};
  return {Backend::reference, Backend::naive, Backend::cpu};
}

std::string name_of_golden(const testing::TestParamInfo<Golden::ParamType>& instance) {
  return std::get<0>(instance.param).stem().string() + "_" +
         std::string(name_of(std::get<1>(instance.param)));
}
INSTANTIATE_TEST_SUITE_P(Every, Golden,
                         testing::Combine(testing::ValuesIn(golden_files()), testing::ValuesIn(backends())),
                         name_of_golden);

TEST(GoldenFiles, AreAllThere) { EXPECT_EQ(golden_files().size(), 27u); }

// A problem of 2 queries, 3 keys, 2 heads over 1, head size 2; `damage` makes it wrong.
class HostileFile : public AnswerFile {
 protected:
  /// Without the attribute or input called `missing`.
  static void write_problem(const fs::path& in, const h5::Shape& q, const h5::Shape& k, const h5::Shape& v,
                            const std::string& missing,
                            const std::function<void(const h5::Group&)>& damage = {}) {
    const h5::Group file = h5::create_file(in);
    const std::vector<std::pair<std::string, AttributeValue>> attributes{{"window_left", int64{-1}},
                                                                         {"window_right", int64{-1}},
                                                                         {"dtype", std::string("f32")},
                                                                         {"causal", int64{1}},
                                                                         {"scale", 0.5},
                                                                         {"softcap", 0.0}};
    for (const auto& [name, value] : attributes)
      if (name != missing) file.set_attribute(".", name, value);
    for (const auto& [name, shape] : {std::pair{"q", q}, {"k", k}, {"v", v}})
      if (name != missing) put(file, name, shape);
    if (damage) damage(file);
  }
  void expect_refused(const std::function<void(const h5::Group&)>& damage, const std::string& says) {
    const fs::path in = directory_ / "problem.h5";
    write_problem(in, {1, 2, 2, 2}, {1, 3, 1, 2}, {1, 3, 1, 2}, "", damage);
    refuse(in, says);
  }
  void expect_refused_shapes(const h5::Shape& q, const h5::Shape& k, const h5::Shape& v,
                             const std::string& says, const std::string& missing = "") {
    const fs::path in = directory_ / "problem.h5";
    write_problem(in, q, k, v, missing);
    refuse(in, says);
  }
  void refuse(const fs::path& in, const std::string& says) {
    const fs::path out = directory_ / "answer.h5";
    try {
      run_attention_file(in, out, Backend::cpu, 1);
      FAIL() << "accepted; should say " << says;
    } catch (const UserError& error) {
      const std::string line = error.what();
      EXPECT_EQ(error.code(), ExitCode::input) << line;
      EXPECT_EQ(line.find('\n'), std::string::npos) << line;
      EXPECT_NE(line.find(says), std::string::npos) << line;
      EXPECT_NE(line.find(in.string()), std::string::npos) << line;
    }
    EXPECT_FALSE(fs::exists(out));
  }
  static void put(const h5::Group& file, const std::string& name, const h5::Shape& shape) {
    int64 elements = 1;
    for (const int64 n : shape) elements *= n;
    const std::vector<float> values(static_cast<size_t>(elements), 0.5f);
    file.write<float>(name, shape, values);
  }
};

TEST_F(HostileFile, IsRefusedInOneLine) {
  using h5::Group;
  const auto attribute = [](const char* name, const AttributeValue& value) {
    return [=](const Group& f) { f.set_attribute(".", name, value); };
  };
  expect_refused(attribute("dtype", std::string("f64")), "must be f32, bf16 or f16");
  expect_refused(attribute("causal", int64{2}), "causal is 2");
  expect_refused(attribute("window_left", int64{-2}), "window_left is -2");
  expect_refused(attribute("scale", std::nan("")), "scale");
  expect_refused(attribute("softcap", -1.0), "softcap is -1");
  expect_refused([](const Group& f) { put(f, "sink", {3}); }, "sink");
  expect_refused([](const Group& f) { put(f, "sink", {2, 1}); }, "dimensions");
  expect_refused([](const Group& f) { put(f, "dout", {1, 2, 2, 3}); }, "dout");
  expect_refused([](const Group& f) { f.write<int64>("cu_seqlens_q", {0, 2}); }, "only one of");
  const auto bounds = [](std::vector<int64> q, std::vector<int64> k) {
    return [=](const Group& f) { f.write<int64>("cu_seqlens_q", q), f.write<int64>("cu_seqlens_k", k); };
  };
  expect_refused(bounds({0, 3}, {0, 3}), "end with 2");
  expect_refused(bounds({0, 2}, {0, 1, 3}), "as many");
  expect_refused(bounds({0, 2, 1, 2}, {0, 1, 2, 3}), "must climb");
  expect_refused(bounds({}, {}), "cu_seqlens_q");
  expect_refused(bounds({0, -1, 2}, {0, 1, 3}), "must climb");
  expect_refused(bounds({1, 2}, {0, 3}), "must begin with 0");
  expect_refused(
      [](const Group& f) {
        f.write<float>("cu_seqlens_q", {0, 2}), f.write<int64>("cu_seqlens_k", {0, 3});
      },
      "must be of integer type");
  expect_refused(attribute("causal", std::string("yes")), "causal");
  expect_refused(attribute("dtype", int64{1}), "dtype");
  expect_refused(attribute("window_right", 2.5), "window_right");
  expect_refused(attribute("scale", double{INFINITY}), "scale");
  expect_refused(attribute("softcap", 1e300), "softcap");
}

TEST_F(HostileFile, HasEveryAttributeAndInput) {
  for (const char* missing : {"dtype", "causal", "window_left", "window_right", "scale", "softcap"})
    expect_refused_shapes({1, 2, 2, 2}, {1, 3, 1, 2}, {1, 3, 1, 2}, missing, missing);
  for (const char* missing : {"q", "k", "v"})
    expect_refused_shapes({1, 2, 2, 2}, {1, 3, 1, 2}, {1, 3, 1, 2}, missing, missing);
}

TEST_F(HostileFile, HasShapesThatFitTogether) {
  const h5::Shape q{1, 2, 2, 2}, k{1, 3, 1, 2}, v{1, 3, 1, 2};
  expect_refused_shapes({2, 2, 2}, k, v, "wanted are 4");
  expect_refused_shapes(q, {2, 3, 1, 2}, v, "dimension 0");
  expect_refused_shapes(q, {1, 3, 1, 3}, v, "dimension 3");
  expect_refused_shapes(q, k, {1, 4, 1, 2}, "dimension 1");
  expect_refused_shapes(q, k, {1, 3, 2, 2}, "dimension 2");
  expect_refused_shapes({1, 2, 3, 2}, {1, 3, 2, 2}, {1, 3, 2, 2}, "multiple");
  expect_refused_shapes({1, 2, 0, 2}, k, v, "multiple");
  expect_refused_shapes(q, {1, 3, 0, 2}, {1, 3, 0, 2}, "multiple");
  expect_refused_shapes({1, 2, 2, 0}, {1, 3, 1, 0}, v, "size 0");
  expect_refused_shapes(q, k, {1, 3, 1, 0}, "size 0");
  // Nothing in the file, everything in memory.
  expect_refused_shapes({0, int64{1} << 40, 2, 2}, {0, 3, 1, 2}, {0, 3, 1, 2}, "too large");
}

TEST_F(HostileFile, MayAskForMoreThanThisMachineCanDo) {
  const fs::path in = directory_ / "problem.h5";
  for (const Backend backend : {Backend::naive, Backend::cpu, Backend::reference}) {
    // Rows without a key cost the file next to nothing; their answers are 2^36 numbers.
    write_problem(in, {1, int64{1} << 20, 1, 1}, {1, 0, 1, 1}, {1, 0, 1, int64{1} << 16}, "");
    try {
      run_attention_file(in, directory_ / "answer.h5", backend, 1);
      FAIL();
    } catch (const UserError& error) {
      EXPECT_EQ(error.code(), ExitCode::unavailable) << error.what();
      EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
    }
  }
}

TEST_F(HostileFile, LacksNothingItNeeds) {
  const fs::path in = directory_ / "lacking.h5";
  refuse(in, "no such file");
  std::ofstream(in) << "not HDF5";
  refuse(in, "not an HDF5 file");
  { h5::create_file(in).flush(); }
  refuse(in, "dtype");
}

TEST_F(HostileFile, MayNotBeItsOwnAnswer) {
  const fs::path in = directory_ / "problem.h5";
  fs::copy_file(golden_files().front(), in);
  EXPECT_THROW(run_attention_file(in, in, Backend::cpu, 1), UserError);
  EXPECT_EQ(fs::file_size(in), fs::file_size(golden_files().front()));
}

}  // namespace
}  // namespace fovea
