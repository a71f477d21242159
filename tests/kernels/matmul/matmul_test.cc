#include "kernels/matmul/case.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "harness.h"

namespace fovea {
namespace {

using harness::Case;
using harness::Tensor;

using check::matmul_case;
using Problem = check::MatMulProblem;

harness::Tolerance tolerance_of(const Problem& p, harness::Tolerance tolerance) {
  return check::matmul_tolerance(p, harness::backend_under_test(), tolerance);
}

RC_GTEST_PROP(MatMul, MatchesTheOracle, ()) {
  const auto size = [] { return *rc::gen::element<int64>(0, 1, 2, 3, 7, 16, 17, 31, 64, 65, 129); };
  Problem p{.M = size(), .N = size(), .K = size()};
  if (*rc::gen::arbitrary<bool>()) p.dtype = DType::bf16;
  p.c_dtype = *rc::gen::element(DType::f32, p.dtype);
  p.bias_dtype = *rc::gen::element(DType::f32, p.dtype);
  p.transpose_a = *rc::gen::arbitrary<bool>();
  p.transpose_b = *rc::gen::arbitrary<bool>();
  p.accumulate = *rc::gen::arbitrary<bool>();
  p.bias = *rc::gen::arbitrary<bool>();
  p.gap = *rc::gen::inRange<int64>(0, 4);
  p.offset = *rc::gen::inRange<int64>(0, 4);
  RC_ASSERT(harness::mismatch(matmul_case(p, *rc::gen::arbitrary<uint64>()),
                              tolerance_of(p, {.roundings = 1, .sums = 32}), *rc::gen::inRange(1, 4)) == "");
}

/// Shapes that are cut: rows, columns, the sum, each with a ragged end.
std::vector<Problem> large_problems() {
  std::vector<Problem> problems;
  const std::pair<DType, DType> dtypes[] = {
      {DType::f32, DType::f32}, {DType::bf16, DType::f32}, {DType::bf16, DType::bf16}};
  for (const auto& [dtype, c_dtype] : dtypes)
    for (Problem p : {Problem{.M = 600, .N = 70, .K = 70, .transpose_b = true, .bias = true, .gap = 3},
                      Problem{.M = 70, .N = 97, .K = 1100, .transpose_a = true, .accumulate = true},
                      Problem{.M = 3, .N = 700, .K = 315, .transpose_b = true, .bias = true, .offset = 1},
                      Problem{.M = 300, .N = 530, .K = 70, .accumulate = true, .bias = true},
                      Problem{.M = 5, .N = 530, .K = 8201, .accumulate = true, .bias = true}}) {
      p.dtype = dtype;
      p.c_dtype = c_dtype;
      problems.push_back(p);
    }
  return problems;
}

TEST(MatMul, PanelsAndSplitSumsMatchTheOracle) {
  for (const Problem& p : large_problems())
    harness::expect_matches_reference(matmul_case(p), tolerance_of(p, {1, 64}), 2);
}

TEST(MatMul, HasTheSameBitsAtAnyThreads) {
  for (const Problem& p : large_problems()) harness::expect_same_bits_at_any_threads(matmul_case(p));
}

TEST(MatMul, HasTheSameBitsWhereverTheOperandsLie) {
  if (harness::backend_under_test() == Backend::cuda) return;  // alignments are part of its promise
  for (Problem p : large_problems()) {
    p.gap = p.offset = 0;
    const auto aligned = harness::run(matmul_case(p), harness::backend_under_test());
    p.offset = 3;
    const auto shifted = harness::run(matmul_case(p), harness::backend_under_test());
    EXPECT_TRUE(aligned[3].bits() == shifted[3].bits()) << p.M << " " << p.N << " " << p.K;
  }
}

/// What the library compiled for one product must not serve another that differs in one thing alone.
TEST(MatMul, ProductsThatAreAlmostAlikeAreToldApart) {
  for (DType dtype : {DType::f32, DType::bf16}) {
    const Problem base{.M = 48, .N = 48, .K = 48, .dtype = dtype};
    std::vector<Problem> problems(9, base);
    problems[1].accumulate = true;
    problems[2].gap = 16;
    problems[3].transpose_a = true;
    problems[4].transpose_b = true;
    problems[5].M = 32;
    problems[6].N = 32;
    problems[7].K = 32;
    for (const Problem& p : problems) harness::expect_matches_reference(matmul_case(p));
    Case wide = matmul_case(base);  // c alone has gaps
    wide.operands[3].layout.gap = 48;
    harness::expect_matches_reference(wide);
  }
}

TEST(MatMul, ANaNReachesItsRowAlone) {
  for (DType dtype : {DType::f32, DType::bf16}) {
    Case c = matmul_case({.M = 40, .N = 33, .K = 20, .dtype = dtype, .transpose_b = true});
    c.operands[0].value = [](int64 i) { return i == 7 * 20 + 3 ? std::nan("") : 1.0; };
    const Tensor out = std::move(harness::run(c, harness::backend_under_test())[3]);
    for (int64 i = 0; i < out.elements(); ++i) EXPECT_EQ(std::isnan(out.get(i)), i / 33 == 7) << i;
  }
}

TEST(MatMul, CountsItsFlopsAndPlansItsScratch) {
  Stream planning(harness::backend_under_test(), 2, Stream::Mode::plan);
  const View a(nullptr, DType::bf16, {4096, 512}), b(nullptr, DType::bf16, {128, 512});
  matmul(planning,
         {.a = a, .b = b, .bias = {}, .c = View(nullptr, DType::f32, {4096, 128}), .transpose_b = true});
  EXPECT_EQ(planning.flops(), 2.0 * 4096 * 512 * 128);
  const bool on_device = planning.device() == Device::cuda;
  EXPECT_LT(planning.peak_scratch_bytes(), on_device ? 33 << 20 : 8 << 20);
}

RC_GTEST_PROP(SumRows, MatchesTheOracle, ()) {
  const auto N = *rc::gen::inRange<int64>(0, 300), C = *rc::gen::inRange<int64>(1, 70);
  const DType dtype = *rc::gen::element(DType::f32, DType::bf16);
  const Case c = check::sum_rows_case(N, C, dtype, {*rc::gen::inRange<int64>(0, 3), 1});
  RC_ASSERT(harness::mismatch(c, {.roundings = 1, .sums = 16}, 2) == "");
}

/// Rows whose pieces are whole, of one strip of columns and of several, in one part and in several.
TEST(SumRows, OfAnyShapeMatchesTheOracle) {
  for (DType dtype : {DType::f32, DType::bf16})
    for (const auto& [N, C] :
         std::vector<std::pair<int64, int64>>{{1, 8}, {63, 264}, {129, 16}, {1000, 520}}) {
      EXPECT_EQ(harness::mismatch(check::sum_rows_case(N, C, dtype), {.roundings = 1, .sums = 16}), "")
          << N << " " << C;
    }
}

/// Each launch leaves what its blocks count with as it found it.
TEST(SumRows, OneAfterAnotherMatchesTheOracle) {
  Case c = check::sum_rows_case(1000, 264, DType::f32);
  c.call = [](Stream& stream, const auto& v) {
    for (const int64 rows : {1000, 700, 10, 1000}) sum_rows(stream, {v[0].slice({0, rows}), v[1]});
  };
  EXPECT_EQ(harness::mismatch(c, {.roundings = 4, .sums = 16}), "");
}

TEST(SumRows, HasTheSameBitsAtAnyThreads) {
  for (DType dtype : {DType::f32, DType::bf16})
    harness::expect_same_bits_at_any_threads(check::sum_rows_case(5000, 37, dtype));
}

/// loss = <projection, op(a) op(b) + bias>: its gradients are products too, as the model's backward takes
/// them.
TEST(Reference, GradientsOfAProductMatchFiniteDifferences) {
  const int64 M = 5, N = 4, K = 3;
  const Case forward = matmul_case({.M = M, .N = N, .K = K, .transpose_b = true, .bias = true});
  std::vector<Tensor> v = harness::make_operands(forward, Backend::reference);
  Stream stream(Backend::reference);
  Tensor dc(DType::f64, {M, N}), da(DType::f64, {M, K}), db(DType::f64, {N, K}), dbias(DType::f64, {N});
  for (int64 i = 0; i < M * N; ++i) dc.set(i, harness::projection(9, i));
  for (int64 i = 0; i < N; ++i) dbias.set(i, 0);
  // forward: c = a b^T + bias
  matmul(stream, {.a = dc, .b = v[1], .bias = {}, .c = da});
  matmul(stream, {.a = dc, .b = v[0], .bias = {}, .c = db, .transpose_a = true});
  sum_rows(stream, {.dy = dc, .dbias = dbias});
  const auto loss = [&] {
    forward.call(stream, harness::views_of(v));
    return harness::project(v[3], 9);
  };
  harness::expect_gradient(v[0], da, loss, "a");
  harness::expect_gradient(v[1], db, loss, "b");
  harness::expect_gradient(v[2], dbias, loss, "bias");
}

TEST(MatMulDeathTest, OperandsThatDoNotFitAbort) {
  const Tensor a(DType::f32, {2, 3}), b(DType::f32, {4, 2}), c(DType::f32, {2, 2});
  const Tensor wide(DType::bf16, {3, 2});
  Stream stream(Backend::cpu);
  EXPECT_DEATH(matmul(stream, {.a = a, .b = b, .bias = {}, .c = c}),
               "matmul: b is f32 \\(4, 2\\), wanted f32 \\(3, 2\\)");
  EXPECT_DEATH(matmul(stream, {.a = a, .b = wide, .bias = {}, .c = c}), "matmul: b is bf16");
}

}  // namespace
}  // namespace fovea
