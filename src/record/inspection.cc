#include "record/inspection.h"

#include <algorithm>
#include <numeric>

#include "record/record_parts.h"

namespace fovea {
namespace {

using h5::Group;
using h5::Shape;

constexpr const char* kFormat = "fovea inspection";
constexpr int64 kFormatVersion = 1;

constexpr StatisticColumn<HeadStatistics> kHeadColumns[] = {
    {"entropy", "nat", "mean entropy of a row's attention", &HeadStatistics::entropy},
    {"relative_entropy", "1", "the same over ln(keys that the row sees)", &HeadStatistics::relative_entropy},
    {"previous_token", "1", "attention to the token before", &HeadStatistics::previous_token},
    {"first_token", "1", "attention to the sequence's first token", &HeadStatistics::first_token},
    {"induction", "1", "attention to what followed this token the first time, on repeated random tokens",
     &HeadStatistics::induction},
    {"score_mean", "1", "mean of the scores that the softmax is given", &HeadStatistics::score_mean},
    {"score_deviation", "1", "their standard deviation", &HeadStatistics::score_deviation},
    {"score_largest", "1", "the largest of them", &HeadStatistics::score_largest},
    {"saturated", "1", "part of the rows whose largest probability is above 0.99",
     &HeadStatistics::saturated},
    {"softmax_slope", "1", "mean of 1 - sum p^2, the trace of the softmax's Jacobian",
     &HeadStatistics::softmax_slope}};

constexpr StatisticColumn<GradientNorms> kGradientColumns[] = {
    {"query_key", "1", "norm of the gradient by the parameters of queries and keys",
     &GradientNorms::query_key},
    {"value_out", "1", "norm of the gradient by those of values and attention's output",
     &GradientNorms::value_out},
    {"mlp", "1", "norm of the gradient by those of the MLP", &GradientNorms::mlp}};

constexpr StatisticColumn<GroupCosines> kCosineColumns[] = {
    {"key", "1", "mean cosine between the key heads of a group, by their weights", &GroupCosines::key},
    {"key_aligned", "1", "the same after alignment, a rotation per RoPE plane", &GroupCosines::key_aligned},
    {"value", "1", "mean cosine between the value heads of a group", &GroupCosines::value},
    {"value_aligned", "1", "the same after alignment by an orthogonal matrix", &GroupCosines::value_aligned}};

/// Datasets in a group of the file, each axis with its dimension scale.
template <class Record>
void write_columns(const Group& root, const std::string& group,
                   std::span<const StatisticColumn<Record>> columns, const Record& record, const Shape& shape,
                   std::initializer_list<const char*> scales) {
  for (const auto& column : columns) {
    const std::string name = group + "/" + column.name;
    root.write<double>(name, shape, record.*column.values);
    describe(root, name, column.unit, column.meaning);
    int64 axis = 0;
    for (const char* scale : scales) root.attach_scale(name, axis++, scale);
  }
}

void write_scale(const Group& root, const char* name, int64 size, const char* meaning) {
  std::vector<int64> numbers(static_cast<size_t>(size));
  std::iota(numbers.begin(), numbers.end(), 0);
  root.write(name, numbers);
  describe(root, name, "1", meaning);
  root.make_scale(name);
}

template <class Record>
void read_columns(const Group& group, std::span<const StatisticColumn<Record>> columns, Record& record,
                  const Shape& shape) {
  for (const auto& column : columns) {
    h5::Array<double> array = group.read<double>(column.name);
    if (array.shape != shape)
      fail_input("{}: is not of the shape that the file's attributes say", group.where(column.name));
    record.*column.values = std::move(array.values);
  }
}

/// within: "" or "initial/".
void write_statistics(const Group& root, const std::string& within, const ModelStatistics& statistics,
                      const Inspection& i) {
  write_scalar(root, within + "loss", statistics.loss, "nat/token", "mean cross entropy of the text");
  write_columns(root, within + "attention", head_columns(), statistics.heads, {i.layers, i.q_heads},
                {"layer", "head"});
  write_columns(root, within + "gradients", gradient_columns(), statistics.gradients, {i.layers}, {"layer"});
}

ModelStatistics read_statistics(const Group& group, const Inspection& i) {
  ModelStatistics statistics;
  statistics.loss = read_scalar<double>(group, "loss");
  read_columns(group.group("attention"), head_columns(), statistics.heads, {i.layers, i.q_heads});
  read_columns(group.group("gradients"), gradient_columns(), statistics.gradients, {i.layers});
  return statistics;
}

/// The one table of the attributes, walked by the writer and by the reader.
template <class Record, class Visit>
void each_attribute(Record& i, Visit visit) {
  visit("model", i.model);
  visit("weights", i.weights);
  visit("text", i.text);
  visit("layers", i.layers);
  visit("q_heads", i.q_heads);
  visit("head_dim", i.head_dim);
  visit("kv_heads", i.kv_heads);
  visit("windows", i.windows);
  visit("attention_scale", i.attention_scale);
  visit("sequences", i.sequences);
  visit("length", i.length);
  visit("repeated", i.repeated);
  visit("group_heads", i.cosines.heads);
  visit("groups", i.cosines.groups);
}

}  // namespace

std::span<const StatisticColumn<HeadStatistics>> head_columns() { return kHeadColumns; }
std::span<const StatisticColumn<GradientNorms>> gradient_columns() { return kGradientColumns; }
std::span<const StatisticColumn<GroupCosines>> cosine_columns() { return kCosineColumns; }

void write_inspection(const std::filesystem::path& path, const Inspection& inspection) {
  replace_record_file(path, [&](const Group& root) {
    write_format(root, kFormat, kFormatVersion);
    each_attribute(inspection,
                   [&](const char* name, const auto& value) { root.set_attribute(".", name, value); });
    write_provenance(root, inspection.provenance);
    write_scale(root, "layer", inspection.layers, "layers, from the one that reads the embedding");
    write_scale(root, "head", inspection.q_heads, "query heads of a layer");
    write_statistics(root, "", inspection.trained, inspection);
    if (inspection.initial) write_statistics(root, "initial/", *inspection.initial, inspection);
    if (inspection.cosines.groups == 0) return;
    write_scale(root, "group", inspection.cosines.groups, "would-be groups of neighbouring KV heads");
    write_columns(root, "cosine", cosine_columns(), inspection.cosines,
                  {inspection.layers, inspection.cosines.groups}, {"layer", "group"});
  });
}

Inspection read_inspection(const std::filesystem::path& path) {
  const Group root = open_record_file(path, kFormat, kFormatVersion, "an inspection");
  Inspection i;
  each_attribute(i, [&]<class T>(const char* name, T& value) { value = root.attribute<T>(".", name); });
  const auto layers = static_cast<size_t>(std::max<int64>(0, i.layers));
  if (i.layers < 1 || i.q_heads < 1 || i.cosines.groups < 0 || i.kv_heads.size() != layers ||
      i.windows.size() != layers)
    fail_input("{}: its attributes layers, q_heads, kv_heads, windows and groups do not go together",
               path.string());
  i.provenance = read_provenance(root);
  i.trained = read_statistics(root, i);
  if (root.has("initial")) i.initial = read_statistics(root.group("initial"), i);
  if (i.cosines.groups > 0)
    read_columns(root.group("cosine"), cosine_columns(), i.cosines, {i.layers, i.cosines.groups});
  return i;
}

}  // namespace fovea
