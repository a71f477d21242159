#include <gtest/gtest.h>

#include "attention_harness.h"

namespace fovea {
namespace {

using harness::Tensor;

// One number of an input that is not finite, and how far it may get.
struct Spill {
  size_t place;  // kQ, kK, kV or kDout
  int64 row, head;
  double value;
};

struct Containment {
  std::string name;
  AttentionCase c;
};
void PrintTo(const Containment& c, std::ostream* to) { *to << c.name; }

std::vector<Containment> containments() {
  const std::vector<int64> q{0, 33, 33, 75, 90}, k{0, 20, 41, 100, 100};
  std::vector<Containment> list{
      {"causal", {.problem = attention_problem(90, 100, 4, 2, 8, causal_mask())}},
      {"odd", {.problem = attention_problem(89, 101, 4, 4, 8, causal_mask())}},
      {"window", {.problem = attention_problem(90, 100, 4, 2, 8, {.left = 20, .right = 7})}},
      {"documents", {.problem = attention_problem(90, 100, 4, 2, 8, document_mask(q, k))}},
      {"documents_window",
       {.problem = attention_problem(90, 100, 4, 2, 8, document_mask(q, k, {.left = 9, .right = 3}))}},
      {"documents_full", {.problem = attention_problem(90, 100, 4, 2, 8, document_mask(q, k, {}))}}};
  list.push_back(
      *std::find_if(list.begin(), list.end(), [](const auto& x) { return x.name == "documents"; }));
  list.back().name = "documents_softcap_sink";
  list.back().c.problem.softcap = 3;
  list.back().c.sink = true;
  return list;
}

class AttentionContainment : public testing::TestWithParam<std::tuple<Containment, harness::Arithmetic>> {
 public:
  const AttentionProblem& problem() const { return std::get<0>(GetParam()).c.problem; }
  Backend backend() const { return std::get<1>(GetParam()).backend; }

  void SetUp() override {
    if (backend() == Backend::cudnn) GTEST_SKIP() << "cuDNN promises nothing of NaN, and computes in 16 bits";
  }
  void of_nan() const;
  void of_infinity() const;
  void of_what_lies_behind() const;
  void on_each_instruction_set(void (AttentionContainment::*check)() const) const {
    harness::for_each_variant(backend(), [&] { (this->*check)(); });
  }

  std::vector<Tensor> run(const Spill* spill) const {
    harness::Case call = attention_call(std::get<0>(GetParam()).c, std::get<1>(GetParam()).dtype);
    if (spill) {
      harness::Operand& operand = call.operands[spill->place];
      const int64 at =
          (spill->row * operand.shape[2] + spill->head) * operand.shape[3] + operand.shape[3] / 2;
      operand.value = [at, value = spill->value, before = operand.value](int64 e) {
        return e == at ? value : before(e);
      };
    }
    return harness::run(call, backend());
  }

  // By the definition of golden/README.md.
  bool sees(int64 i, int64 j) const {
    const Mask& m = problem().mask;
    int64 p = i + problem().kv_len - problem().q_len;
    if (m.documents) {
      const int64 n = document(m.documents->q, i);
      if (n != document(m.documents->k, j)) return false;
      p = i - m.documents->q[static_cast<size_t>(n) + 1] + m.documents->k[static_cast<size_t>(n) + 1];
    }
    return (!m.causal || j <= p) && (m.left < 0 || j >= p - m.left) && (m.right < 0 || j <= p + m.right);
  }
  static int64 document(const std::vector<int64>& bounds, int64 row) {
    return std::upper_bound(bounds.begin(), bounds.end(), row) - bounds.begin() - 1;
  }
  bool of_queries(size_t place) const {
    return place == kQ || place == kDout || place == kOut || place == kDq;
  }
  int64 document_of(size_t place, int64 row) const {
    const DocumentBounds* bounds = problem().mask.documents.get();
    return bounds ? document(of_queries(place) ? bounds->q : bounds->k, row) : 0;
  }
  int64 kv_head_of(size_t place, int64 head) const {
    return of_queries(place) ? head / problem().group() : head;
  }

