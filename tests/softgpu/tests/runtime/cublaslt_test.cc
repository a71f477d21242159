// libcublasLt.so.13 against sums in double, as a program calls it.

#include <cublasLt.h>
#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <ostream>
#include <random>
#include <string>
#include <vector>

#include "tests/numbers.h"

namespace softgpu {
namespace {

struct Problem {
  const char* name;
  int m, n, k;
  cudaDataType_t in = CUDA_R_32F, out = CUDA_R_32F;
  bool transpose_a = false, transpose_b = false;
  cublasLtOrder_t order = CUBLASLT_ORDER_COL;
  int batches = 1;
  float alpha = 1, beta = 0;
  bool device_factors = false;
  cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
};
void PrintTo(const Problem& problem, std::ostream* out) { *out << problem.name; }

constexpr int kPad = 3;  // elements between columns or rows that belong to nobody

Format format_of(cudaDataType_t type) {
  return type == CUDA_R_16BF ? kBf16 : type == CUDA_R_16F ? kF16 : kF32;
}
size_t size_of(cudaDataType_t type) { return type == CUDA_R_32F ? 4 : 2; }

/// A batch of matrices on the host, as double and as bytes.
struct HostMatrix {
  cudaDataType_t type;
  cublasLtOrder_t order;
  int rows, columns, batches;
  std::vector<unsigned char> bytes;
  std::vector<double> numbers;  // of the drawn elements, as stored

  int leading() const { return (order == CUBLASLT_ORDER_COL ? rows : columns) + kPad; }
  int64_t stride() const { return int64_t{leading()} * (order == CUBLASLT_ORDER_COL ? columns : rows) + 5; }
  size_t at(int batch, int row, int column) const {
    const int64_t inside =
        order == CUBLASLT_ORDER_COL ? int64_t{column} * leading() + row : int64_t{row} * leading() + column;
    return static_cast<size_t>(batch * stride() + inside) * size_of(type);
  }
  double value(int batch, int row, int column) const {
    uint64_t bits = 0;
    std::memcpy(&bits, bytes.data() + at(batch, row, column), size_of(type));
    return widen(bits, format_of(type));
  }
  void set(int batch, int row, int column, double value) {
    const uint64_t bits = narrow(value, format_of(type));
    std::memcpy(bytes.data() + at(batch, row, column), &bits, size_of(type));
    numbers[at(batch, row, column) / size_of(type)] = widen(bits, format_of(type));
  }
  double number(int batch, int row, int column) const {
    return numbers[at(batch, row, column) / size_of(type)];
  }
};

HostMatrix drawn(cudaDataType_t type, cublasLtOrder_t order, int rows, int columns, int batches,
                 unsigned seed) {
  HostMatrix matrix{type, order, rows, columns, batches, {}, {}};
  matrix.bytes.resize(static_cast<size_t>(batches * matrix.stride()) * size_of(type));
  matrix.numbers.resize(static_cast<size_t>(batches * matrix.stride()));
  std::mt19937 random(seed);
  std::normal_distribution<double> normal;
  for (int b = 0; b < batches; ++b) {
    for (int r = 0; r < rows; ++r) {
      for (int c = 0; c < columns; ++c) matrix.set(b, r, c, normal(random));
    }
  }
  return matrix;
}

void* upload(const void* from, size_t bytes) {
  void* device = nullptr;
  EXPECT_EQ(cudaMalloc(&device, bytes), cudaSuccess);
  EXPECT_EQ(cudaMemcpy(device, from, bytes, cudaMemcpyHostToDevice), cudaSuccess);
  return device;
}

// The matrices' own elements alone: what lies between them stays unwritten, and nobody may read it.
void* upload(const HostMatrix& matrix) {
  void* device = nullptr;
  EXPECT_EQ(cudaMalloc(&device, matrix.bytes.size()), cudaSuccess);
  const bool by_column = matrix.order == CUBLASLT_ORDER_COL;
  const size_t width = static_cast<size_t>(by_column ? matrix.rows : matrix.columns) * size_of(matrix.type);
  const size_t pitch = static_cast<size_t>(matrix.leading()) * size_of(matrix.type);
  for (int b = 0; b < matrix.batches; ++b) {
    EXPECT_EQ(
        cudaMemcpy2D(static_cast<char*>(device) + matrix.at(b, 0, 0), pitch,
                     matrix.bytes.data() + matrix.at(b, 0, 0), pitch, width,
                     static_cast<size_t>(by_column ? matrix.columns : matrix.rows), cudaMemcpyHostToDevice),
        cudaSuccess);
  }
  return device;
}

cublasLtMatrixLayout_t layout_of(const HostMatrix& matrix) {
  cublasLtMatrixLayout_t layout = nullptr;
  EXPECT_EQ(cublasLtMatrixLayoutCreate(&layout, matrix.type, static_cast<uint64_t>(matrix.rows),
                                       static_cast<uint64_t>(matrix.columns), matrix.leading()),
            CUBLAS_STATUS_SUCCESS);
  const auto set = [&](cublasLtMatrixLayoutAttribute_t attribute, auto value) {
    EXPECT_EQ(cublasLtMatrixLayoutSetAttribute(layout, attribute, &value, sizeof value),
              CUBLAS_STATUS_SUCCESS);
  };
  set(CUBLASLT_MATRIX_LAYOUT_ORDER, int32_t{matrix.order});
  set(CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, int32_t{matrix.batches});
  set(CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, matrix.stride());
  return layout;
}

class Library : public testing::Test {
 protected:
  void SetUp() override { ASSERT_EQ(cublasLtCreate(&handle), CUBLAS_STATUS_SUCCESS); }
  void TearDown() override { EXPECT_EQ(cublasLtDestroy(handle), CUBLAS_STATUS_SUCCESS); }

