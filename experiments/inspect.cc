#include "experiments/inspect.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/hash.h"
#include "core/host_copy.h"
#include "experiments/head_cosines.h"
#include "experiments/head_statistics.h"
#include "experiments/sequence_pass.h"
#include "experiments/tokens.h"
#include "kernels/simd/instruction_set.h"
#include "record/provenance.h"
#include "record/study_index.h"
#include "train/checkpoint.h"

namespace fovea {
namespace {

namespace fs = std::filesystem;

constexpr int64 kLongest = 512;   // tokens of a sequence
constexpr int64 kRepeated = 128;  // of an induction sequence, at most

/// What both sets of weights of a model are shown.
struct Material {
  Tokens text, repeated;  ///< repeated: no sequences where the model is too short for any
};

Tokens text_of(const StoredModel& model, const DecoderShape& shape, const InspectOptions& options) {
  const int64 length = std::min(shape.context, kLongest);
  if (!options.tokens.empty()) {
    Tokens tokens = read_tokens(options.tokens, shape);
    tokens.sequences = std::min(tokens.sequences, options.sequences);
    return tokens;
  }
  if (!options.text.empty()) return text_tokens(options.text, shape, options.sequences, length);
  if (!model.run) return random_tokens(shape, options.sequences, length);
  try {
    return held_out_tokens(model.run->data, options.sequences, length);
  } catch (const UserError& error) {
    throw UserError(error.code(),
                    fmt::format("{}; or name another text by --text or --tokens", error.what()));
  }
}

Material material_for(const StoredModel& model, const DecoderShape& shape, const InspectOptions& options) {
  Material material{text_of(model, shape, options), {}};
  for (const int32 token : material.text.values)
    if (token >= shape.vocab)
      fail_input("{}: token {} is not in the model's vocabulary of {}", material.text.source, token,
                 shape.vocab);
  const int64 repeated = std::min({shape.context / 2, kRepeated, shape.vocab});
  if (repeated >= 2) material.repeated = repeated_tokens(shape, options.sequences, repeated);
  return material;
}

/// Runs a model's forward over sequences and sums what its heads do, (layers, q_heads).
class HeadObserver {
 public:
  HeadObserver(const Decoder& decoder, const View& weights, Stream& stream)
      : decoder_(decoder), weights_(weights), stream_(stream), pool_(stream.threads()) {
    const DecoderShape& shape = decoder.shape();
    sums_.resize(static_cast<size_t>(shape.layers * shape.q_heads));
  }

  /// repeated: as in add_head_sums(). Returns the sum of losses.
  double read(const Tokens& tokens, int64 repeated) {
    const Buffer losses(weights_.dtype(), {tokens.length}, stream_.device());
    SequencePass pass(decoder_, weights_, {}, tokens.length, stream_, [&](const StepContext& context) {
      decoder_.losses(context, losses, [&](int64 layer, const Saved& saved) {
        add_layer(layer, saved, tokens.length, repeated);
      });
    });
    double total = 0;
    for (int64 n = 0; n < tokens.sequences; ++n) {
      pass.run(tokens.values.data() + n * tokens.length);
      const HostCopy host(losses);
      for (int64 i = 0; i < tokens.length; ++i) total += load(host, {i});
    }
    return total;
  }
  const std::vector<HeadSums>& sums() const { return sums_; }

 private:
  void add_layer(int64 layer, const Saved& saved, int64 length, int64 repeated) {
    const DecoderShape& shape = decoder_.shape();
    AttentionProblem problem;
    problem.q_len = problem.kv_len = length;
    problem.q_heads = shape.q_heads;
    problem.kv_heads = shape.kv_heads[static_cast<size_t>(layer)];
    problem.qk_dim = problem.v_dim = shape.head_dim;
    problem.mask = shape.masks[static_cast<size_t>(layer)];
    problem.scale = shape.attention_scale;
    problem.softcap = shape.attention_softcap;
    const HostCopy q(saved(Slot::q)), k(saved(Slot::k));
    add_head_sums(pool_, problem, q.view().reshape({1, length, problem.q_heads, shape.head_dim}),
                  k.view().reshape({1, length, problem.kv_heads, shape.head_dim}), repeated,
                  sums_.data() + layer * shape.q_heads);
  }

