// mma.sync of m16n8k16 and m16n8k8 (PTX ISA 9.7.14.5, the fragments' tables). Products are exact; sums are
// f32, along k.

#include <immintrin.h>

#include <cstring>
#include <string>

#include "machine/forms.h"
#include "machine/half.h"
#include "machine/machine.h"

namespace softgpu {
namespace {

constexpr int kRows = 16;
constexpr int kColumns = 8;

// A register of A or B holds, lane after lane, 8 rows of 4 lanes: elements of 16 bits in pairs (8 a row), of
// 32 bits 4 a row. Registers of A: rows 0 to 7, rows 8 to 15, then the same of the next columns; of B (column
// by column): first half of k, second half.
template <class T, int K>
struct Fragments;

template <class H, int K>
struct Sixteen {
  static constexpr int kA = K / 4;  // registers
  static constexpr int kB = K / 8;
  static float element(const uint32_t* reg, int row, int column) {
    uint16_t bits;
    std::memcpy(&bits, reinterpret_cast<const char*>(reg) + 16 * row + 2 * column, 2);
    return to_float(H{bits});
  }
  static constexpr int kPerRegister = 8;  // columns
};
template <int K>
struct Tf32 {
  static constexpr int kA = K / 2;
  static constexpr int kB = K / 4;
  static float element(const uint32_t* reg, int row, int column) {
    const uint32_t bits = reg[4 * row + column] & 0xFFFFE000;  // hardware reads 19 bits
    float value;
    std::memcpy(&value, &bits, 4);
    return value;
  }
  static constexpr int kPerRegister = 4;
};

// D (16, 8) = A (16, k) B (k, 8) + C, all in f32.
template <int K>
void product(const float (&a)[kRows][K], const float (&b)[K][kColumns], float (&d)[kRows][kColumns]) {
  __m256 column[K];
  for (int k = 0; k < K; ++k) column[k] = _mm256_loadu_ps(b[k]);
  for (int row = 0; row < kRows; ++row) {
    __m256 sum = _mm256_loadu_ps(d[row]);
    for (int k = 0; k < K; ++k) sum = _mm256_fmadd_ps(_mm256_set1_ps(a[row][k]), column[k], sum);
    _mm256_storeu_ps(d[row], sum);
  }
}

// An accumulator's registers: of f32 four, of f16 two. Lane l: row l/4 (and 8 more), columns 2(l%4) and the
// next.
struct F32 {
  static constexpr int kCount = 4;
  static void read(const Machine& m, const uint32_t* reg, float (&d)[kRows][kColumns]) {
    for (int r = 0; r < 4; ++r) {
      const float* c = m.reg<float>(reg[r]);
      for (int lane = 0; lane < kLanes; ++lane) d[lane / 4 + 8 * (r / 2)][2 * (lane % 4) + r % 2] = c[lane];
    }
  }
  static void write(const Machine& m, const uint32_t* reg, const float (&d)[kRows][kColumns]) {
    for (int r = 0; r < 4; ++r) {
      auto* c = m.reg<float>(reg[r]);
      for (int lane = 0; lane < kLanes; ++lane) c[lane] = d[lane / 4 + 8 * (r / 2)][2 * (lane % 4) + r % 2];
    }
  }
};
struct F16 {
  static constexpr int kCount = 2;
  static void read(const Machine& m, const uint32_t* reg, float (&d)[kRows][kColumns]) {
    for (int r = 0; r < 2; ++r) {
      const uint32_t* c = m.reg<uint32_t>(reg[r]);
      for (int lane = 0; lane < kLanes; ++lane) {
        for (int j = 0; j < 2; ++j) {
          d[lane / 4 + 8 * r][2 * (lane % 4) + j] =
              to_float(Half{static_cast<uint16_t>(c[lane] >> (16 * j))});
        }
      }
    }
  }
  static void write(const Machine& m, const uint32_t* reg, const float (&d)[kRows][kColumns]) {
    for (int r = 0; r < 2; ++r) {
      uint32_t* c = m.reg<uint32_t>(reg[r]);
      for (int lane = 0; lane < kLanes; ++lane) {
        const float* pair = &d[lane / 4 + 8 * r][2 * (lane % 4)];
        c[lane] = to_half<Half>(pair[0]).bits | uint32_t{to_half<Half>(pair[1]).bits} << 16;
      }
    }
  }
};

template <class In, int K, class Accumulator>
void multiply(Machine& m, const Op& op, uint32_t mask) {
  if (mask != kAllLanes) m.fault(op, __builtin_ctz(mask), "inactive lane", "not all 32 lanes take part");
  constexpr int per = In::kPerRegister;
  const uint32_t* reg = op.r + Accumulator::kCount;
  float a[kRows][K];
  float b[K][kColumns];
  float d[kRows][kColumns];
  for (int r = 0; r < In::kA; ++r) {
    const uint32_t* from = m.reg<uint32_t>(reg[r]);
    for (int row = 0; row < 8; ++row) {
      for (int column = 0; column < per; ++column)
        a[row + 8 * (r % 2)][column + per * (r / 2)] = In::element(from, row, column);
    }
  }
  for (int r = 0; r < In::kB; ++r) {
    const uint32_t* from = m.reg<uint32_t>(reg[In::kA + r]);
    for (int column = 0; column < kColumns; ++column) {
      for (int k = 0; k < per; ++k) b[per * r + k][column] = In::element(from, column, k);
    }
  }
  Accumulator::read(m, reg + In::kA + In::kB, d);
  product<K>(a, b, d);
  Accumulator::write(m, op.r, d);
  m.counters->mma_flops += uint64_t{2} * kRows * kColumns * K;
}

template <class In, int K, class Accumulator>
void add(Forms& forms, const std::string& shape, const std::string& d, const std::string& in) {
  const std::string c = d;
  const std::string operands =
      std::string(Accumulator::kCount, 'w') + ":" + std::string(In::kA + In::kB + Accumulator::kCount, 'w');
  forms["mma.sync.aligned." + shape + ".row.col." + d + "." + in + "." + in + "." + c] = {
      multiply<In, K, Accumulator>, operands, Kind::mma, Control::aligned};
}

}  // namespace

void add_matrix_forms(Forms& forms) {
  add<Sixteen<Half, 16>, 16, F32>(forms, "m16n8k16", "f32", "f16");
  add<Sixteen<Half, 8>, 8, F32>(forms, "m16n8k8", "f32", "f16");
  add<Sixteen<Half, 16>, 16, F16>(forms, "m16n8k16", "f16", "f16");
  add<Sixteen<Half, 8>, 8, F16>(forms, "m16n8k8", "f16", "f16");
  add<Sixteen<Bfloat, 16>, 16, F32>(forms, "m16n8k16", "f32", "bf16");
  add<Sixteen<Bfloat, 8>, 8, F32>(forms, "m16n8k8", "f32", "bf16");
  add<Tf32<8>, 8, F32>(forms, "m16n8k8", "f32", "tf32");
  add<Tf32<4>, 4, F32>(forms, "m16n8k4", "f32", "tf32");
}

}  // namespace softgpu
