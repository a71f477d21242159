// Which element of a matrix is in which register of which lane: ldmatrix and mma against the tables of the
// PTX ISA, chapter 9.7.14 ("Matrix fragments for mma.m16n8k16 with floating point type" and its neighbours).

#include <gtest/gtest.h>

#include <functional>
#include <random>
#include <string>

#include "tests/numbers.h"
#include "tests/probe.h"

namespace softgpu {
namespace {

/// Row and column of element i of a lane's fragment.
struct Place {
  int row, column;
};
using Layout = std::function<Place(int lane, int i)>;

int group(int lane) { return lane / 4; }
int in_group(int lane) { return lane % 4; }

// A (16 x 16) of 16-bit elements: groupID for i < 2 and 4 <= i < 6, else groupID + 8; columns by pairs, + 8
// for i >= 4.
Place a16(int lane, int i) {
  return {group(lane) + (i % 4 < 2 ? 0 : 8), in_group(lane) * 2 + i % 2 + (i >= 4 ? 8 : 0)};
}
// B (16 x 8): rows by pairs, + 8 for i >= 2; column groupID.
Place b16(int lane, int i) { return {in_group(lane) * 2 + i % 2 + (i >= 2 ? 8 : 0), group(lane)}; }
// A (16 x 8) of 16-bit elements: groupID for i < 2, else + 8.
Place a8(int lane, int i) { return {group(lane) + (i < 2 ? 0 : 8), in_group(lane) * 2 + i % 2}; }
Place b8(int lane, int i) { return {in_group(lane) * 2 + i, group(lane)}; }
// A (16 x 8) of tf32: groupID for a0 and a2, + 8 for a1 and a3; column + 4 for a2 and a3. B (8 x 8) likewise.
Place a8_tf32(int lane, int i) {
  return {group(lane) + (i % 2 == 0 ? 0 : 8), in_group(lane) + (i < 2 ? 0 : 4)};
}
Place b8_tf32(int lane, int i) { return {in_group(lane) + 4 * i, group(lane)}; }
// C and D (16 x 8) of f32.
Place accumulator(int lane, int i) { return {group(lane) + (i < 2 ? 0 : 8), in_group(lane) * 2 + i % 2}; }

struct Shape {
  std::string opcode;
  int k;
  Format format;
  int width;  // bits of an element of A and B in its register
  int a_elements, b_elements;
  Layout a, b;
};

const Shape kShapes[] = {
    {"mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32", 16, kBf16, 16, 8, 4, a16, b16},
    {"mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32", 16, kF16, 16, 8, 4, a16, b16},
    {"mma.sync.aligned.m16n8k8.row.col.f32.bf16.bf16.f32", 8, kBf16, 16, 4, 2, a8, b8},
    {"mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32", 8, kF16, 16, 4, 2, a8, b8},
    {"mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32", 8, kF32, 32, 4, 2, a8_tf32, b8_tf32},
};

std::string registers(char letter, size_t first, size_t count) {
  std::string text = "{";
  for (size_t i = 0; i < count; ++i) {
    text += (i == 0 ? "" : ", ") + std::string("%") + letter + std::to_string(first + i);
  }
  return text + "}";
}

class MmaFragments : public testing::TestWithParam<Shape> {};

// Small whole numbers: any order of summation gives the same sum, and a fragment out of place another one.
TEST_P(MmaFragments, AreWhereTheTablesSay) {
  const Shape& shape = GetParam();
  std::mt19937 random(7);
  const auto drawn = [&](size_t count) {
    std::vector<double> values(count);
    for (double& value : values) value = static_cast<double>(random() % 17) - 8;
    return values;
  };
  const auto k = static_cast<size_t>(shape.k);
  const auto a = drawn(16 * k), b = drawn(k * 8), c = drawn(16 * 8);
  const auto a_registers = static_cast<size_t>(shape.a_elements * shape.width / 32);
  const auto b_registers = static_cast<size_t>(shape.b_elements * shape.width / 32);
  const size_t count = a_registers + b_registers;
  Snippet snippet{shape.opcode + " " + registers('d', 0, 4) + ", " + registers('a', 0, a_registers) + ", " +
                      registers('a', a_registers, b_registers) + ", " + registers('a', count, 4) + ";",
                  std::vector<Form>(count + 4, Form::b32), std::vector<Form>(4, Form::b32)};
  std::vector<Words> operands(64, Words(count + 4, 0));
  for (int lane = 0; lane < 32; ++lane) {
    Words& words = operands[static_cast<size_t>(lane)];
    const auto put = [&](size_t first, int element, double value) {
      const int bit = element * shape.width;
      words[first + static_cast<size_t>(bit / 32)] |= narrow(value, shape.format) << (bit % 32);
    };
    for (int i = 0; i < shape.a_elements; ++i) {
      const Place place = shape.a(lane, i);
      put(0, i, a[static_cast<size_t>(place.row) * k + static_cast<size_t>(place.column)]);
    }
    for (int i = 0; i < shape.b_elements; ++i) {
      const Place place = shape.b(lane, i);
      put(a_registers, i, b[static_cast<size_t>(place.row * 8 + place.column)]);
    }
    for (int i = 0; i < 4; ++i) {
      const Place place = accumulator(lane, i);
      words[count + static_cast<size_t>(i)] =
          from_float(static_cast<float>(c[static_cast<size_t>(place.row * 8 + place.column)]));
    }
    operands[static_cast<size_t>(lane) + 32] = words;
  }
  const auto results = run_probe(snippet, operands);
  for (int lane = 0; lane < 64; ++lane) {
    for (int i = 0; i < 4; ++i) {
      const Place place = accumulator(lane % 32, i);
      const auto row = static_cast<size_t>(place.row), column = static_cast<size_t>(place.column);
      double expected = c[row * 8 + column];
      for (size_t p = 0; p < k; ++p) expected += a[row * k + p] * b[p * 8 + column];
      EXPECT_EQ(to_float(results[static_cast<size_t>(lane)][static_cast<size_t>(i)]), expected)
          << "lane " << lane << ", element " << i;
    }
  }
}

struct ShapeName {
  std::string operator()(const testing::TestParamInfo<Shape>& info) const {
    std::string name = info.param.opcode;
    for (char& each : name) each = each == '.' ? '_' : each;
    return name;
  }
};
INSTANTIATE_TEST_SUITE_P(All, MmaFragments, testing::ValuesIn(kShapes), ShapeName());

// f16 sums of products that are exact in f16.
TEST(MmaOfHalfSums, PacksTwoSumsInARegister) {
  Snippet snippet{
      "mma.sync.aligned.m16n8k16.row.col.f16.f16.f16.f16 {%d0, %d1}, {%a0, %a0, %a0, %a0}, {%a1, %a1}, {%a2, "
      "%a2};",
      std::vector<Form>(3, Form::b32), std::vector<Form>(2, Form::b32)};
  const uint64_t two = narrow(2, kF16), half = narrow(0.5, kF16), three = narrow(3, kF16);
  const std::vector<Words> operands(64, {two | two << 16, half | half << 16, three | three << 16});
  const uint64_t sum = narrow(19, kF16);
  for (const Words& result : run_probe(snippet, operands)) {
    EXPECT_EQ(result, (Words{sum | sum << 16, sum | sum << 16}));
  }
}

// Matrix m's row r lies where lane 8 m + r says; lane 4 r + j gets its elements 2 j and 2 j + 1, or,
// transposed, the elements r of rows 2 j and 2 j + 1.
void check_ldmatrix(int matrices, bool transposed) {
  // Element e of the pool is the number e; lane l's row begins at element 8 * shuffled(l).
  const auto shuffled = [](int lane) { return (lane * 5 + 3) % 32; };
  const std::string count = std::to_string(matrices);
  std::string text = "mov.u32 %r0, pool;\n";
  // 512 bytes for each of two warps: every lane writes 16 bytes, a pair of elements in each word.
  text += "mad.lo.u32 %r1, %thread, 16, %r0;\n";
  for (int word = 0; word < 4; ++word) {
    text += "shl.b32 %r2, %lane, 3; add.u32 %r2, %r2, " + std::to_string(2 * word) +
            "; add.u32 %r3, %r2, 1; shl.b32 %r3, %r3, 16; or.b32 %r2, %r2, %r3; st.shared.b32 [%r1+" +
            std::to_string(4 * word) + "], %r2;\n";
  }
  text +=
      "bar.sync 0;\nshr.u32 %r4, %thread, 5; mad.lo.u32 %r4, %r4, 512, %r0; mad.lo.u32 %r4, %a0, 16, %r4;\n";
  text += "ldmatrix.sync.aligned.m8n8.x" + count + (transposed ? ".trans" : "") + ".shared.b16 " +
          registers('d', 0, static_cast<size_t>(matrices)) + ", [%r4];";
  const Snippet snippet{text, {Form::b32}, std::vector<Form>(static_cast<size_t>(matrices), Form::b32)};
  std::vector<Words> operands;
  for (int thread = 0; thread < 64; ++thread)
    operands.push_back({static_cast<uint64_t>(shuffled(thread % 32))});
  const auto results = run_probe(snippet, operands);
  for (int thread = 0; thread < 64; ++thread) {
    const int lane = thread % 32;
    for (int m = 0; m < matrices; ++m) {
      const auto element = [&](int row, int column) {
        return static_cast<uint64_t>(8 * shuffled(8 * m + row) + column);
      };
      const int r = lane / 4, j = lane % 4;
      const uint64_t low = transposed ? element(2 * j, r) : element(r, 2 * j);
      const uint64_t high = transposed ? element(2 * j + 1, r) : element(r, 2 * j + 1);
      EXPECT_EQ(results[static_cast<size_t>(thread)][static_cast<size_t>(m)], low | high << 16)
          << "thread " << thread << ", matrix " << m;
    }
  }
}

TEST(LdmatrixFragments, OneMatrix) { check_ldmatrix(1, false); }
TEST(LdmatrixFragments, TwoMatrices) { check_ldmatrix(2, false); }
TEST(LdmatrixFragments, FourMatrices) { check_ldmatrix(4, false); }
TEST(LdmatrixFragments, OneMatrixTransposed) { check_ldmatrix(1, true); }
TEST(LdmatrixFragments, TwoMatricesTransposed) { check_ldmatrix(2, true); }
TEST(LdmatrixFragments, FourMatricesTransposed) { check_ldmatrix(4, true); }

}  // namespace
}  // namespace softgpu