  const Decoder& decoder_;
  const View& weights_;
  Stream& stream_;
  ThreadPool pool_;
  std::vector<HeadSums> sums_;
};

HeadStatistics statistics_of(const std::vector<HeadSums>& text, const std::vector<HeadSums>& repeated) {
  HeadStatistics s;
  const auto mean = [](double sum, int64 n) { return n > 0 ? sum / static_cast<double>(n) : 0; };
  for (size_t i = 0; i < text.size(); ++i) {
    const HeadSums& h = text[i];
    s.entropy.push_back(mean(h.entropy, h.rows));
    s.relative_entropy.push_back(mean(h.relative_entropy, h.rows));
    s.previous_token.push_back(mean(h.previous_token, h.rows));
    s.first_token.push_back(mean(h.first_token, h.rows));
    s.induction.push_back(mean(repeated[i].induction, repeated[i].repeated_rows));
    s.score_mean.push_back(h.score_mean);
    s.score_deviation.push_back(std::sqrt(mean(h.score_squares, h.scores)));
    s.score_largest.push_back(h.score_largest);
    s.saturated.push_back(mean(h.saturated, h.rows));
    s.softmax_slope.push_back(mean(h.slope, h.rows));
  }
  return s;
}

/// Which norm of its layer a parameter's gradient is part of; null: none.
std::vector<double> GradientNorms::*norm_of(std::string_view part) {
  const auto begins = [&](std::string_view with) { return part.starts_with(with); };
  if (begins("attention.q") || begins("attention.k")) return &GradientNorms::query_key;
  if (begins("attention.v.") || begins("attention.out.")) return &GradientNorms::value_out;
  return begins("mlp.") ? &GradientNorms::mlp : nullptr;
}

GradientNorms gradient_norms(const Decoder& decoder, const View& weights, const Tokens& text,
                             Stream& stream) {
  const Buffer losses(weights.dtype(), {text.length}, stream.device());
  const Buffer sums(weights.dtype(), {weights.size(0)}, stream.device());
  const double scale =
      1 / static_cast<double>(std::max<int64>(1, text.sequences * (text.length - 1)));  // of the mean
  SequencePass pass(decoder, weights, sums, text.length, stream, [&](const StepContext& context) {
    decoder.train(context, losses, scale, RecomputePolicy{});
  });
  for (int64 n = 0; n < text.sequences; ++n) pass.run(text.values.data() + n * text.length);

  const HostCopy gradients(sums);
  const std::vector<double> zeros(static_cast<size_t>(decoder.shape().layers), 0.0);
  GradientNorms norms{zeros, zeros, zeros};
  constexpr std::string_view kBlocks = "blocks.";
  for (const Parameter& p : decoder.layout().parameters()) {
    if (!p.name.starts_with(kBlocks)) continue;
    const size_t dot = p.name.find('.', kBlocks.size());
    const auto norm = norm_of(std::string_view(p.name).substr(dot + 1));
    if (!norm) continue;
    double& squares = (norms.*norm)[std::stoul(p.name.substr(kBlocks.size(), dot - kBlocks.size()))];
    for (int64 i = p.offset; i < p.offset + p.elements(); ++i)
      squares += load(gradients, {i}) * load(gradients, {i});
  }
  for (const auto& column : gradient_columns())
    for (double& value : norms.*column.values) value = std::sqrt(value);
  return norms;
}

ModelStatistics statistics_of(const Decoder& decoder, const View& weights, const Material& material,
                              Stream& stream) {
  // RoPE may go by the length in use.
  const Decoder of_repeated(decoder.shape(), material.repeated.length, weights.dtype(), stream.device());
  HeadObserver text(decoder, weights, stream), repeated(of_repeated, weights, stream);
  ModelStatistics statistics;
  const int64 scored = material.text.sequences * (material.text.length - 1);
  statistics.loss = text.read(material.text, 0) / static_cast<double>(std::max<int64>(1, scored));
  if (material.repeated.sequences > 0) repeated.read(material.repeated, material.repeated.length / 2);
  statistics.heads = statistics_of(text.sums(), repeated.sums());
  statistics.gradients = gradient_norms(decoder, weights, material.text, stream);
  return statistics;
}

void describe_shape(Inspection& inspection, const Decoder& decoder) {
  const DecoderShape& shape = decoder.shape();
  inspection.layers = shape.layers;
  inspection.q_heads = shape.q_heads;
  inspection.head_dim = shape.head_dim;
  inspection.attention_scale = shape.attention_scale;
  inspection.kv_heads = shape.kv_heads;
  for (const Mask& mask : shape.masks) inspection.windows.push_back(mask.left + 1);
}

}  // namespace

Inspection inspect(const StoredModel& model, const InspectOptions& options) {
  const DecoderShape shape = model.shape();
  const DType wide = options.backend == Backend::reference ? DType::f64 : DType::f32;
  const Material material = material_for(model, shape, options);
  Stream stream(options.backend, options.threads);
  const Decoder decoder(shape, material.text.length, wide, stream.device());
  Inspection inspection;
  const std::vector<float> parameters = read_all(model.parameters, model.layout);
  inspection.weights = hash128(std::as_bytes(std::span(parameters)));
  inspection.text = material.text.source;
  inspection.provenance =
      collect_provenance(options.threads, std::string(name_of(options.backend)), options.command);
  inspection.provenance.used_instruction_set = name_of(instruction_set());
  describe_shape(inspection, decoder);
  inspection.sequences = material.text.sequences;
  inspection.length = material.text.length;
  inspection.repeated = material.repeated.length / 2;
  inspection.trained = statistics_of(
      decoder, weights_buffer(model.layout, model.parameters, wide, stream.device()), material, stream);
  if (model.run && model.run->init.from.empty()) {
    const Buffer drawn(DType::f32, {decoder.layout().elements()});
    initialise(decoder.layout(), drawn, static_cast<uint64>(model.run->train.seed));
    const std::span<const float> values(drawn.view().data<float>(),
                                        static_cast<size_t>(drawn.view().elements()));
    inspection.initial = statistics_of(
        decoder, weights_buffer(decoder.layout(), source_of(decoder.layout(), values), wide, stream.device()),
        material, stream);
  }
  inspection.cosines = group_cosines(decoder, parameters, options.group);
  inspection.provenance.finished = utc_now();
  return inspection;
}

std::string inspect_path(const fs::path& path, const fs::path& out, const InspectOptions& options) {
  const auto inspect_one = [&](const fs::path& model, const fs::path& file, const std::string& name) {
    Inspection inspection = inspect(open_model(model), options);
    inspection.model = name;
    if (!file.empty()) write_inspection(file, inspection);
    return describe(inspection);
  };
  if (!fs::exists(path / kStudyFileName)) {
    const bool of_run =
        fs::is_directory(path) && fs::exists(path / kModelFileName) && !fs::exists(path / "config.json");
    return inspect_one(path,
                       !out.empty() ? out
                       : of_run     ? path / kInspectionFileName
                                    : fs::path(),
                       path.string());
  }
  if (!out.empty())
    fail_usage("{} is a study: its inspections lie beside its runs, and --out has no place", path.string());
  std::string text;
  for (const StudyRun& run : read_study_index(path).runs) {
    const fs::path directory = path / run.directory;
    if (!fs::exists(directory / kModelFileName)) continue;
    text += inspect_one(directory, directory / kInspectionFileName, run.directory) + "\n";
  }
  if (text.empty()) fail_input("{}: none of its runs has a model ({})", path.string(), kModelFileName);
  return text;
}

}  // namespace fovea
