#include <gtest/gtest.h>

#include "core/error.h"
#include "kernels/bench/row_case.h"

namespace fovea {
namespace {

TEST(TimedRows, AreWhatTheirNameSays) {
  const TimedRows rows = timed_rows_named("layer_norm_backward/cuda/bf16/n300_c768");
  EXPECT_EQ(rows.name, "layer_norm_backward/cuda/bf16/n300_c768");
  EXPECT_EQ(rows.operation, RowOperation::layer_norm_backward);
  EXPECT_EQ(rows.backend, Backend::cuda);
  EXPECT_EQ(rows.dtype, DType::bf16);
  EXPECT_EQ(rows.N, 300);
  EXPECT_EQ(rows.C, 768);
  EXPECT_EQ(timed_rows_named("adamw/cpu/f32/n1_c1").backend, Backend::cpu);
}

TEST(TimedRows, OtherNamesAreRefused) {
  for (const char* name : {"", "sum", "sum_rows", "sum_rows/cuda/f32", "sum_rows/naive/f32/n1_c1",
                           "sum_rows/cuda/f16/n1_c1", "sum_rows/cuda/f32/n1", "sum_rows/cuda/f32/n1_c0",
                           "sum_rows/cuda/f32/n1_c1/full", "norm/cuda/f32/n1_c1"})
    EXPECT_THROW(timed_rows_named(name), UserError) << name;
}

TEST(TimedRows, NamesOfOtherCasesAreToldApart) {
  EXPECT_TRUE(names_rows("rms_norm/cpu/f32/wrong"));
  for (const char* name : {"", "attention/forward", "limit/read", "rms"})
    EXPECT_FALSE(names_rows(name)) << name;
}

}  // namespace
}  // namespace fovea
