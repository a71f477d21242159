#include "kernels/embedding/case.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "harness.h"

namespace fovea {
namespace {

using harness::Case;
using harness::Tensor;

using check::embedding_backward_case;
using check::embedding_case;
using Problem = check::EmbeddingProblem;

Problem any_problem() {
  Problem p{.N = *rc::gen::inRange<int64>(0, 60), .C = *rc::gen::inRange<int64>(1, 150)};
  p.dtype = *rc::gen::element(DType::f32, DType::bf16);
  p.out_dtype = *rc::gen::element(DType::f32, DType::bf16);
  p.positions = *rc::gen::arbitrary<bool>();
  p.scale = *rc::gen::element(1.0f, 11.5f);
  p.dropout = *rc::gen::element(0.0f, 0.3f);
  p.layout = {*rc::gen::inRange<int64>(0, 3), *rc::gen::inRange<int64>(0, 3)};
  return p;
}

RC_GTEST_PROP(Embedding, MatchesTheOracle, ()) {
  RC_ASSERT(harness::mismatch(embedding_case(any_problem()), {.roundings = 1, .sums = 4}, 2) == "");
}

RC_GTEST_PROP(EmbeddingBackward, MatchesTheOracle, ()) {
  RC_ASSERT(harness::mismatch(embedding_backward_case(any_problem()), {.roundings = 1, .sums = 16}, 2) == "");
}

TEST(Embedding, WideRowsMatchTheOracle) {
  const Problem p{.N = 9, .C = 2111, .dtype = DType::bf16, .positions = true, .dropout = 0.5f};
  harness::expect_matches_reference(embedding_case(p), {1, 4}, 2);
  harness::expect_matches_reference(embedding_backward_case(p), {1, 16}, 2);
}

// One token alone, all the same, and more tokens and a larger vocabulary than one pass of a sort takes.
TEST(Embedding, AnyTokensMatchTheOracle) {
  for (const Problem& p :
       {Problem{.N = 1, .C = 9, .V = 1}, Problem{.N = 3000, .C = 130, .V = 1, .P = 2, .positions = true},
        Problem{.N = 5000, .C = 6, .V = 70'000, .P = 300, .positions = true, .dropout = 0.2f},
        Problem{.N = 33, .C = 40, .V = 2}}) {
    SCOPED_TRACE(fmt::format("{} tokens of {}", p.N, p.V));
    harness::expect_matches_reference(embedding_case(p), {1, 4}, 2);
    harness::expect_matches_reference(embedding_backward_case(p), {1, 64}, 2);
  }
}

TEST(EmbeddingBackward, ANaNReachesItsTokenAlone) {
  Case c = embedding_backward_case({.N = 50, .C = 20});
  c.operands[2].value = [](int64 i) { return i == 17 * 20 + 5 ? std::nan("") : 1.0; };
  const auto tensors = harness::run(c);
  const auto token = static_cast<int64>(tensors[0].get(17));
  for (int64 i = 0; i < 11 * 20; ++i)
    EXPECT_EQ(std::isnan(tensors[3].get(i)), i / 20 == token && i % 20 == 5) << i;
}

TEST(Embedding, HasTheSameBitsAtAnyThreads) {
  for (float dropout : {0.0f, 0.1f}) {
    const Problem p{.N = 700, .C = 200, .positions = true, .scale = 3, .dropout = dropout};
    harness::expect_same_bits_at_any_threads(embedding_case(p));
    harness::expect_same_bits_at_any_threads(embedding_backward_case(p));
  }
}

TEST(Embedding, ANaNInTheTableReachesItsTokensAlone) {
  Case c = embedding_case({.N = 50, .C = 20});
  c.operands[2].value = [](int64 i) { return i == 4 * 20 + 5 ? std::nan("") : 1.0; };
  const auto tensors = harness::run(c);
  for (int64 i = 0; i < 50 * 20; ++i)
    EXPECT_EQ(std::isnan(tensors[4].get(i)), tensors[0].get(i / 20) == 4 && i % 20 == 5) << i;
}

TEST(Reference, EmbeddingGradientsMatchFiniteDifferences) {
  const Problem p{.N = 13, .C = 6, .V = 5, .P = 4, .positions = true, .scale = 2.5f, .dropout = 0.25f};
  const Case forward = embedding_case(p);
  Case backward = embedding_backward_case(p);
  backward.operands[2].value = [](int64 i) { return harness::projection(9, i); };
  backward.operands[2].dtype = DType::f64;
  backward.operands[3].value = backward.operands[4].value = [](int64) { return 0.0; };
  const auto gradients = harness::run(backward, Backend::reference);
  std::vector<Tensor> v = harness::make_operands(forward, Backend::reference);
  Stream stream(Backend::reference);
  const auto loss = [&] {
    forward.call(stream, harness::views_of(v));
    return harness::project(v[4], 9);
  };
  harness::expect_gradient(v[2], gradients[3], loss, "table");
  harness::expect_gradient(v[3], gradients[4], loss, "position_table");
}

TEST(EmbeddingDeathTest, ATokenBeyondTheTableAborts) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const bool on_device = device_of(harness::backend_under_test()) == Device::cuda;
  for (Case c : {embedding_case({.N = 3, .C = 2}), embedding_backward_case({.N = 3, .C = 2})}) {
    c.operands[0].value = [](int64 i) { return i == 1 ? 11.0 : 0.0; };
    EXPECT_DEATH(harness::run_to_its_end(c), on_device ? "CUDA: .* (embedding|order_by_key)|the kernel traps"
                                                       : "row 11 of a table of 11");
  }
}

}  // namespace
}  // namespace fovea
