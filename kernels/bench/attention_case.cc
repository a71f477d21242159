#include "kernels/bench/attention_case.h"

#include <cmath>
#include <initializer_list>
#include <memory>

#include "core/error.h"
#include "kernels/bench/name_reader.h"

namespace fovea {
namespace {

constexpr const char* kExample = "attention/forward/cpu/f32/b1_hq8_hkv8_q2048_kv2048_d64/causal";

Pass read_pass(NameReader& reader) {
  const std::string_view word = reader.word();
  if (word == "forward") return Pass::forward;
  if (word == "backward") return Pass::backward;
  reader.refuse(fmt::format("\"{}\" is no pass: forward or backward", word));
}

Backend read_backend(NameReader& reader) {
  const std::string_view word = reader.word();
  if (word == "cpu") return Backend::cpu;
  if (word == "naive") return Backend::naive;
  if (word == "cuda") return Backend::cuda;
  if (word == "cudnn") return Backend::cudnn;
  reader.refuse(fmt::format("\"{}\" is no backend that is timed: cpu, naive, cuda or cudnn", word));
}

DType read_dtype(NameReader& reader) {
  const std::string_view word = reader.word();
  for (const DType dtype : {DType::f32, DType::bf16, DType::f16})
    if (word == name_of(dtype)) return dtype;
  reader.refuse(fmt::format("\"{}\" is no dtype that is timed: f32, bf16 or f16", word));
}

/// N documents, as even as they go.
std::shared_ptr<const DocumentBounds> even_documents(int64 count, int64 q_len, int64 kv_len) {
  auto bounds = std::make_shared<DocumentBounds>();
  for (int64 n = 0; n <= count; ++n) {
    bounds->q.push_back(n * q_len / count);
    bounds->k.push_back(n * kv_len / count);
  }
  return bounds;
}

Mask read_mask(NameReader& reader, const AttentionProblem& p) {
  if (reader.take("full")) return {};
  if (reader.take("causal"))
    return reader.empty() ? causal_mask() : sliding_window_mask(reader.number("_window"));
  if (!reader.take("documents"))
    reader.refuse("there is no such mask: full, causal, causal_windowW or documentsN");
  if (p.batch != 1) reader.refuse("packed documents have b1");
  Mask mask = causal_mask();
  mask.documents = even_documents(reader.number(""), p.q_len, p.kv_len);
  return mask;
}

}  // namespace

TimedAttention timed_attention_named(std::string_view name) {
  NameReader reader(name, kExample);
  if (reader.word() != "attention") reader.refuse("it does not begin with attention/");
  TimedAttention c;
  c.name = name;
  c.pass = read_pass(reader);
  c.backend = read_backend(reader);
  AttentionProblem& p = c.problem;
  p.dtype = read_dtype(reader);
  p.batch = reader.number("b");
  p.q_heads = reader.number("_hq");
  p.kv_heads = reader.number("_hkv");
  if (p.q_heads % p.kv_heads != 0) reader.refuse("hq is no multiple of hkv");
  p.q_len = reader.number("_q");
  p.kv_len = reader.number("_kv");
  p.qk_dim = p.v_dim = reader.number("_d");
  p.scale = 1 / std::sqrt(static_cast<float>(p.qk_dim));
  if (!reader.take("/")) reader.refuse("the mask is missing");
  p.mask = read_mask(reader, p);
  reader.end("the mask");
  return c;
}

bool is_decoding(const AttentionProblem& problem) { return problem.q_len <= 8 && problem.kv_len >= 1024; }

std::vector<std::string> default_attention_names() {
  struct Group {
    std::initializer_list<const char*> shapes, masks;
    bool backward;
  };
  const Group groups[] = {
      {{"b1_hq8_hkv8_q64_kv64_d64", "b1_hq8_hkv8_q512_kv512_d64", "b1_hq8_hkv8_q512_kv512_d128",
        "b1_hq8_hkv8_q2048_kv2048_d64", "b1_hq8_hkv8_q2048_kv2048_d128", "b1_hq8_hkv1_q2048_kv2048_d64"},
       {"full", "causal"},
       true},
      {{"b1_hq8_hkv8_q2048_kv2048_d64", "b1_hq8_hkv8_q8192_kv8192_d64"},
       {"causal_window512", "documents8"},
       true},
      {{"b1_hq1_hkv1_q32768_kv32768_d64"}, {"causal", "causal_window512"}, false},
      {{"b1_hq32_hkv4_q1_kv1024_d128", "b1_hq32_hkv4_q1_kv8192_d128", "b1_hq32_hkv4_q1_kv65536_d128",
        "b1_hq32_hkv4_q8_kv1024_d128", "b1_hq32_hkv4_q8_kv8192_d128", "b1_hq32_hkv4_q8_kv65536_d128"},
       {"causal"},
       false}};
  std::vector<std::string> names;
  for (const Group& group : groups)
    for (const char* pass : {"forward", "backward"}) {
      if (!group.backward && std::string_view(pass) == "backward") continue;
      for (const char* dtype : {"f32", "bf16"})
        for (const char* shape : group.shapes)
          for (const char* mask : group.masks)
            names.push_back(fmt::format("attention/{}/cpu/{}/{}/{}", pass, dtype, shape, mask));
    }
  return names;
}

}  // namespace fovea