  template <class T>
  void set(cublasLtMatmulDescAttributes_t attribute, T value) {
    ASSERT_EQ(cublasLtMatmulDescSetAttribute(description, attribute, &value, sizeof value),
              CUBLAS_STATUS_SUCCESS);
  }
  void describe(const Problem& problem) {
    ASSERT_EQ(cublasLtMatmulDescCreate(&description, CUBLAS_COMPUTE_32F, CUDA_R_32F), CUBLAS_STATUS_SUCCESS);
    set(CUBLASLT_MATMUL_DESC_TRANSA, int32_t{problem.transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N});
    set(CUBLASLT_MATMUL_DESC_TRANSB, int32_t{problem.transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N});
    set(CUBLASLT_MATMUL_DESC_EPILOGUE, uint32_t{problem.epilogue});
    if (problem.device_factors) set(CUBLASLT_MATMUL_DESC_POINTER_MODE, int32_t{CUBLASLT_POINTER_MODE_DEVICE});
  }

  cublasLtHandle_t handle = nullptr;
  cublasLtMatmulDesc_t description = nullptr;
};

class LibraryProduct : public Library, public testing::WithParamInterface<Problem> {};

TEST_P(LibraryProduct, IsTheSumOfProducts) {
  const Problem& p = GetParam();
  const HostMatrix a = p.transpose_a ? drawn(p.in, p.order, p.k, p.m, p.batches, 1)
                                     : drawn(p.in, p.order, p.m, p.k, p.batches, 1);
  const HostMatrix b = p.transpose_b ? drawn(p.in, p.order, p.n, p.k, p.batches, 2)
                                     : drawn(p.in, p.order, p.k, p.n, p.batches, 2);
  HostMatrix c = drawn(p.out, p.order, p.m, p.n, p.batches, 3);
  describe(p);
  const bool by_b = p.epilogue == CUBLASLT_EPILOGUE_BGRADB;
  HostMatrix bias = drawn(p.out, CUBLASLT_ORDER_COL, by_b ? p.n : p.m, 1, 1, 4);
  void* const bias_device = upload(bias);
  if (p.epilogue != CUBLASLT_EPILOGUE_DEFAULT) set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias_device);
  void* const a_device = upload(a);
  void* const b_device = upload(b);
  void* c_device = nullptr;
  if (p.beta != 0) {
    c_device = upload(c);
  } else {
    ASSERT_EQ(cudaMalloc(&c_device, c.bytes.size()), cudaSuccess);  // unwritten: it is not read
  }
  const auto a_layout = layout_of(a), b_layout = layout_of(b), c_layout = layout_of(c);
  cublasLtMatmulPreference_t preference = nullptr;
  ASSERT_EQ(cublasLtMatmulPreferenceCreate(&preference), CUBLAS_STATUS_SUCCESS);
  const uint64_t workspace_bytes = 1 << 20;
  ASSERT_EQ(cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                                 &workspace_bytes, sizeof workspace_bytes),
            CUBLAS_STATUS_SUCCESS);
  void* workspace = nullptr;
  ASSERT_EQ(cudaMalloc(&workspace, workspace_bytes), cudaSuccess);
  cublasLtMatmulHeuristicResult_t found{};
  int count = 0;
  ASSERT_EQ(cublasLtMatmulAlgoGetHeuristic(handle, description, a_layout, b_layout, c_layout, c_layout,
                                           preference, 1, &found, &count),
            CUBLAS_STATUS_SUCCESS);
  ASSERT_EQ(count, 1);
  const float factors[] = {p.alpha, p.beta};
  const auto* const factors_device = static_cast<const float*>(upload(factors, sizeof factors));
  const float* const alpha = p.device_factors ? factors_device : factors;
  ASSERT_EQ(
      cublasLtMatmul(handle, description, alpha, a_device, a_layout, b_device, b_layout, alpha + 1, c_device,
                     c_layout, c_device, c_layout, &found.algo, workspace, workspace_bytes, nullptr),
      CUBLAS_STATUS_SUCCESS);
  HostMatrix d = c;
  ASSERT_EQ(cudaMemcpy(d.bytes.data(), c_device, d.bytes.size(), cudaMemcpyDeviceToHost), cudaSuccess);
  HostMatrix bias_after = bias;
  ASSERT_EQ(cudaMemcpy(bias_after.bytes.data(), bias_device, bias.bytes.size(), cudaMemcpyDeviceToHost),
            cudaSuccess);

