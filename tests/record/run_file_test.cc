#include "record/run_file.h"

#include <gtest/gtest.h>

#include <cmath>

#include "core/file.h"
#include "expect_error.h"
#include "record/hdf5.h"
#include "record/provenance.h"
#include "synthetic.h"
#include "tests/full_disk.h"

namespace fovea {
namespace {

using test::expect_error;
using test::full_record;
using test::TemporaryDirectory;

void expect_same_doubles(const std::vector<double>& a, const std::vector<double>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) EXPECT_TRUE(a[i] == b[i] || (std::isnan(a[i]) && std::isnan(b[i])));
}

TEST(RunFile, ComesBackExactly) {
  const TemporaryDirectory directory;
  const RunRecord wrote = full_record();
  write_run_file(directory / "run.h5", wrote);
  const RunRecord read = read_run_file(directory / "run.h5");
  EXPECT_EQ(read.name, wrote.name);
  EXPECT_EQ(read.identity, wrote.identity);
  EXPECT_EQ(read.state, wrote.state);
  EXPECT_EQ(read.role, wrote.role);
  EXPECT_EQ(read.error, wrote.error);
  EXPECT_EQ(read.config, wrote.config);
  ASSERT_EQ(read.attributes.size(), wrote.attributes.size());
  for (size_t i = 0; i < wrote.attributes.size(); ++i) {
    EXPECT_EQ(read.attributes[i].path, wrote.attributes[i].path);
    EXPECT_EQ(read.attributes[i].value, wrote.attributes[i].value);
    EXPECT_EQ(read.attributes[i].unit, wrote.attributes[i].unit);
    EXPECT_EQ(read.attributes[i].source, wrote.attributes[i].source);
  }
  const Provenance &p = read.provenance, &q = wrote.provenance;
  EXPECT_EQ(
      std::tie(p.version, p.commit, p.dirty, p.compiler, p.flags, p.host, p.cpu, p.instruction_set, p.cores),
      std::tie(q.version, q.commit, q.dirty, q.compiler, q.flags, q.host, q.cpu, q.instruction_set, q.cores));
  EXPECT_EQ(p.used_instruction_set, q.used_instruction_set);
  EXPECT_EQ(std::tie(p.memory_bytes, p.threads, p.backend, p.started, p.finished, p.command),
            std::tie(q.memory_bytes, q.threads, q.backend, q.started, q.finished, q.command));
  EXPECT_EQ(read.seed, wrote.seed);
  EXPECT_EQ(read.corpus.description, wrote.corpus.description);
  EXPECT_EQ(read.corpus.fingerprint, wrote.corpus.fingerprint);
  const Lineage &l = read.lineage, &m = wrote.lineage;
  EXPECT_EQ(std::tie(l.baseline, l.checkpoint, l.conversion, l.alpha, l.q_heads, l.kv_heads),
            std::tie(m.baseline, m.checkpoint, m.conversion, m.alpha, m.q_heads, m.kv_heads));
  const Counts &c = read.counts, &d = wrote.counts;
  EXPECT_EQ(std::tie(c.parameters, c.tokens, c.flops_per_token, c.kv_bytes_per_token),
            std::tie(d.parameters, d.tokens, d.flops_per_token, d.kv_bytes_per_token));
  EXPECT_EQ(read.series.step, wrote.series.step);
  EXPECT_EQ(read.series.tokens, wrote.series.tokens);
  expect_same_doubles(read.series.train_loss, wrote.series.train_loss);
  expect_same_doubles(read.series.lr, wrote.series.lr);
  expect_same_doubles(read.series.grad_norm, wrote.series.grad_norm);
  expect_same_doubles(read.series.tokens_per_second, wrote.series.tokens_per_second);
  expect_same_doubles(read.series.flops_per_second, wrote.series.flops_per_second);
  ASSERT_EQ(read.evaluations.size(), 3U);
  EXPECT_EQ(final_evaluation(read).loss, 1.31);
  EXPECT_EQ(read.evaluations[1].step, 500);
  EXPECT_EQ(read.evaluations[1].bits_per_byte, 2.1);
  EXPECT_EQ(read.memory.predicted_bytes, wrote.memory.predicted_bytes);
  EXPECT_EQ(read.memory.measured_peak_bytes, wrote.memory.measured_peak_bytes);
  EXPECT_EQ(read.memory.scratch_bytes, wrote.memory.scratch_bytes);
  EXPECT_EQ(read.seconds, wrote.seconds);
  EXPECT_EQ(read.step_seconds, wrote.step_seconds);
  ASSERT_TRUE(read.profile.has_value());
  const StepProfile &a = *read.profile, &b = *wrote.profile;
  EXPECT_EQ(std::tie(a.steps, a.seconds, a.f32_flops, a.bf16_flops, a.read_bandwidth),
            std::tie(b.steps, b.seconds, b.f32_flops, b.bf16_flops, b.read_bandwidth));
  ASSERT_EQ(a.operations.size(), b.operations.size());
  for (size_t i = 0; i < a.operations.size(); ++i) {
    const OperationCost &x = a.operations[i], &y = b.operations[i];
    EXPECT_EQ(std::tie(x.name, x.calls, x.seconds, x.flops, x.bytes, x.dtype),
              std::tie(y.name, y.calls, y.seconds, y.flops, y.bytes, y.dtype));
  }
}

TEST(RunFile, SaysHowFarEachOperationIsFromTheMachinesLimit) {
  const TemporaryDirectory directory;
  write_run_file(directory / "run.h5", full_record());
  // 3 GFLOP at 1 GFLOP/s in 6 s; 2 GB at 2 GB/s, longer than 4 GFLOP of bf16 at 4 GFLOP/s is not, in 2 s.
  EXPECT_EQ(
      h5::open_file(directory / "run.h5").group("profile").group("operations").read_list<double>("roofline"),
      (std::vector<double>{0.5, 0.5, 1, 0}));
  RunRecord plain = full_record();
  plain.profile.reset();
  write_run_file(directory / "run.h5", plain);
  EXPECT_FALSE(read_run_file(directory / "run.h5").profile.has_value());
}

TEST(RunFile, EvaluationsOfUnknownTextHaveNoBitsPerByte) {
  const TemporaryDirectory directory;
  RunRecord record = full_record();
  for (Evaluation& evaluation : record.evaluations) evaluation.bits_per_byte.reset();
  write_run_file(directory / "run.h5", record);
  const RunRecord read = read_run_file(directory / "run.h5");
  ASSERT_EQ(read.evaluations.size(), 3U);
  EXPECT_EQ(read.evaluations[2].loss, 1.31);
  EXPECT_EQ(read.evaluations[2].bits_per_byte, std::nullopt);
  EXPECT_FALSE(h5::open_file(directory / "run.h5").group("evaluations").has("bits_per_byte"));
}

TEST(RunFile, AnEmptyRecordComesBack) {
  const TemporaryDirectory directory;
  write_run_file(directory / "run.h5", RunRecord{});
  const RunRecord read = read_run_file(directory / "run.h5");
  EXPECT_EQ(read.series.size(), 0U);
  expect_error(ExitCode::input, "no evaluation", [&] { final_evaluation(read); });
}

TEST(RunFile, SeriesHaveUnitsAndADimensionScale) {
  const TemporaryDirectory directory;
  write_run_file(directory / "run.h5", full_record());
  const h5::Group series = h5::open_file(directory / "run.h5").group("series");
  EXPECT_EQ(series.attribute<std::string>("train_loss", "units"), "nat/token");
  EXPECT_EQ(series.attribute<std::string>("step", "CLASS"), "DIMENSION_SCALE");
  for (const std::string& name : series.names())
    EXPECT_EQ(series.has_attribute(name, "DIMENSION_LIST"), name != "step") << name;
}

TEST(RunFile, ReplacesWholeOrNotAtAll) {
  const TemporaryDirectory directory;
  RunRecord record = full_record();
  write_run_file(directory / "run.h5", record);
  record.name = "second";
  write_run_file(directory / "run.h5", record);
  EXPECT_EQ(read_run_file(directory / "run.h5").name, "second");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(directory.path()), {}), 1);
  expect_error(ExitCode::failed, "none", [&] { write_run_file(directory / "none" / "run.h5", record); });
}

