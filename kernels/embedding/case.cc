#include "kernels/embedding/case.h"

namespace fovea::check {

namespace {

std::function<double(int64)> below(int64 bound, uint32 stream) {
  return [bound, stream](int64 i) {
    const RandomSequence random{5, RandomUse::synthetic, stream};
    return static_cast<double>(random.below(static_cast<uint64>(bound), static_cast<uint64>(i)));
  };
}

Dropout dropout_of(const EmbeddingProblem& p) {
  return {.probability = p.dropout, .random = {3, RandomUse::dropout, 1}, .first_row = 1000};
}

}  // namespace

Case embedding_case(const EmbeddingProblem& p) {
  return {.operands = {{"tokens", DType::i32, {p.N}, Role::in, below(p.V, 60)},
                       {"positions", DType::i32, shape_if(p.positions, {p.N}), Role::in, below(p.P, 61)},
                       {"table", p.dtype, {p.V, p.C}, Role::in, nullptr, p.layout},
                       {"position_table", p.dtype, shape_if(p.positions, {p.P, p.C}), Role::in, nullptr,
                        p.layout},
                       {"out", p.out_dtype, {p.N, p.C}, Role::out, nullptr, p.layout}},
          .call = [p](Stream& stream, const auto& v) {
            embedding(stream, {.tokens = v[0],
                               .positions = v[1],
                               .table = v[2],
                               .position_table = v[3],
                               .out = v[4],
                               .scale = p.scale,
                               .dropout = dropout_of(p)});
          }};
}

Case embedding_backward_case(const EmbeddingProblem& p) {
  return {.operands = {{"tokens", DType::i32, {p.N}, Role::in, below(p.V, 60)},
                       {"positions", DType::i32, shape_if(p.positions, {p.N}), Role::in, below(p.P, 61)},
                       {"dout", p.out_dtype, {p.N, p.C}, Role::in, nullptr, p.layout},
                       {"dtable", DType::f32, {p.V, p.C}, Role::inout, nullptr, p.layout},
                       {"dposition_table", DType::f32, shape_if(p.positions, {p.P, p.C}), Role::inout,
                        nullptr, p.layout}},
          .call = [p](Stream& stream, const auto& v) {
            embedding_backward(stream, {.tokens = v[0],
                                        .positions = v[1],
                                        .dout = v[2],
                                        .dtable = v[3],
                                        .dposition_table = v[4],
                                        .scale = p.scale,
                                        .dropout = dropout_of(p)});
          }};
}

}  // namespace fovea::check
