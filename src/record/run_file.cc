#include "record/run_file.h"

#include <algorithm>

#include "core/error.h"
#include "record/record_parts.h"

namespace fovea {
namespace {

using h5::Group;

constexpr const char* kFormat = "fovea run";
constexpr int64 kFormatVersion = 1;

/// Names, units and meanings of the columns, in one place for the writer and the reader.
struct Column {
  const char* name;
  const char* units;
  const char* meaning;
  std::vector<double> StepSeries::*values;
};
const Column kColumns[] = {
    {"train_loss", "nat/token", "mean cross entropy of the step's batch", &StepSeries::train_loss},
    {"lr", "1", "learning rate of the step", &StepSeries::lr},
    {"grad_norm", "1", "global norm of the gradient before clipping", &StepSeries::grad_norm},
    {"tokens_per_second", "token/s", "tokens trained on per second of the step",
     &StepSeries::tokens_per_second},
    {"flops_per_second", "FLOP/s", "operations that the mask shows per second",
     &StepSeries::flops_per_second},
};

void write_identity(const Group& root, const RunRecord& r) {
  write_format(root, kFormat, kFormatVersion);
  root.set_attribute(".", "name", r.name);
  root.set_attribute(".", "identity", r.identity);
  root.set_attribute(".", "state", std::string(name_of(r.state)));
  root.set_attribute(".", "role", std::string(name_of(r.role)));
  root.set_attribute(".", "error", r.error);
  root.set_attribute(".", "seed", r.seed);
  root.write<std::string>("config", {}, std::span<const std::string>(&r.config, 1));
  const Group corpus = root.create_group("corpus");
  corpus.set_attribute(".", "description", r.corpus.description);
  corpus.set_attribute(".", "fingerprint", r.corpus.fingerprint);
  const Group lineage = root.create_group("lineage");
  lineage.set_attribute(".", "baseline", r.lineage.baseline);
  lineage.set_attribute(".", "checkpoint", r.lineage.checkpoint);
  lineage.set_attribute(".", "conversion", r.lineage.conversion);
  lineage.set_attribute(".", "alpha", r.lineage.alpha);
  lineage.set_attribute(".", "q_heads", r.lineage.q_heads);
  lineage.set_attribute(".", "kv_heads", r.lineage.kv_heads);
  write_provenance(root, r.provenance);
}

void write_resolved(const Group& root, const std::vector<Attribute>& attributes) {
  const Group group = root.create_group("resolved");
  std::vector<std::string> paths, units, sources;
  for (const Attribute& a : attributes) {
    group.set_attribute(".", a.path, a.value);
    paths.push_back(a.path);
    units.push_back(a.unit);
    sources.push_back(a.source);
  }
  group.write("path", paths);
  group.write("unit", units);
  group.write("source", sources);
}

void write_series(const Group& root, const StepSeries& series) {
  const Group group = root.create_group("series");
  group.write("step", series.step);
  describe(group, "step", "1", "optimizer steps done, from 1");
  group.make_scale("step");
  group.write("tokens", series.tokens);
  describe(group, "tokens", "token", "tokens trained on by then");
  group.attach_scale("tokens", 0, "step");
  for (const Column& column : kColumns) {
    const std::vector<double>& values = series.*column.values;
    FOVEA_CHECK(values.size() == series.size(), "series/{} has {} of {} entries", column.name, values.size(),
                series.size());
    group.write(column.name, values);
    describe(group, column.name, column.units, column.meaning);
    group.attach_scale(column.name, 0, "step");
  }
  if (series.skipped.empty()) return;
  group.write("skipped", series.skipped);
  describe(group, "skipped", "1", "the steps whose update train.spike_guard left out");
}

void write_evaluations(const Group& root, const RunRecord& r) {
  const Group group = root.create_group("evaluations");
  std::vector<int64> step;
  std::vector<double> loss, bits;  // bits: none where the bytes of the text are not known
  for (const Evaluation& e : r.evaluations) {
    step.push_back(e.step);
    loss.push_back(e.loss);
    if (e.bits_per_byte) bits.push_back(*e.bits_per_byte);
  }
  const bool bytes_known = bits.size() == step.size();
  FOVEA_CHECK(bytes_known || bits.empty(), "{} of {} evaluations know the bytes", bits.size(), step.size());
  group.write("step", step);
  describe(group, "step", "1", "optimizer steps done before the evaluation");
  group.make_scale("step");
  group.write("loss", loss);
  describe(group, "loss", "nat/token", "mean cross entropy over the held-out split");
  group.attach_scale("loss", 0, "step");
  if (bytes_known) {
    group.write("bits_per_byte", bits);
    describe(group, "bits_per_byte", "bit/byte", "the same, per byte of text");
    group.attach_scale("bits_per_byte", 0, "step");
  }
  if (r.evaluations.empty()) return;
  const Group last = root.create_group("final");
  write_scalar(last, "step", step.back(), "1", "optimizer steps done");
  write_scalar(last, "loss", loss.back(), "nat/token", "held-out loss at the last evaluation");
  if (bytes_known) write_scalar(last, "bits_per_byte", bits.back(), "bit/byte", "the same, per byte of text");
}

void write_numbers(const Group& root, const RunRecord& r) {
  const Group counts = root.create_group("counts");
  write_scalar(counts, "parameters", r.counts.parameters, "1", "trained numbers, tied ones once");
  write_scalar(counts, "tokens", r.counts.tokens, "token", "trained on, in the whole run");
  write_scalar(counts, "flops_per_token", r.counts.flops_per_token, "FLOP/token",
               "of training, as the mask shows");
  write_scalar(counts, "kv_bytes_per_token", r.counts.kv_bytes_per_token, "byte/token",
               "of a KV cache, all layers");
  const Group memory = root.create_group("memory");
  write_scalar(memory, "predicted", r.memory.predicted_bytes, "byte", "by the planner, before the run");
  write_scalar(memory, "measured_peak", r.memory.measured_peak_bytes, "byte",
               "peak resident, less what was there before the model; 0: not measured");
  write_scalar(memory, "scratch", r.memory.scratch_bytes, "byte",
               "the part of the prediction that is scratch");
  const Group timing = root.create_group("timing");
  write_scalar(timing, "total", r.seconds, "s", "training and evaluating, over all resumes");
  write_scalar(timing, "step", r.step_seconds, "s", "median time of an optimizer step, the first one aside");
}

void write_profile(const Group& root, const StepProfile& p) {
  const Group group = root.create_group("profile");
  write_scalar(group, "steps", p.steps, "1", "optimizer steps that were timed");
  write_scalar(group, "seconds", p.seconds, "s", "of these steps");
  write_scalar(group, "f32_flops", p.f32_flops, "FLOP/s", "the machine's limit, fused multiply-adds");
  write_scalar(group, "bf16_flops", p.bf16_flops, "FLOP/s", "the machine's limit, products of bf16");
  write_scalar(group, "read_bandwidth", p.read_bandwidth, "byte/s", "the machine's limit, a plain read");
  std::vector<std::string> names, dtypes;
  std::vector<int64> calls;
  std::vector<double> seconds, flops, bytes, roofline;
  for (const OperationCost& operation : p.operations) {
    names.push_back(operation.name);
    dtypes.push_back(operation.dtype);
    calls.push_back(operation.calls);
    seconds.push_back(operation.seconds);
    flops.push_back(operation.flops);
    bytes.push_back(operation.bytes);
    roofline.push_back(operation.seconds > 0 ? p.least_seconds(operation) / operation.seconds : 0);
  }
  const Group operations = group.create_group("operations");
  operations.write("name", names);
  operations.write("dtype", dtypes);
  operations.write("calls", calls);
  const auto column = [&](const char* name, const std::vector<double>& values, const char* units,
                          const char* meaning) {
    operations.write(name, values);
    describe(operations, name, units, meaning);
  };
  column("seconds", seconds, "s", "in all these steps, by the wall clock");
  column("flops", flops, "FLOP", "useful ones");
  column("bytes", bytes, "byte", "of operands, each read once and written once");
  column("roofline", roofline, "1", "the least time that the limits allow over the time it took");
}

StepProfile read_profile(const Group& root) {
  const Group group = root.group("profile");
  StepProfile p;
  p.steps = read_scalar<int64>(group, "steps");
  p.seconds = read_scalar<double>(group, "seconds");
  p.f32_flops = read_scalar<double>(group, "f32_flops");
  p.bf16_flops = read_scalar<double>(group, "bf16_flops");
  p.read_bandwidth = read_scalar<double>(group, "read_bandwidth");
  const Group operations = group.group("operations");
  const auto names = operations.read_list<std::string>("name");
  const auto dtypes = operations.read_list<std::string>("dtype");
  const auto calls = operations.read_list<int64>("calls");
  const auto seconds = operations.read_list<double>("seconds");
  const auto flops = operations.read_list<double>("flops"), bytes = operations.read_list<double>("bytes");
  for (const size_t length : {dtypes.size(), calls.size(), seconds.size(), flops.size(), bytes.size()})
    if (length != names.size())
      fail_input("{}: name has {} entries, another column {}", operations.where("name"), names.size(),
                 length);
  for (size_t i = 0; i < names.size(); ++i)
    p.operations.push_back({names[i], calls[i], seconds[i], flops[i], bytes[i], dtypes[i]});
  return p;
}

void read_identity(const Group& root, RunRecord& r) {
  r.name = root.attribute<std::string>(".", "name");
  r.identity = root.attribute<std::string>(".", "identity");
  r.state = run_state_named(root.attribute<std::string>(".", "state"), root.where());
  r.role = run_role_named(root.attribute<std::string>(".", "role"), root.where());
  r.error = root.attribute<std::string>(".", "error");
  r.seed = root.attribute<int64>(".", "seed");
  r.config = read_scalar<std::string>(root, "config");
  const Group corpus = root.group("corpus");
  r.corpus = {corpus.attribute<std::string>(".", "description"),
              corpus.attribute<std::string>(".", "fingerprint")};
  const Group lineage = root.group("lineage");
  r.lineage = {
      lineage.attribute<std::string>(".", "baseline"),   lineage.attribute<std::string>(".", "checkpoint"),
      lineage.attribute<std::string>(".", "conversion"), lineage.attribute<double>(".", "alpha"),
      lineage.attribute<int64>(".", "q_heads"),          lineage.attribute<int64>(".", "kv_heads")};
  r.provenance = read_provenance(root);
}

void expect_length(const Group& group, const char* name, size_t length, size_t wanted) {
  if (length != wanted) fail_input("{}: has {} entries, but step has {}", group.where(name), length, wanted);
}

std::vector<Attribute> read_resolved(const Group& root) {
  const Group group = root.group("resolved");
  const auto paths = group.read_list<std::string>("path");
  const auto units = group.read_list<std::string>("unit");
  const auto sources = group.read_list<std::string>("source");
  if (units.size() != paths.size() || sources.size() != paths.size())
    fail_input("{}: path, unit and source differ in length", group.where());
  std::vector<Attribute> attributes;
  for (size_t i = 0; i < paths.size(); ++i)
    attributes.push_back({paths[i], group.any_attribute(".", paths[i]), units[i], sources[i]});
  return attributes;
}

StepSeries read_series(const Group& root) {
  const Group group = root.group("series");
  StepSeries series;
  series.step = group.read_list<int64>("step");
  for (size_t i = 1; i < series.size(); ++i)
    if (series.step[i] <= series.step[i - 1])
      fail_input("{}: step {} stands after step {}", group.where("step"), series.step[i], series.step[i - 1]);
  series.tokens = group.read_list<int64>("tokens");
  expect_length(group, "tokens", series.tokens.size(), series.size());
  for (const Column& column : kColumns) {
    series.*column.values = group.read_list<double>(column.name);
    expect_length(group, column.name, (series.*column.values).size(), series.size());
  }
  if (group.has("skipped")) series.skipped = group.read_list<int64>("skipped");
  return series;
}

std::vector<Evaluation> read_evaluations(const Group& root) {
  const Group group = root.group("evaluations");
  const auto step = group.read_list<int64>("step");
  const auto loss = group.read_list<double>("loss");
  expect_length(group, "loss", loss.size(), step.size());
  std::vector<Evaluation> evaluations;
  for (size_t i = 0; i < step.size(); ++i) evaluations.push_back({step[i], loss[i], std::nullopt});
  if (!group.has("bits_per_byte")) return evaluations;
  const auto bits = group.read_list<double>("bits_per_byte");
  expect_length(group, "bits_per_byte", bits.size(), step.size());
  for (size_t i = 0; i < step.size(); ++i) evaluations[i].bits_per_byte = bits[i];
  return evaluations;
}

}  // namespace

void write_run_file(const std::filesystem::path& path, const RunRecord& record) {
  replace_record_file(path, [&](const Group& root) {
    write_identity(root, record);
    write_resolved(root, record.attributes);
    write_series(root, record.series);
    write_evaluations(root, record);
    write_numbers(root, record);
    if (record.profile) write_profile(root, *record.profile);
  });
}

RunRecord read_run_file(const std::filesystem::path& path) {
  const Group root = open_record_file(path, kFormat, kFormatVersion, "a run's file");
  RunRecord r;
  read_identity(root, r);
  r.attributes = read_resolved(root);
  r.series = read_series(root);
  r.evaluations = read_evaluations(root);
  const Group counts = root.group("counts"), memory = root.group("memory");
  r.counts = {read_scalar<int64>(counts, "parameters"), read_scalar<int64>(counts, "tokens"),
              read_scalar<double>(counts, "flops_per_token"),
              read_scalar<int64>(counts, "kv_bytes_per_token")};
  r.memory = {read_scalar<int64>(memory, "predicted"), read_scalar<int64>(memory, "measured_peak"),
              read_scalar<int64>(memory, "scratch")};
  const Group timing = root.group("timing");
  r.seconds = read_scalar<double>(timing, "total");
  if (timing.has("step")) r.step_seconds = read_scalar<double>(timing, "step");  // later than the format
  if (root.has("profile")) r.profile = read_profile(root);
  return r;
}

}  // namespace fovea