TEST(RunFile, AFullDiskLeavesTheOldOne) {
  const TemporaryDirectory directory;
  write_run_file(directory / "run.h5", full_record());
  RunRecord other = full_record();
  other.name = "other";
  {
    const FullDisk full(2000);
    for (int tries = 0; tries < 2; ++tries)
      expect_error(ExitCode::interrupted, "run.h5: cannot be written: File too large",
                   [&] { write_run_file(directory / "run.h5", other); });
  }
  EXPECT_EQ(read_run_file(directory / "run.h5").name, full_record().name);
  write_run_file(directory / "run.h5", other);
  EXPECT_EQ(read_run_file(directory / "run.h5").name, "other");
  for (const auto& entry : std::filesystem::directory_iterator(directory / "."))
    EXPECT_EQ(entry.path().filename(), "run.h5");
}

TEST(RunFile, TruncatedAnywhereIsRefused) {
  const TemporaryDirectory directory;
  write_run_file(directory / "run.h5", full_record());
  const std::string bytes = read_file(directory / "run.h5");
  for (size_t part = 0; part < 20; ++part) {
    write_file_atomically(directory / "cut.h5", std::string_view(bytes).substr(0, bytes.size() * part / 20));
    expect_error(ExitCode::input, "cut.h5", [&] { read_run_file(directory / "cut.h5"); });
  }
}

