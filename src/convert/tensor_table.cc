#include "convert/tensor_table.h"

#include <algorithm>
#include <cstring>
#include <map>

#include "core/error.h"

namespace fovea {
namespace {

/// A module's name here and there; * is the number of a layer.
struct Rule {
  std::string_view ours, theirs;
  Arrangement arrangement = Arrangement::same;
  size_t part = 0;  ///< of q k v
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

const Rule* rule_in(std::span<const Rule> rules, std::string_view module) {
  const auto found =
      std::find_if(rules.begin(), rules.end(), [&](const Rule& rule) { return rule.ours == module; });
  return found == rules.end() ? nullptr : &*found;
}

const Rule* rule_of(std::string_view model_type, std::string_view module) {
  if (model_type == "gpt2") return rule_in(kGpt2, module);
  if (model_type == "gpt_neox") return rule_in(kNeox, module);
  const Rule* rule = model_type == "gemma2" ? rule_in(kGemma2, module) : nullptr;
  return rule ? rule : rule_in(kLlama, module);
}

struct Origin {
  std::string tensor;
  Arrangement arrangement = Arrangement::same;
  size_t part = 0;
};

// Where the parameter comes from: "blocks.3.attention.q.weight" by the rule for blocks.*.attention.q.
Origin origin_of(std::string_view model_type, std::string_view parameter) {
  const size_t dot = parameter.rfind('.');
  std::string_view layer;
  std::string module(parameter.substr(0, dot));
  if (constexpr std::string_view kBlocks = "blocks."; parameter.starts_with(kBlocks)) {
    const size_t end = parameter.find('.', kBlocks.size());
    layer = parameter.substr(kBlocks.size(), end - kBlocks.size());
    module = fmt::format("blocks.*{}", parameter.substr(end, dot - end));
  }
  const Rule* rule = rule_of(model_type, module);
  FOVEA_CHECK(rule, "no {} tensor is known for {}", model_type, parameter);
  const size_t star = rule->theirs.find('*');
  const std::string_view ending = parameter.substr(dot);
  const std::string tensor = star == std::string_view::npos
                                 ? fmt::format("{}{}", rule->theirs, ending)
                                 : fmt::format("{}{}{}{}", rule->theirs.substr(0, star), layer,
                                               rule->theirs.substr(star + 1), ending);
  return {tensor, rule->arrangement, rule->part};
}

std::vector<int64> shape_of(const Parameter& p, Arrangement arrangement) {
  const bool fused = arrangement == Arrangement::columns_of_3 || arrangement == Arrangement::heads_of_3;
  const bool transposed = arrangement == Arrangement::transposed || arrangement == Arrangement::columns_of_3;
  const int64 parts = fused ? 3 : 1;
  if (p.vector) return {parts * p.columns};
  if (transposed) return {p.columns, parts * p.rows};
  return {parts * p.rows, p.columns};
}

// Runs of a row's elements that follow one another on both sides.
template <class Move>
void for_each_run(const Placement& p, int64 element_bytes, const Move& move) {
  const int64 run = p.column_stride == 1 ? p.columns : 1;
  int64 at = 0;
  for (int64 h = 0; h < p.heads; ++h)
    for (int64 r = 0; r < p.rows; ++r)
      for (int64 c = 0; c < p.columns; c += run, at += run)
        move((p.offset + h * p.head_stride + r * p.row_stride + c * p.column_stride) * element_bytes,
             at * element_bytes, static_cast<size_t>(run * element_bytes));
}

}  // namespace

std::vector<FileTensor> hugging_face_tensors(std::string_view model_type, const ParameterLayout& layout,
                                             bool bare) {
  std::vector<FileTensor> tensors;
  std::map<std::string, size_t> known;
  for (ParameterId id = 0; id < static_cast<ParameterId>(layout.parameters().size()); ++id) {
    const Origin origin = origin_of(model_type, layout[id].name);
    const auto [at, is_new] = known.emplace(origin.tensor, tensors.size());
    if (is_new)
      tensors.push_back({origin.tensor, shape_of(layout[id], origin.arrangement), origin.arrangement, {}});
    std::vector<ParameterId>& parts = tensors[at->second].parts;
    parts.resize(std::max(parts.size(), origin.part + 1), kNoParameter);
    parts[origin.part] = id;
  }
  for (FileTensor& tensor : tensors)
    if (bare && !is_head(tensor.name)) tensor.name.erase(0, tensor.name.find('.') + 1);
  return tensors;
}

bool is_head(std::string_view tensor) { return tensor == "lm_head.weight" || tensor == "embed_out.weight"; }

std::vector<FileTensor> own_tensors(const ParameterLayout& layout) {
  std::vector<FileTensor> tensors;
  for (ParameterId id = 0; id < static_cast<ParameterId>(layout.parameters().size()); ++id)
    tensors.push_back({layout[id].name, shape_of(layout[id], Arrangement::same), Arrangement::same, {id}});
  return tensors;
}

bool Placement::contiguous() const {
  return column_stride == 1 && (rows == 1 || row_stride == columns) &&
         (heads == 1 || head_stride == rows * columns);
}

Placement placement_of(const FileTensor& tensor, size_t part, const ParameterLayout& layout, int64 head_dim) {
  const Parameter& p = layout[tensor.parts[part]];
  const auto i = static_cast<int64>(part);
  // A vector is a matrix of one column.
  const int64 rows = p.vector ? p.columns : p.rows, columns = p.vector ? 1 : p.columns;
  switch (tensor.arrangement) {
    case Arrangement::same:
      return {1, rows, columns, 0, 0, columns, 1};
    case Arrangement::transposed:
      if (p.vector) return {1, 1, rows, 0, 0, 0, 1};
      return {1, rows, columns, 0, 0, 1, rows};
    case Arrangement::columns_of_3:
      if (p.vector) return {1, 1, rows, i * rows, 0, 0, 1};
      return {1, rows, columns, i * rows, 0, 1, 3 * rows};
    case Arrangement::heads_of_3:
      return {rows / head_dim, head_dim, columns, i * head_dim * columns, 3 * head_dim * columns, columns, 1};
  }
  return {};
}

void gather(const Placement& from, const std::byte* tensor, int64 element_bytes, std::byte* parameter) {
  for_each_run(from, element_bytes, [&](int64 there, int64 here, size_t bytes) {
    std::memcpy(parameter + here, tensor + there, bytes);
  });
}

void scatter(const Placement& to, const std::byte* parameter, int64 element_bytes, std::byte* tensor) {
  for_each_run(to, element_bytes, [&](int64 there, int64 here, size_t bytes) {
    std::memcpy(tensor + there, parameter + here, bytes);
  });
}

}  // namespace fovea
