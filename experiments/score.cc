#include "experiments/score.h"

#include <algorithm>
#include <cmath>
#include <fstream>

#include "core/error.h"
#include "experiments/model_file.h"
#include "experiments/scoring.h"
#include "experiments/sequence_pass.h"
#include "record/hdf5.h"

namespace fovea {
namespace {

namespace fs = std::filesystem;

bool is_hdf5(const fs::path& path) {
  constexpr std::string_view kSignature = "\x89HDF\r\n\x1a\n";
  std::string begin(kSignature.size(), '\0');
  std::ifstream(path, std::ios::binary).read(begin.data(), static_cast<std::streamsize>(begin.size()));
  return begin == kSignature;
}

bool has_extension(const fs::path& path, std::initializer_list<const char*> extensions) {
  const std::string extension = path.extension().string();
  return std::find(extensions.begin(), extensions.end(), extension) != extensions.end();
}

// What made its tokens of text: a companion's name, bytes or a path; empty: nobody knows.
std::string tokenizer_name(const StoredModel& model) {
  for (const char* name : {"tokenizer.json", "tokenizer.model"})
    if (model.companions.contains(name)) return name;
  const std::string of_run = model.run ? model.run->data.tokenizer : Tokenizer().name();
  const bool bytes = of_run == Tokenizer().name();
  return bytes && model.vocabulary != Tokenizer().vocabulary() ? "" : of_run;
}

Tokenizer tokenizer_of(const StoredModel& model, const fs::path& path) {
  const std::string name = tokenizer_name(model);
  const auto companion = model.companions.find(name);
  if (companion == model.companions.end()) return open_tokenizer(name);
  return read_tokenizer(std::as_bytes(std::span(companion->second)), path / name);
}

Tokens tokens_of(const fs::path& model_path, const StoredModel& model, const ScoreOptions& options) {
  const DecoderShape shape = model.shape();
  const fs::path& path = options.tokens;
  if (!fs::exists(path)) fail_input("{}: there is no such file", path.string());
  if (!fs::is_regular_file(path)) fail_input("{}: is not a regular file", path.string());
  const bool hdf5 = is_hdf5(path) || has_extension(path, {".h5", ".hdf5"});
  if (!hdf5 && !has_extension(path, {".bin"})) {
    if (tokenizer_name(model).empty())
      fail_input("{}: is text, and {} has no tokenizer (tokenizer.json): name an HDF5 or .bin file of tokens",
                 path.string(), model_path.string());
    return text_windows(path, tokenizer_of(model, model_path), shape, options.length);
  }
  Tokens tokens = hdf5 ? read_tokens(path, shape) : token_file_windows(path, shape, options.length);
  if (options.length > 0 && options.length != tokens.length)
    fail_usage("--length {}: {} holds sequences of {} already; leave it out", options.length, path.string(),
               tokens.length);
  if (tokenizer_name(model) == Tokenizer().name()) tokens.target_bytes = tokens.targets();
  return tokens;
}

// As the model's files have it, f32.
std::vector<float> in_file(const FileTensor& tensor, const ParameterLayout& layout, int64 head_dim,
                           const View& flat) {
  int64 elements = 1;
  for (const int64 size : tensor.shape) elements *= size;
  std::vector<float> result(static_cast<size_t>(elements));
  for (size_t part = 0; part < tensor.parts.size(); ++part) {
    const Parameter& p = layout[tensor.parts[part]];
    std::vector<float> values;
    for (int64 i = p.offset; i < p.offset + p.elements(); ++i)
      values.push_back(static_cast<float>(load(flat, {i})));
    scatter(placement_of(tensor, part, layout, head_dim), std::as_bytes(std::span(values)).data(),
            sizeof(float), std::as_writable_bytes(std::span(result)).data());
  }
  return result;
}

// Returns the norm of all of them.
double write_gradients(const h5::Group& file, const StoredModel& model, const View& gradients) {
  double squares = 0;
  for (const FileTensor& tensor : model.tensors) {
    const std::vector<float> values = in_file(tensor, model.layout, model.shape().head_dim, gradients);
    for (const float value : values) squares += double{value} * value;
    file.write<float>("grads/" + tensor.name, tensor.shape, values);
  }
  const double norm = std::sqrt(squares);
  file.write<double>("grad_norm", {}, std::span(&norm, 1));
  return norm;
}

std::string described(const Tokens& tokens, double loss) {
  std::string text = fmt::format("loss           {:.6f} nat/token over {} tokens in sequences of {}\n", loss,
                                 tokens.targets(), tokens.length);
  text += fmt::format("perplexity     {:.6g}\n", std::exp(loss));
  if (tokens.target_bytes > 0)
    text += fmt::format(
        "bits per byte  {:.6f} over {} bytes\n",
        loss * static_cast<double>(tokens.targets()) / std::log(2) / static_cast<double>(tokens.target_bytes),
        tokens.target_bytes);
  if (tokens.left_over > 0)
    text += fmt::format("not scored     {} tokens at the end, too few for a sequence\n", tokens.left_over);
  return text;
}

}  // namespace

std::string score(const fs::path& path, const ScoreOptions& options) {
  std::error_code ignored;
  if (fs::equivalent(options.tokens, options.out, ignored))
    fail_usage("{}: is both the tokens and the answer; name another file for the answer",
               options.tokens.string());
  if (fs::exists(options.out) && !fs::is_empty(options.out) && !is_hdf5(options.out))
    fail_usage("{}: is there already, and no HDF5 file: name another file for the answer",
               options.out.string());
  const StoredModel model = open_model(path);
  const DecoderShape shape = model.shape();
  const Tokens tokens = tokens_of(path, model, options);
  if (options.gradients && tokens.targets() == 0)
    fail_input("{}: sequences of one token have no loss and no gradients", options.tokens.string());
  const DType wide = options.backend == Backend::reference ? DType::f64 : DType::f32;
  Stream stream(options.backend, options.threads);
  const Decoder decoder(shape, tokens.length, wide, stream.device());
  std::vector<float> logits;  // (B T, V)
  ScoreRequest request{.gradients = options.gradients};
  if (options.logits)
    request.logits = [&](const View& of_sequence) {
      for (int64 i = 0; i < of_sequence.size(0); ++i)
        for (int64 j = 0; j < of_sequence.size(1); ++j)
          logits.push_back(static_cast<float>(load(of_sequence, {i, j})));
    };
  const Scores scores =
      compute_scores(decoder, weights_buffer(model.layout, model.parameters, wide, stream.device()), tokens,
                     stream, request);

  const h5::Group file = h5::create_file(options.out);
  if (options.logits) file.write<float>("logits", {tokens.sequences, tokens.length, shape.vocab}, logits);
  file.write<float>("logprobs", {tokens.sequences, tokens.length - 1}, scores.logprobs);
  file.write<double>("loss", {}, std::span(&scores.loss, 1));
  file.set_attribute(".", "architecture", AttributeValue(shape.family));
  file.set_attribute("loss", "units", AttributeValue(std::string("nat/token")));
  std::string text = described(tokens, scores.loss);
  if (options.gradients)
    text += fmt::format("gradient norm  {:.6g}\n", write_gradients(file, model, scores.gradients));
  file.flush();
  return text;
}

}  // namespace fovea