  const auto op_a = [&](int batch, int i, int j) {
    return p.transpose_a ? a.number(batch, j, i) : a.number(batch, i, j);
  };
  const auto op_b = [&](int batch, int i, int j) {
    return p.transpose_b ? b.number(batch, j, i) : b.number(batch, i, j);
  };
  const double unit = p.out == CUDA_R_16BF ? 0x1p-8 : p.out == CUDA_R_16F ? 0x1p-11 : 0;
  int wrong = 0;
  const auto check = [&](double expected, double sizes, double got) {
    const double bound = unit * std::fabs(expected) + (sizes + 1) * 0x1p-23 * std::sqrt(p.k + 4.0) * 2;
    if (std::fabs(expected - got) > bound && ++wrong < 5) ADD_FAILURE() << got << ", not " << expected;
  };
  for (int batch = 0; batch < p.batches; ++batch) {
    for (int i = 0; i < p.m; ++i) {
      for (int j = 0; j < p.n; ++j) {
        double sum = 0, sizes = 0;
        for (int q = 0; q < p.k; ++q) {
          const double product = op_a(batch, i, q) * op_b(batch, q, j);
          sum += product;
          sizes += std::fabs(product);
        }
        double expected = double{p.alpha} * sum + (p.beta != 0 ? double{p.beta} * c.value(batch, i, j) : 0);
        if (p.epilogue == CUBLASLT_EPILOGUE_BIAS) expected += bias.value(0, i, 0);
        check(expected, std::fabs(p.alpha) * sizes, d.value(batch, i, j));
      }
    }
  }
  if (p.epilogue == CUBLASLT_EPILOGUE_BGRADA || by_b) {
    for (int i = 0; i < bias.rows; ++i) {
      double sum = 0, sizes = 0;
      for (int q = 0; q < p.k; ++q) {
        const double value = by_b ? op_b(0, q, i) : op_a(0, i, q);
        sum += value;
        sizes += std::fabs(value);
      }
      check(sum, sizes, bias_after.value(0, i, 0));
    }
  }
  for (void* const memory : {a_device, b_device, c_device, bias_device, workspace})
    EXPECT_EQ(cudaFree(memory), cudaSuccess);
  for (const auto layout : {a_layout, b_layout, c_layout})
    EXPECT_EQ(cublasLtMatrixLayoutDestroy(layout), CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(cublasLtMatmulPreferenceDestroy(preference), CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(cublasLtMatmulDescDestroy(description), CUBLAS_STATUS_SUCCESS);
}

constexpr auto kRow = CUBLASLT_ORDER_ROW;
constexpr auto kColumn = CUBLASLT_ORDER_COL;
INSTANTIATE_TEST_SUITE_P(
    All, LibraryProduct,
    testing::Values(
        Problem{"f32", 33, 17, 70}, Problem{"f32_past_one_block", 300, 270, 600},
        Problem{"f32_one_element", 1, 1, 1},
        Problem{"f32_transposed_a", 20, 30, 40, CUDA_R_32F, CUDA_R_32F, true, false},
        Problem{"f32_transposed_b", 20, 30, 40, CUDA_R_32F, CUDA_R_32F, false, true},
        Problem{"f32_both_transposed_by_rows", 20, 30, 40, CUDA_R_32F, CUDA_R_32F, true, true, kRow},
        Problem{"f32_by_rows", 19, 31, 43, CUDA_R_32F, CUDA_R_32F, false, false, kRow},
        Problem{"f32_batches", 9, 10, 11, CUDA_R_32F, CUDA_R_32F, false, true, kColumn, 3},
        Problem{"f32_accumulates", 20, 30, 40, CUDA_R_32F, CUDA_R_32F, false, false, kColumn, 1, 0.5f, 2},
        Problem{"f32_factors_on_the_device", 20, 30, 40, CUDA_R_32F, CUDA_R_32F, false, false, kColumn, 1,
                0.5f, 2, true},
        Problem{"bf16", 40, 50, 60, CUDA_R_16BF, CUDA_R_16BF, true, false},
        Problem{"bf16_to_f32", 40, 50, 60, CUDA_R_16BF, CUDA_R_32F, false, true, kRow, 2, 1, 1},
        Problem{"f16", 40, 50, 60, CUDA_R_16F, CUDA_R_16F},
        Problem{"f16_to_f32", 40, 50, 60, CUDA_R_16F, CUDA_R_32F, true, true},
        Problem{"bias", 40, 50, 60, CUDA_R_16BF, CUDA_R_16BF, false, false, kColumn, 1, 1, 0, false,
                CUBLASLT_EPILOGUE_BIAS},
        Problem{"bias_f32", 40, 50, 60, CUDA_R_32F, CUDA_R_32F, false, false, kColumn, 1, 1, 1, false,
                CUBLASLT_EPILOGUE_BIAS},
        Problem{"gradient_of_a_bias_from_a", 40, 50, 60, CUDA_R_16BF, CUDA_R_32F, false, true, kColumn, 1, 1,
                0, false, CUBLASLT_EPILOGUE_BGRADA},
        Problem{"gradient_of_a_bias_from_b", 40, 50, 60, CUDA_R_16BF, CUDA_R_32F, false, true, kColumn, 1, 1,
                0, false, CUBLASLT_EPILOGUE_BGRADB}),
    [](const testing::TestParamInfo<Problem>& each) { return std::string(each.param.name); });

/// A small product whose operands a test spoils.
class LibraryRefuses : public Library {
 protected:
  void SetUp() override {
    Library::SetUp();
    describe({"", 8, 8, 8});
    ASSERT_EQ(cublasLtMatrixLayoutCreate(&layout, CUDA_R_32F, 8, 8, 8), CUBLAS_STATUS_SUCCESS);
    const std::vector<float> ones(64, 1.0f);
    a = upload(ones.data(), 256);
    b = upload(ones.data(), 256);
    c = upload(ones.data(), 256);
  }
  cublasStatus_t multiply(const void* first, const void* second, void* result) {
    const float one = 1, zero = 0;
    return cublasLtMatmul(handle, description, &one, first, layout, second, layout, &zero, result, layout,
                          result, layout, nullptr, nullptr, 0, nullptr);
  }
  cublasLtMatrixLayout_t layout = nullptr;
  void *a = nullptr, *b = nullptr, *c = nullptr;
};
using LibraryRefusesDeathTest = LibraryRefuses;

TEST_F(LibraryRefusesDeathTest, OperandsThatAreNotAllThere) {
  EXPECT_DEATH(
      {
        multiply(static_cast<float*>(a) + 1, b, c);
        cudaDeviceSynchronize();
      },
      "fault: out of bounds: cublasLtMatmul reads A \\(batch 0, column 7\\)");
  EXPECT_DEATH(
      {
        multiply(a, b, static_cast<float*>(c) + 1);
        cudaDeviceSynchronize();
      },
      "fault: out of bounds: cublasLtMatmul writes D");
}

TEST_F(LibraryRefusesDeathTest, OperandsThatNobodyWrote) {
  void* unwritten = nullptr;
  ASSERT_EQ(cudaMalloc(&unwritten, 256), cudaSuccess);
  EXPECT_DEATH(
      {
        multiply(a, unwritten, c);
        cudaDeviceSynchronize();
      },
      "fault: uninitialised: cublasLtMatmul reads B");
}

TEST_F(LibraryRefuses, AttributesItDoesNotKnow) {
  const int32_t value = 1;
  testing::internal::CaptureStderr();
  EXPECT_EQ(cublasLtMatmulDescSetAttribute(description, CUBLASLT_MATMUL_DESC_FILL_MODE, &value, sizeof value),
            CUBLAS_STATUS_NOT_SUPPORTED);
  EXPECT_NE(testing::internal::GetCapturedStderr().find("attribute 6"), std::string::npos);
  EXPECT_EQ(cublasLtMatmulDescSetAttribute(description, CUBLASLT_MATMUL_DESC_TRANSA, &value, 8),
            CUBLAS_STATUS_INVALID_VALUE);
}

TEST_F(LibraryRefuses, EpiloguesAndTypesItDoesNotKnow) {
  set(CUBLASLT_MATMUL_DESC_EPILOGUE, uint32_t{CUBLASLT_EPILOGUE_GELU});
  EXPECT_EQ(multiply(a, b, c), CUBLAS_STATUS_NOT_SUPPORTED);
  set(CUBLASLT_MATMUL_DESC_EPILOGUE, uint32_t{CUBLASLT_EPILOGUE_DEFAULT});
  const uint32_t type = CUDA_R_64F;
  ASSERT_EQ(cublasLtMatrixLayoutSetAttribute(layout, CUBLASLT_MATRIX_LAYOUT_TYPE, &type, sizeof type),
            CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(multiply(a, b, c), CUBLAS_STATUS_INVALID_VALUE);
}

TEST_F(LibraryRefuses, AlgorithmsChosenForAnotherProductOrAlignment) {
  cublasLtMatmulPreference_t preference = nullptr;
  ASSERT_EQ(cublasLtMatmulPreferenceCreate(&preference), CUBLAS_STATUS_SUCCESS);
  cublasLtMatmulHeuristicResult_t found{};
  int count = 0;
  ASSERT_EQ(cublasLtMatmulAlgoGetHeuristic(handle, description, layout, layout, layout, layout, preference, 1,
                                           &found, &count),
            CUBLAS_STATUS_SUCCESS);
  const auto with_algorithm = [&](void* result) {
    const float one = 1, zero = 0;
    return cublasLtMatmul(handle, description, &one, a, layout, b, layout, &zero, result, layout, result,
                          layout, &found.algo, nullptr, 0, nullptr);
  };
  EXPECT_EQ(with_algorithm(c), CUBLAS_STATUS_SUCCESS);
  // The preference promised addresses that are multiples of 256.
  EXPECT_EQ(with_algorithm(static_cast<float*>(c) + 4), CUBLAS_STATUS_INVALID_VALUE);
  set(CUBLASLT_MATMUL_DESC_TRANSA, int32_t{CUBLAS_OP_T});
  EXPECT_EQ(with_algorithm(c), CUBLAS_STATUS_INVALID_VALUE);
}

}  // namespace
}  // namespace softgpu
