#include "convert/hugging_face.h"

#include <algorithm>
#include <set>
#include <span>
#include <string>
#include <string_view>

#include "convert/hugging_face_config.h"
#include "convert/safetensors.h"
#include "core/error.h"
#include "model/decoder.h"
#include "model/families.h"

namespace fovea {
namespace {

/// How a parameter of ours (out, in) lies in the file.
enum class Arrangement {
  same,
  transposed,    ///< GPT-2's Conv1D: (in, out)
  columns_of_3,  ///< GPT-2's c_attn: (in, 3 out), q k v side by side
  heads_of_3     ///< GPT-NeoX: (3 out, in), q k v of head 0, then of head 1, ...
};

/// A module's name here and there; * is the number of a layer.
struct Rule {
  std::string_view ours, theirs;
  Arrangement arrangement = Arrangement::same;
  int64 third = 0;  ///< of q k v
};

constexpr Rule kLlama[] = {{"embed", "model.embed_tokens"},
                           {"blocks.*.attention_norm", "model.layers.*.input_layernorm"},
                           {"blocks.*.attention.q", "model.layers.*.self_attn.q_proj"},
                           {"blocks.*.attention.q_norm", "model.layers.*.self_attn.q_norm"},
                           {"blocks.*.attention.k", "model.layers.*.self_attn.k_proj"},
                           {"blocks.*.attention.k_norm", "model.layers.*.self_attn.k_norm"},
                           {"blocks.*.attention.v", "model.layers.*.self_attn.v_proj"},
                           {"blocks.*.attention.out", "model.layers.*.self_attn.o_proj"},
                           {"blocks.*.mlp_norm", "model.layers.*.post_attention_layernorm"},
                           {"blocks.*.mlp.gate", "model.layers.*.mlp.gate_proj"},
                           {"blocks.*.mlp.up", "model.layers.*.mlp.up_proj"},
                           {"blocks.*.mlp.down", "model.layers.*.mlp.down_proj"},
                           {"final_norm", "model.norm"},
                           {"head", "lm_head"}};
// Where Gemma 2 says otherwise than kLlama.
constexpr Rule kGemma2[] = {{"blocks.*.attention_post_norm", "model.layers.*.post_attention_layernorm"},
                            {"blocks.*.mlp_norm", "model.layers.*.pre_feedforward_layernorm"},
                            {"blocks.*.mlp_post_norm", "model.layers.*.post_feedforward_layernorm"}};
constexpr Rule kGpt2[] = {
    {"embed", "transformer.wte"},
    {"position", "transformer.wpe"},
    {"blocks.*.attention_norm", "transformer.h.*.ln_1"},
    {"blocks.*.attention.q", "transformer.h.*.attn.c_attn", Arrangement::columns_of_3, 0},
    {"blocks.*.attention.k", "transformer.h.*.attn.c_attn", Arrangement::columns_of_3, 1},
    {"blocks.*.attention.v", "transformer.h.*.attn.c_attn", Arrangement::columns_of_3, 2},
    {"blocks.*.attention.out", "transformer.h.*.attn.c_proj", Arrangement::transposed},
    {"blocks.*.mlp_norm", "transformer.h.*.ln_2"},
    {"blocks.*.mlp.up", "transformer.h.*.mlp.c_fc", Arrangement::transposed},
    {"blocks.*.mlp.down", "transformer.h.*.mlp.c_proj", Arrangement::transposed},
    {"final_norm", "transformer.ln_f"},
    {"head", "lm_head"}};
constexpr Rule kNeox[] = {
    {"embed", "gpt_neox.embed_in"},
    {"blocks.*.attention_norm", "gpt_neox.layers.*.input_layernorm"},
    {"blocks.*.attention.q", "gpt_neox.layers.*.attention.query_key_value", Arrangement::heads_of_3, 0},
    {"blocks.*.attention.k", "gpt_neox.layers.*.attention.query_key_value", Arrangement::heads_of_3, 1},
    {"blocks.*.attention.v", "gpt_neox.layers.*.attention.query_key_value", Arrangement::heads_of_3, 2},
    {"blocks.*.attention.out", "gpt_neox.layers.*.attention.dense"},
    {"blocks.*.mlp_norm", "gpt_neox.layers.*.post_attention_layernorm"},
    {"blocks.*.mlp.up", "gpt_neox.layers.*.mlp.dense_h_to_4h"},
    {"blocks.*.mlp.down", "gpt_neox.layers.*.mlp.dense_4h_to_h"},
    {"final_norm", "gpt_neox.final_layer_norm"},
    {"head", "embed_out"}};

std::span<const Rule> rules_of(std::string_view model_type) {
  if (model_type == "gpt2") return kGpt2;
  if (model_type == "gpt_neox") return kNeox;
  return kLlama;
}

/// Where the parameter comes from: "blocks.3.attention.q.weight" by the rule for blocks.*.attention.q.
struct Origin {
  std::string tensor;
  Arrangement arrangement = Arrangement::same;
  int64 third = 0;
};

Origin origin_of(std::string_view model_type, std::string_view parameter) {
  const size_t dot = parameter.rfind('.');
  std::string_view layer;
  std::string module(parameter.substr(0, dot));
  if (constexpr std::string_view kBlocks = "blocks."; parameter.starts_with(kBlocks)) {
    const size_t end = parameter.find('.', kBlocks.size());
    layer = parameter.substr(kBlocks.size(), end - kBlocks.size());
    module = fmt::format("blocks.*{}", parameter.substr(end, dot - end));
  }
  const auto in = [&](std::span<const Rule> rules) {
    const auto found =
        std::find_if(rules.begin(), rules.end(), [&](const Rule& rule) { return rule.ours == module; });
    return found == rules.end() ? nullptr : &*found;
  };
  const Rule* rule = model_type == "gemma2" ? in(kGemma2) : nullptr;
  if (!rule) rule = in(rules_of(model_type));
  FOVEA_CHECK(rule, "no {} tensor is known for {}", model_type, parameter);
  const size_t star = rule->theirs.find('*');
  const std::string_view ending = parameter.substr(dot);
  const std::string tensor = star == std::string_view::npos
                                 ? fmt::format("{}{}", rule->theirs, ending)
                                 : fmt::format("{}{}{}{}", rule->theirs.substr(0, star), layer,
                                               rule->theirs.substr(star + 1), ending);
  return {tensor, rule->arrangement, rule->third};
}

std::string text_of(const std::vector<int64>& shape) {
  std::string text;
  for (const int64 size : shape) text += fmt::format("{}{}", text.empty() ? "" : ", ", size);
  return text;
}

/// The tensors of one file, and which of them were asked for.
class Tensors {
 public:
  explicit Tensors(const std::filesystem::path& path) : file_(path) {}

