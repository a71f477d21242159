#include "tests/model/small_model.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "core/hash.h"
#include "core/random.h"
#include "kernels/reduce/reduce.h"
#include "model/families.h"

namespace fovea {
namespace {

ModelConfig tiny(const std::string& family) {
  ModelConfig config;
  config.family = family;
  config.layers = 2;
  config.width = 16;
  config.q_heads = 4;
  config.kv_heads = 2;
  config.hidden = 24;
  config.context = 7;
  if (family == "mistral") config.sliding_window = 3;
  if (family == "gpt2" || family == "neox") config.kv_heads = 4;
  if (family == "neox") config.rope_fraction = 0.5;
  if (family == "gemma" || family == "gemma2") config.head_dim = 6;
  if (family == "gemma2") {
    config.sliding_window = 3;
    config.attention_softcap = 2;  // low enough to bend what these weights give
    config.logit_softcap = 3;
  }
  return config;
}

template <class F>
ModelCase varied(const std::string& name, const std::string& family, F change) {
  ModelCase c{.name = name, .config = tiny(family)};
  change(c);
  return c;
}

std::vector<ModelCase> make_cases() {
  std::vector<ModelCase> cases;
  for (const char* family : {"llama", "mistral", "qwen2", "qwen3", "gpt2", "neox", "gemma", "gemma2"})
    cases.push_back({.name = family, .config = tiny(family)});
  const auto add = [&](const std::string& name, const std::string& family, auto change) {
    cases.push_back(varied(name, family, change));
  };
  add("llama_mha", "llama", [](ModelCase& c) { c.config.kv_heads = 4; });
  add("llama_mqa", "llama", [](ModelCase& c) { c.config.kv_heads = 1; });
  add("llama_heads_per_layer", "llama", [](ModelCase& c) { c.config.kv_heads_per_layer = {4, 1}; });
  add("llama_wide_heads", "llama", [](ModelCase& c) { c.config.head_dim = 10; });
  add("llama_interleaved", "llama", [](ModelCase& c) { c.config.rope_interleaved = true; });
  add("llama_partial_interleaved", "llama", [](ModelCase& c) {
    c.config.rope_interleaved = true;
    c.config.rope_fraction = 0.5;
  });
  const auto add_rope = [&](const std::string& type, auto change) {
    add("llama_" + type, "llama", [&](ModelCase& c) {
      c.config.head_dim = 8;
      c.config.rope_type = type;
      c.config.rope_factor = 4;
      c.config.rope_original_context = 5;
      change(c.config);
    });
  };
  const auto as_it_is = [](ModelConfig&) {};
  add_rope("linear", as_it_is);
  add_rope("ntk", as_it_is);
  add_rope("dynamic", as_it_is);
  add_rope("yarn", [](ModelConfig& c) {
    c.rope_theta = 10;
    c.rope_beta_fast = 0.7;
    c.rope_beta_slow = 0.2;
    c.rope_truncate = false;
  });
  add_rope("longrope", [](ModelConfig& c) {
    c.rope_short_factors = {1, 1, 1, 1};
    c.rope_long_factors = {1, 1.5, 2.5, 4};
    c.rope_interleaved = true;
  });
  add_rope("llama3", [](ModelConfig& c) {
    c.rope_theta = 10;
    c.rope_low_freq_factor = 0.2;
    c.rope_high_freq_factor = 0.7;
  });
  add_rope("proportional", [](ModelConfig& c) { c.rope_fraction = 0.5; });
  add("llama_no_positions", "llama", [](ModelCase& c) { c.config.position = "none"; });
  add("llama_learned", "llama", [](ModelCase& c) { c.config.position = "learned"; });
  add("llama_attention_scale", "llama", [](ModelCase& c) { c.config.attention_scale = 1.25; });
  add("llama_biases", "llama", [](ModelCase& c) {
    c.config.qkv_bias = c.config.out_bias = c.config.mlp_bias = "yes";
    c.config.activation = "gelu";
  });
  add("llama_parallel", "llama", [](ModelCase& c) { c.config.parallel_residual = "yes"; });
  add("llama_mixed_windows", "llama", [](ModelCase& c) {
    c.config.attention = {"full", "window"};
    c.config.sliding_window = 2;
  });
  add("llama_documents", "llama", [](ModelCase& c) { c.documents = {0, 4, 7, 8, 14}; });
  add("llama_dropout", "llama", [](ModelCase& c) { c.config.dropout = 0.3; });
  add("gpt2_gated_rope_qk_norm", "gpt2", [](ModelCase& c) {
    c.config.gated = c.config.qk_norm = "yes";
    c.config.position = "rope";
    c.config.tie_embeddings = "no";
  });
  add("gpt2_documents_dropout", "gpt2", [](ModelCase& c) {
    c.documents = {0, 3, 7, 13, 14};
    c.config.dropout = 0.2;
  });
  add("neox_dropout", "neox", [](ModelCase& c) { c.config.dropout = 0.2; });
  add("gemma_layer_norm", "gemma", [](ModelCase& c) { c.config.norm = "layer_norm"; });
  add("gemma2_parallel", "gemma2", [](ModelCase& c) { c.config.parallel_residual = "yes"; });
  add("gemma2_documents_dropout", "gemma2", [](ModelCase& c) {
    c.documents = {0, 5, 7, 14};
    c.config.dropout = 0.2;
  });
  add("gemma2_layer_norm", "gemma2", [](ModelCase& c) { c.config.norm = "layer_norm"; });
  return cases;
}

void draw_weights(const ParameterLayout& layout, const View& flat) {
  for (ParameterId id = 0; id < static_cast<ParameterId>(layout.parameters().size()); ++id) {
    const Parameter& p = layout[id];
    const View values = layout.view(flat, id).reshape({p.elements()});
    const RandomSequence random{
        7, RandomUse::synthetic,
        static_cast<uint32>(hash64(std::as_bytes(std::span(p.name.data(), p.name.size()))))};
    const bool peaked = p.name.ends_with(".q.weight") || p.name.ends_with(".k.weight");
    const double std = p.vector ? 0.2 : (peaked ? 1.5 : 0.8) / std::sqrt(static_cast<double>(p.columns));
    for (int64 i = 0; i < p.elements(); ++i) {
      const double value = p.init.constant + std * random.normal(static_cast<uint64>(i));
      store(values, {i}, to_f32(bf16(static_cast<float>(value))));
    }
  }
}

}  // namespace

const std::vector<ModelCase>& model_cases() {
  static const std::vector<ModelCase> kCases = make_cases();
  return kCases;
}

const ModelCase& case_named(const std::string& name) {
  const auto found = std::find_if(model_cases().begin(), model_cases().end(),
                                  [&](const ModelCase& c) { return c.name == name; });
  FOVEA_CHECK(found != model_cases().end(), "no case is called {}", name);
  return *found;
}

ModelCase larger_case(const std::string& name) {
  ModelCase c = case_named(name);
  c.vocabulary = 307;
  c.sequences = 3;
  c.length = 67;
  c.config.layers = 4;
  if (!c.config.kv_heads_per_layer.empty()) c.config.kv_heads_per_layer = {4, 1, 2, 4};
  c.config.width = 48;
  c.config.hidden = 72;
  c.config.context = 67;
  c.config.head_dim = 0;
  for (std::vector<double>* factors : {&c.config.rope_short_factors, &c.config.rope_long_factors})
    if (!factors->empty()) factors->resize(6, 4);
  if (c.config.sliding_window) c.config.sliding_window = 21;
  if (!c.documents.empty()) c.documents = {0, 1, 60, 67, 134, 150, 201};
  return c;
}

SmallModel::SmallModel(ModelCase model, const How& how)
    : case_(std::move(model)),
      how_(how),
      decoder_(decoder_shape(case_.config, case_.vocabulary), case_.length, how.precision.wide),
      stream_(how.backend, how.threads, how.mode),
      planning_(how.backend, how.threads, Stream::Mode::plan) {
  const int64 n = case_.sequences * case_.length, elements = decoder_.layout().elements();
  weights_ = Buffer(how.precision.wide, {elements});
  compute_weights_ = Buffer(how.precision.compute, {elements});
  gradients_ = Buffer(how.precision.wide, {elements});
  losses_ = Buffer(how.precision.wide, {n});
  draw_weights(decoder_.layout(), weights_);
  draw_weights(decoder_.layout(), compute_weights_);
  for (Buffer* buffer : {&tokens_, &targets_, &positions_}) *buffer = Buffer(DType::i32, {n});
  const RandomSequence random{3, RandomUse::synthetic, 0};
  const auto vocabulary = static_cast<uint64>(case_.vocabulary);
  for (int64 i = 0; i < n; ++i) {
    const int64 global = case_.first_sequence * case_.length + i;
    const auto at = static_cast<uint64>(2 * global);
    tokens_.view().data<int32>()[i] = static_cast<int32>(random.below(vocabulary, at));
    targets_.view().data<int32>()[i] =
        global % 9 == 5 ? -1 : static_cast<int32>(random.below(vocabulary, at + 1));
    positions_.view().data<int32>()[i] = static_cast<int32>(i % case_.length);
  }
  for (size_t d = 1; d < case_.documents.size(); ++d)
    for (int64 i = case_.documents[d - 1]; i < case_.documents[d]; ++i)
      positions_.view().data<int32>()[i] = static_cast<int32>(i - case_.documents[d - 1]);
  if (!case_.documents.empty())
    documents_ = std::make_shared<const DocumentBounds>(DocumentBounds{case_.documents, case_.documents});

  Arena recording, forward_recording;
  decoder_.train(context(planning_, recording), losses_, kGradientScale, how.policy);
  Stream forward_planning(how.backend, how.threads, Stream::Mode::plan);
  decoder_.losses(context(forward_planning, forward_recording), losses_);
  plan_ = recording.plan();
  forward_plan_ = forward_recording.plan();
  memory_ = Buffer(plan_.bytes);
  forward_memory_ = Buffer(forward_plan_.bytes);
  arena_.replay(plan_, memory_);
  forward_arena_.replay(forward_plan_, forward_memory_);
  arena_.poison(how.poison);
  forward_arena_.poison(how.poison);
  stream_.poison_scratch(how.poison);
}

StepContext SmallModel::context(Stream& stream, Arena& arena, Probe* probe) const {
  // Weights of the wide dtype are read as they are: finite differences move them.
  const bool one = how_.precision.compute == how_.precision.wide;
  return {.stream = stream,
          .arena = arena,
          .layout = decoder_.layout(),
          .precision = how_.precision,
          .weights = weights_,
          .compute_weights = one ? weights_ : compute_weights_,
          .gradients = gradients_,
          .batch = {case_.sequences, case_.length, tokens_, targets_, positions_, documents_},
          .dropout = decoder_.shape().dropout,
          .seed = kSeed,
          .first_row = static_cast<uint64>(kFirstRow + case_.first_sequence * case_.length),
          .probe = probe};
}

std::vector<SlotCost> SmallModel::slot_costs() const {
  Stream stream(how_.backend, how_.threads, Stream::Mode::plan);
  Arena arena;
  return decoder_.slot_costs(context(stream, arena));
}

std::vector<double> SmallModel::losses_now() const {
  std::vector<double> losses;
  for (int64 i = 0; i < losses_.view().elements(); ++i) losses.push_back(load(losses_, {i}));
  return losses;
}

std::vector<double> SmallModel::losses() {
  std::memset(losses_.data(), 0xff, static_cast<size_t>(losses_.bytes()));
  forward_arena_.rewind();
  decoder_.losses(context(stream_, forward_arena_), losses_);
  stream_.synchronize();
  return losses_now();
}

Step SmallModel::train(bool first, Probe* probe, const Decoder::BlockVisitor& visit) {
  std::memset(losses_.data(), 0xff, static_cast<size_t>(losses_.bytes()));
  StepContext step_context = context(stream_, arena_, probe);
  step_context.first_gradients = first;
  if (first) {
    for (const Parameter& p : decoder_.layout().parameters())
      std::memset(gradients_.view().at({p.offset}), 0xff,
                  static_cast<size_t>(p.elements() * size_of(how_.precision.wide)));
    fill_zero(stream_, gradients_, summed_gradients(decoder_.layout()));
  }
  arena_.rewind();
  decoder_.train(step_context, losses_, kGradientScale, how_.policy, visit);
  stream_.synchronize();

  Step step{.losses = losses_now()};
  step.total = std::accumulate(step.losses.begin(), step.losses.end(), 0.0);
  const ParameterLayout& layout = decoder_.layout();
  for (ParameterId id = 0; id < static_cast<ParameterId>(layout.parameters().size()); ++id) {
    const Parameter& p = layout[id];
    const View view = layout.view(gradients_, id).reshape({p.elements()});
    Gradient gradient{p.name, {}};
    for (int64 i = 0; i < p.elements(); ++i) gradient.values.push_back(load(view, {i}));
    step.gradients.push_back(std::move(gradient));
  }
  for (const Buffer* buffer : {&losses_, &gradients_})
    step.bits.insert(step.bits.end(), buffer->data(), buffer->data() + buffer->bytes());
  return step;
}

}  // namespace fovea