  // What belongs to another document or another key/value head is as it is without the spill, bit for bit.
  void expect_others_untouched(const Spill& spill, const std::vector<Tensor>& clean,
                               const std::vector<Tensor>& x) const {
    for (const size_t place : {kOut, kDq, kDk, kDv}) {
      const View& view = x[place].view();
      for (int64 i = 0; i < view.size(1); ++i)
        for (int64 h = 0; h < view.size(2); ++h) {
          if (document_of(place, i) == document_of(spill.place, spill.row) &&
              kv_head_of(place, h) == kv_head_of(spill.place, spill.head))
            continue;
          for (int64 d = 0; d < view.size(3); ++d)
            ASSERT_EQ(load(view, {0, i, h, d}), load(clean[place], {0, i, h, d}))
                << "operand " << place << " row " << i << " head " << h;
        }
    }
  }
};

void AttentionContainment::of_nan() const {
  const AttentionProblem& p = problem();
  const std::vector<Tensor> clean = run(nullptr);
  for (const size_t place : {kQ, kK, kV, kDout})
    for (const int64 row : {int64{0}, int64{40}, int64{72}}) {
      const Spill spill{place, row, of_queries(place) ? 2 : 1, NAN};
      SCOPED_TRACE(fmt::format("operand {} row {}", place, row));
      const std::vector<Tensor> x = run(&spill);
      expect_others_untouched(spill, clean, x);
      for (int64 i = 0; i < p.q_len; ++i)
        for (int64 h = 0; h < p.q_heads; ++h) {
          const bool hit =
              of_queries(place) ? i == row && h == spill.head : h / p.group() == spill.head && sees(i, row);
          int64 visible = 0;
          for (int64 j = 0; j < p.kv_len; ++j) visible += sees(i, j);
          const bool scored = (place == kQ || place == kK) && hit && visible > 0;
          ASSERT_EQ(std::isnan(load(x[kLse], {0, h, i})), scored) << i << " " << h;
          if (place != kV) {
            ASSERT_EQ(std::isnan(load(x[kOut], {0, i, h, 0})), scored) << i << " " << h;
          } else if (hit) {
            ASSERT_TRUE(std::isnan(load(x[kOut], {0, i, h, p.v_dim / 2}))) << i << " " << h;
          }
          if (hit && visible > 0) {
            ASSERT_TRUE(std::isnan(load(x[kDq], {0, i, h, 0}))) << i << " " << h;
          }
        }
    }
}

// An infinity is not swallowed: what the oracle makes of it is not finite here either, and in a query or key
// only that.
void AttentionContainment::of_infinity() const {
  const std::vector<Tensor> clean = run(nullptr);
  for (const size_t place : {kQ, kK, kV})
    for (const double value : {double{INFINITY}, -double{INFINITY}}) {
      const Spill spill{place, 40, of_queries(place) ? 2 : 1, value};
      SCOPED_TRACE(fmt::format("operand {} {}", place, value));
      harness::Case call = attention_call(std::get<0>(GetParam()).c, DType::f64);
      const std::vector<Tensor> x = run(&spill);
      expect_others_untouched(spill, clean, x);
      const int64 at = (40 * call.operands[place].shape[2] + spill.head) * 8 + 4;
      call.operands[place].value = [at, value, before = call.operands[place].value](int64 e) {
        return e == at ? value : before(e);
      };
      const std::vector<Tensor> oracle = harness::run(call, Backend::reference);
      for (const size_t answer : {kOut, kLse})
        for (int64 e = 0; e < x[answer].elements(); ++e) {
          const bool finite = std::isfinite(oracle[answer].get(e));
          if (!finite || place != kV) {
            ASSERT_EQ(std::isfinite(x[answer].get(e)), finite) << "operand " << answer << "[" << e << "]";
          }
        }
    }
}

// Rows behind the end of a batch row's slice are another slice's, or nobody's: neither read nor written.
void AttentionContainment::of_what_lies_behind() const {
  AttentionCase c = std::get<0>(GetParam()).c, apart = c;
  apart.gap = 5, apart.offset = 3;  // all of it NaN, and checked afterwards
  const DType dtype = backend() == Backend::reference ? DType::f64 : DType::f32;
  const std::vector<Tensor> dense = harness::run(attention_call(c, dtype), backend()),
                            x = harness::run(attention_call(apart, dtype), backend());
  for (size_t place = kOut; place < kPlaces; ++place)
    EXPECT_EQ(x[place].bits(), dense[place].bits()) << "operand " << place;
}

TEST_P(AttentionContainment, OfNaN) { on_each_instruction_set(&AttentionContainment::of_nan); }
TEST_P(AttentionContainment, OfInfinity) { on_each_instruction_set(&AttentionContainment::of_infinity); }
TEST_P(AttentionContainment, OfWhatLiesBehindTheEnd) {
  on_each_instruction_set(&AttentionContainment::of_what_lies_behind);
}

INSTANTIATE_TEST_SUITE_P(Every, AttentionContainment,
                         testing::Combine(testing::ValuesIn(containments()),
                                          testing::ValuesIn(harness::arithmetics())),
                         [](const auto& instance) {
                           return std::get<0>(instance.param).name + "_" +
                                  harness::name_of(std::get<1>(instance.param));
                         });

}  // namespace
}  // namespace fovea
