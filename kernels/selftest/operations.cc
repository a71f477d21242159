#include "kernels/selftest/operations.h"

#include <cmath>
#include <utility>

#include "kernels/activation/case.h"
#include "kernels/adamw/case.h"
#include "kernels/cross_entropy/case.h"
#include "kernels/embedding/case.h"
#include "kernels/layer_norm/case.h"
#include "kernels/matmul/case.h"
#include "kernels/reduce/case.h"
#include "kernels/residual/case.h"
#include "kernels/rms_norm/case.h"
#include "kernels/rope/case.h"

namespace fovea {
namespace {

using namespace check;

/// Ranges of all sizes within n, so many apart.
Ranges ranges_within(int64 n, int64 apart) {
  std::vector<Range> ranges;
  for (int64 begin = 1; begin + 40 < n; begin += apart) ranges.push_back({begin, begin + begin % 37});
  return std::make_shared<const std::vector<Range>>(ranges);
}

class Checks {
 public:
  explicit Checks(Backend backend) : backend_(backend) {}
  void add_products(DType dtype);
  void add_norms(DType dtype);
  void add_rope(DType dtype);
  void add_elementwise(DType dtype);
  void add_embedding(DType dtype);
  void add_cross_entropy(DType dtype);
  void add_adamw();
  void add_reductions();
  std::vector<OperationCheck> take() { return std::move(list_); }