  std::vector<float> read(const std::string& name, const std::vector<int64>& shape) {
    const std::string stored = as_stored(name);
    const std::vector<int64>& found = file_.tensor(stored).shape;
    if (found != shape)
      fail_input("{}: tensor {} has the shape ({}), config.json asks for ({})", file_.path().string(), stored,
                 text_of(found), text_of(shape));
    used_.insert(stored);
    return file_.read_f32(stored);
  }
  int64 elements() const {
    int64 n = 0;
    for (const auto& [name, tensor] : file_.tensors()) n += tensor.elements();
    return n;
  }
  /// A tensor that nobody reads is a feature that would be missing. Buffers of older files, and the head of
  /// tied models, are none.
  void expect_all_used(bool tied) const {
    for (const auto& entry : file_.tensors()) {
      const std::string& name = entry.first;
      const bool head = tied && (name == "lm_head.weight" || name == "embed_out.weight");
      const bool buffer = std::any_of(std::begin(kBuffers), std::end(kBuffers),
                                      [&](std::string_view end) { return name.ends_with(end); });
      if (!used_.contains(name) && !head && !buffer)
        fail_input("{}: tensor {} has no place in the model that config.json describes",
                   file_.path().string(), name);
    }
  }

 private:
  static constexpr std::string_view kBuffers[] = {".attn.bias", ".attn.masked_bias", ".attention.bias",
                                                  ".attention.masked_bias", ".rotary_emb.inv_freq"};