/// Each change to a good file, and what must be said of it.
TEST(RunFile, WrongContentsAreNamed) {
  const TemporaryDirectory directory;
  const auto path = directory / "run.h5";
  const auto refuse = [&](const std::string& words, auto write) {
    {
      const h5::Group root = h5::create_file(path);
      write(root);
    }
    expect_error(ExitCode::input, words, [&] { read_run_file(path); });
  };
  refuse("is not a run's file", [](const h5::Group&) {});
  refuse("version 2 of the format", [](const h5::Group& root) {
    root.set_attribute(".", "format", std::string("fovea run"));
    root.set_attribute(".", "format_version", int64{2});
  });
  refuse("@name: the attribute is not in the file", [](const h5::Group& root) {
    root.set_attribute(".", "format", std::string("fovea run"));
    root.set_attribute(".", "format_version", int64{1});
  });
  refuse("@name: holds integers", [](const h5::Group& root) {
    root.set_attribute(".", "format", std::string("fovea run"));
    root.set_attribute(".", "format_version", int64{1});
    root.set_attribute(".", "name", int64{1});
  });
  RunRecord record = full_record();
  record.series.step[10] = 3;
  write_run_file(path, record);
  expect_error(ExitCode::input, "/series/step: step 3 stands after step 10", [&] { read_run_file(path); });
}

TEST(ProvenanceOfThisProgram, IsFilled) {
  const Provenance p = collect_provenance(2, "cpu", {"fovea", "run", "a b.toml"});
  for (const std::string& text : {p.version, p.commit, p.compiler, p.flags, p.host, p.cpu, p.instruction_set})
    EXPECT_FALSE(text.empty());
  EXPECT_EQ(p.command, "fovea run 'a b.toml'");
  EXPECT_GT(p.memory_bytes, int64{1} << 20);
  EXPECT_GT(p.cores, 0);
  EXPECT_EQ(p.started.size(), std::string("2026-11-25T12:00:00Z").size());
  EXPECT_GE(peak_resident_bytes(), resident_bytes());
  EXPECT_GT(resident_bytes(), 0);
}

}  // namespace
}  // namespace fovea