 private:
  void add(std::string_view operation, std::string_view pass, DType dtype, std::string name, Case call,
           Tolerance tolerance) {
    list_.push_back({operation, pass, dtype, std::move(name), std::move(call), tolerance});
  }
  template <class... N>
  static std::string sizes(N... n) {
    std::string text;
    ((text += fmt::format("{}{}", text.empty() ? "" : "x", n)), ...);
    return text;
  }
  void add_product(std::string_view pass, MatMulProblem p, DType dtype) {
    p.dtype = dtype;
    for (const DType c_dtype : {DType::f32, DType::bf16}) {
      if (c_dtype != DType::f32 && c_dtype != dtype) continue;
      p.c_dtype = c_dtype;
      add("matmul", pass, dtype, fmt::format("{} to {}", sizes(p.M, p.N, p.K), name_of(c_dtype)),
          matmul_case(p), matmul_tolerance(p, backend_, {.roundings = 1, .sums = 64}));
    }
  }
  Backend backend_;
  std::vector<OperationCheck> list_;
};

void Checks::add_products(DType dtype) {
  // y = x w^T + bias; the long sum is cut.
  for (const MatMulProblem& p :
       {MatMulProblem{.M = 256, .N = 384, .K = 128, .transpose_b = true, .bias = true},
        MatMulProblem{.M = 600, .N = 70, .K = 70, .transpose_b = true, .bias = true, .gap = 3},
        MatMulProblem{.M = 3, .N = 700, .K = 315, .transpose_b = true, .offset = 1},
        MatMulProblem{.M = 5, .N = 130, .K = 8201, .transpose_b = true, .bias = true}})
    add_product("forward", p, dtype);
  // dx = dy w;  dw += dy^T x
  for (const MatMulProblem& p :
       {MatMulProblem{.M = 256, .N = 128, .K = 384},
        MatMulProblem{.M = 300, .N = 530, .K = 70, .accumulate = true, .gap = 1},
        MatMulProblem{.M = 384, .N = 128, .K = 512, .transpose_a = true, .accumulate = true},
        MatMulProblem{.M = 70, .N = 97, .K = 1100, .transpose_a = true, .accumulate = true}})
    add_product("backward", p, dtype);
  for (const auto& [N, C] : {std::pair<int64, int64>{1, 3}, {300, 768}, {5000, 37}})
    add("sum_rows", "backward", dtype, sizes(N, C), sum_rows_case(N, C, dtype, {1, 1}),
        {.roundings = 1, .sums = 32});
}

void Checks::add_norms(DType dtype) {
  // A usual row, rows of several warps, rows beyond a block's registers, and many rows.
  const std::vector<RmsNormProblem> problems = {{.N = 128, .C = 768},
                                                {.N = 19, .C = 1000, .weight_offset = 1, .accumulate = true},
                                                {.N = 11, .C = 5003, .layout = {1, 1}},
                                                {.N = 2, .C = 16500},
                                                {.N = 1200, .C = 5, .layout = {3, 2}}};
  for (RmsNormProblem p : problems) {
    p.x = p.y = dtype;
    add("rms_norm", "forward", dtype, sizes(p.N, p.C), rms_norm_case(p), {.roundings = 1, .sums = 32});
  }
  for (RmsNormProblem p : problems) {
    p.x = p.y = dtype;
    add("rms_norm", "backward", dtype, sizes(p.N, p.C), rms_norm_backward_case(p),
        {.roundings = 1, .sums = 64});
  }
  const auto layer = [dtype](const RmsNormProblem& p) {
    return LayerNormProblem{p.N, p.C, dtype, dtype, p.layout, p.N != 2, p.accumulate};
  };
  for (const RmsNormProblem& p : problems)
    add("layer_norm", "forward", dtype, sizes(p.N, p.C), layer_norm_case(layer(p)),
        {.roundings = 1, .sums = 32});
  for (const RmsNormProblem& p : problems)
    add("layer_norm", "backward", dtype, sizes(p.N, p.C), layer_norm_backward_case(layer(p)),
        {.roundings = 1, .sums = 64});
}

void Checks::add_rope(DType dtype) {
  for (const bool inverse : {false, true})
    for (RopeProblem p :
         {RopeProblem{.N = 128, .H = 4, .planes = 32}, RopeProblem{.N = 13, .H = 3, .planes = 30, .rest = 4},
          RopeProblem{.N = 600, .H = 3, .planes = 11, .rest = 7, .layout = {1, 1}, .interleaved = true},
          RopeProblem{.N = 2, .H = 45, .planes = 32, .rest = 5, .interleaved = true}}) {
      p.dtype = dtype;
      p.inverse = inverse;
      add("rope", inverse ? "backward" : "forward", dtype, sizes(p.N, p.H, p.D()), rope_case(p),
          {.roundings = 1, .sums = 2});
    }
  if (dtype != DType::f32) return;
  for (const auto& [positions, planes] : {std::pair<int64, int64>{300, 32}, {4097, 8}})
    add("rope_table", "", dtype, sizes(positions, planes), rope_table_case(positions, planes, 1.25),
        {.roundings = 0, .sums = 0, .floor = 8e-8});
}

void Checks::add_elementwise(DType dtype) {
  const Tolerance tolerance{.roundings = 1, .sums = 2};
  std::vector<ActivationProblem> activations;
  for (const auto kind :
       {ActivationKind::silu, ActivationKind::relu, ActivationKind::gelu, ActivationKind::gelu_tanh})
    for (const bool gated : {true, false}) {
      activations.push_back({.N = 64, .C = 512, .kind = kind, .dtype = dtype, .gated = gated});
      activations.push_back(
          {.N = 5, .C = 1101, .kind = kind, .dtype = dtype, .gated = gated, .layout = {3, 1}});
    }
  const auto name = [](const ActivationProblem& p) {
    return fmt::format("{}{}, kind {}", sizes(p.N, p.C), p.gated ? " gated" : "", static_cast<int>(p.kind));
  };
  for (const ActivationProblem& p : activations)
    add("activation", "forward", dtype, name(p), activation_case(p), tolerance);
  for (const ActivationProblem& p : activations)
    add("activation", "backward", dtype, name(p), activation_backward_case(p), tolerance);

  std::vector<ResidualProblem> residuals = {
      {.N = 128, .C = 768, .dropout = with_probability(0.1f)},
      {.N = 300, .C = 129, .dropout = with_probability(0)},
      {.N = 5, .C = 37, .layout = {1, 3}, .dropout = with_probability(0.5f, 7)},
      {.N = 12, .C = 2101, .dropout = with_probability(0.3f, uint64{1} << 40)}};
  for (ResidualProblem& p : residuals) {
    p.x = p.y = dtype;
    add("residual", "forward", dtype, sizes(p.N, p.C), residual_case(p), {.roundings = 1, .sums = 1});
  }
  for (const ResidualProblem& p : residuals)
    add("residual", "backward", dtype, sizes(p.N, p.C), residual_backward_case(p),
        {.roundings = 1, .sums = 1});
}

void Checks::add_embedding(DType dtype) {
  // Usual rows, wide ones, one token alone many times, and a vocabulary of more than one pass of a sort.
  std::vector<EmbeddingProblem> problems = {
      {.N = 256, .C = 256, .V = 1000, .P = 128, .positions = true, .dropout = 0.1f},
      {.N = 9, .C = 2111, .positions = true, .scale = 11.5f, .layout = {1, 2}},
      {.N = 3000, .C = 130, .V = 1},
      {.N = 2000, .C = 6, .V = 70'000, .P = 300, .positions = true, .dropout = 0.3f}};
  const auto name = [](const EmbeddingProblem& p) { return fmt::format("{} of {}x{}", p.N, p.V, p.C); };
  for (EmbeddingProblem& p : problems) {
    p.dtype = p.out_dtype = dtype;
    add("embedding", "forward", dtype, name(p), embedding_case(p), {.roundings = 1, .sums = 4});
  }
  for (const EmbeddingProblem& p : problems)
    add("embedding", "backward", dtype, name(p), embedding_backward_case(p), {.roundings = 1, .sums = 64});
}

void Checks::add_cross_entropy(DType dtype) {
  // Losses are f32 whatever is multiplied.
  const Tolerance losses{.roundings = 1, .sums = 128, .floor = 5e-7};
  const Tolerance gradients = cross_entropy_tolerance(dtype, losses);
  // Several chunks of rows (on the cpu), several panels of the vocabulary.
  std::vector<CrossEntropyProblem> problems = {{.N = 128, .C = 64, .V = 1024},
                                               {.N = 1100, .C = 33, .V = 257, .bias = true, .softcap = 4},
                                               {.N = 67, .C = 37, .V = 89, .bias = true, .layout = {1, 2}},
                                               {.N = 30, .C = 20, .V = 33'000, .accumulate = false}};
  const auto name = [](const CrossEntropyProblem& p) { return sizes(p.N, p.C, p.V); };
  for (CrossEntropyProblem p : problems) {
    p.dtype = dtype;
    p.gradients = false;
    add("linear_cross_entropy", "forward", dtype, name(p), linear_cross_entropy_case(p), losses);
  }
  for (CrossEntropyProblem p : problems) {
    p.dtype = dtype;
    add("linear_cross_entropy", "backward", dtype, name(p), linear_cross_entropy_case(p), gradients);
  }
  for (CrossEntropyProblem p : problems) {
    p.dtype = dtype;
    if (p.V < 2000)
      add("linear_logits", "forward", dtype, name(p), linear_logits_case(p), {.roundings = 1, .sums = 32});
  }
}

void Checks::add_adamw() {
  add("adamw", "update", DType::f32, "7 parameters", adamw_case(7, usual_adamw(), false), kAdamWTolerance);
  add("adamw", "update", DType::f32, "50001 parameters", adamw_case(50'001, usual_adamw(), true),
      kAdamWTolerance);
  AdamW in_part = usual_adamw();
  in_part.decayed = ranges_within(30'001, 61);
  add("adamw", "update", DType::f32, "30001 parameters, some decay", adamw_case(30'001, in_part, true),
      kAdamWTolerance);
  for (const bool go : {true, false})
    add("adamw", "update", DType::f32, go ? "20001 parameters, clipped" : "20001 parameters, held back",
        gated_adamw_case(20'001, usual_adamw(), go ? 0.3 : NAN, go), kAdamWTolerance);
  for (const UpdateGateProblem& p :
       {UpdateGateProblem{4, 1, 0}, UpdateGateProblem{4, 1, 1}, UpdateGateProblem{0, 1, 1},
        UpdateGateProblem{HUGE_VAL, 1, 1}, UpdateGateProblem{NAN, 1, 0}, UpdateGateProblem{4, NAN, 5},
        UpdateGateProblem{4, 1, 5, false}})
    add("gate_update", "update", DType::f64,
        fmt::format("squares {}, loss {}, clip {}", p.squares, p.loss, p.clip), update_gate_case(p),
        {.roundings = 1, .sums = 0});
}

void Checks::add_reductions() {
  constexpr int64 kLong = 300'001;  // several blocks and a ragged end
  const auto name = [](int64 n) { return fmt::format("{} elements", n); };
  for (const DType dtype : {DType::f32, DType::bf16})
    for (const int64 n : {int64{1}, int64{3000}, kLong})
      add("sum, sum_of_squares", "", dtype, name(n), sums_case(dtype, n, nullptr, {0, 1}),
          {.roundings = 0, .sums = 0, .floor = 4e-13 * static_cast<double>(n)});
  for (const int64 n : {int64{17}, int64{100'003}}) {
    add("add_into", "", DType::f32, name(n), add_into_case(DType::f32, n), {.roundings = 1, .sums = 0});
  }
  for (const int64 n : {int64{17}, int64{100'003}})
    add("move_towards", "", DType::f32, name(n), move_towards_case(DType::f32, n, 0.1),
        {.roundings = 1, .sums = 2});
  for (const auto& [to, from] : {std::pair{DType::bf16, DType::f32}, {DType::f32, DType::bf16}})
    for (const int64 n : {int64{31}, int64{40'007}})
      add("convert", "", to, name(n), convert_case(to, from, n), {.roundings = 0.5, .sums = 0});
  for (const DType dtype : {DType::f32, DType::bf16}) {
    for (const int64 n : {int64{7}, kLong})
      add("fill_zero", "", dtype, name(n), fill_zero_case(dtype, n), {.roundings = 0, .sums = 0});
    add("fill_zero", "", dtype, "ranges of " + name(kLong),
        fill_zero_case(dtype, kLong, ranges_within(kLong, 97)), {.roundings = 0, .sums = 0});
  }
}

}  // namespace

std::vector<OperationCheck> operation_checks(Backend backend) {
  Checks checks(backend);
  constexpr DType kDTypes[] = {DType::f32, DType::bf16};
  for (const DType dtype : kDTypes) checks.add_products(dtype);
  for (const DType dtype : kDTypes) checks.add_norms(dtype);
  for (const DType dtype : kDTypes) checks.add_rope(dtype);
  for (const DType dtype : kDTypes) checks.add_elementwise(dtype);
  for (const DType dtype : kDTypes) checks.add_embedding(dtype);
  for (const DType dtype : kDTypes) checks.add_cross_entropy(dtype);
  checks.add_adamw();
  checks.add_reductions();
  return checks.take();
}

}  // namespace fovea