  // The bare model under the language-model head is saved without the first part of its names.
  std::string as_stored(const std::string& name) const {
    const std::string bare = name.substr(name.find('.') + 1);
    return !file_.has(name) && file_.has(bare) ? bare : name;
  }

  SafeTensors file_;
  std::set<std::string, std::less<>> used_;
};

void transpose(const std::vector<float>& from, float* to, int64 rows, int64 columns, Range of_rows) {
  // from (columns, rows); to the rows of_rows of its transpose.
  for (int64 r = of_rows.begin; r < of_rows.end; ++r)
    for (int64 c = 0; c < columns; ++c) *to++ = from[static_cast<size_t>(c * rows + r)];
}

void read_parameter(Tensors& tensors, const Origin& origin, const Parameter& p, int64 head_dim, float* to) {
  const int64 rows = p.vector ? p.columns : p.rows, columns = p.vector ? 1 : p.columns;
  const auto read = [&](int64 out, bool transposed) {
    if (p.vector) return tensors.read(origin.tensor, {out});
    return transposed ? tensors.read(origin.tensor, {columns, out})
                      : tensors.read(origin.tensor, {out, columns});
  };
  const int64 first = origin.third * rows;
  switch (origin.arrangement) {
    case Arrangement::same: {
      const std::vector<float> values = read(rows, false);
      std::copy(values.begin(), values.end(), to);
      return;
    }
    case Arrangement::transposed:
      return transpose(read(rows, true), to, rows, columns, {0, rows});
    case Arrangement::columns_of_3:
      return transpose(read(3 * rows, true), to, 3 * rows, columns, {first, first + rows});
    case Arrangement::heads_of_3: {
      const std::vector<float> values = read(3 * rows, false);
      const int64 head = head_dim * columns;
      for (int64 h = 0; h < rows / head_dim; ++h)
        std::copy_n(values.begin() + (3 * h + origin.third) * head, head, to + h * head);
      return;
    }
  }
}

// The layout alone: without tables for as many positions as an unchecked file claims.
ParameterLayout layout_of(DecoderShape shape) {
  if (shape.position != PositionKind::learned) shape.context = 1;
  return Decoder(shape).layout();
}

}  // namespace

bool is_hugging_face_model(const std::filesystem::path& folder) {
  std::error_code error;
  return std::filesystem::is_regular_file(folder / "config.json", error);
}

ImportedModel import_hugging_face(const std::filesystem::path& folder) {
  const HuggingFaceConfig config = read_hugging_face_config(folder / "config.json");
  const std::filesystem::path weights = folder / "model.safetensors";
  Tensors tensors(weights);
  const ParameterLayout layout = layout_of(decoder_shape(config.model, config.vocabulary));
  // Before memory is taken for what an unchecked file claims; a tensor or two that are missing get their
  // names below.
  if (layout.count() / 4 > tensors.elements())
    fail_input("{}: its {} elements are far too few for the {} parameters that config.json describes",
               weights.string(), tensors.elements(), layout.count());
  ImportedModel model{config.model, config.vocabulary, {}};
  model.parameters.assign(static_cast<size_t>(layout.elements()), 0.0f);
  for (const Parameter& parameter : layout.parameters()) {
    float* to = model.parameters.data() + parameter.offset;
    read_parameter(tensors, origin_of(config.model_type, parameter.name), parameter, config.model.head_dim,
                   to);
    if (parameter.name.find(".attention.q.") != std::string::npos)
      for (int64 i = 0; i < parameter.elements(); ++i) to[i] *= config.query_scale;
  }
  tensors.expect_all_used(layout.find("head.weight") == kNoParameter);
  return model;
}

}  // namespace fovea
