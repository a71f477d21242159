// mma.sync of m16n8k16 and m16n8k8 (PTX ISA 9.7.14.5, the fragments' tables). Products are exact; sums are
// f32, along k.

#include <immintrin.h>

#include <cstring>
#include <string>
#include <type_traits>

#include "machine/forms.h"
#include "machine/half.h"
#include "machine/machine.h"

namespace softgpu {
namespace {

constexpr int kRows = 16;
constexpr int kColumns = 8;

// Eight rows of a fragment's register, each widened to f32: of lanes 4 i to 4 i + 3 it holds row i, in pairs
// of 16 bits (8 elements a row) or one of 32 bits (4 a row).
template <class H>
struct Sixteen {
  static constexpr int kPerRegister = 8;  // elements of a row
  static void row(const uint32_t* reg, int i, float* to) {
    const __m128i packed = _mm_load_si128(reinterpret_cast<const __m128i*>(reg + 4 * i));
    if constexpr (std::is_same_v<H, Half>) {
      _mm256_storeu_ps(to, _mm256_cvtph_ps(packed));
    } else {
      _mm256_storeu_ps(to, _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(packed), 16)));
    }
  }
};
struct Tf32 {
  static constexpr int kPerRegister = 4;
  static void row(const uint32_t* reg, int i, float* to) {
    const __m128i bits = _mm_load_si128(reinterpret_cast<const __m128i*>(reg + 4 * i));
    // Hardware reads 19 of the bits.
    _mm_storeu_ps(to, _mm_castsi128_ps(_mm_and_si128(bits, _mm_set1_epi32(static_cast<int>(0xFFFFE000)))));
  }
};

// D (16, 8) += A (16, K) B (K, 8), all in f32; four rows of A together, for the sums do not wait for each
// other.
template <int K>
void product(const float (&a)[kRows][K], const float (&b)[K][kColumns], float (&d)[kRows][kColumns]) {
  constexpr int kTogether = 4;
  for (int first = 0; first < kRows; first += kTogether) {
    __m256 sum[kTogether];
    for (int r = 0; r < kTogether; ++r) sum[r] = _mm256_loadu_ps(d[first + r]);
    for (int k = 0; k < K; ++k) {
      const __m256 row = _mm256_loadu_ps(b[k]);
      for (int r = 0; r < kTogether; ++r)
        sum[r] = _mm256_fmadd_ps(_mm256_set1_ps(a[first + r][k]), row, sum[r]);
    }
    for (int r = 0; r < kTogether; ++r) _mm256_storeu_ps(d[first + r], sum[r]);
  }
}

// An accumulator's registers: of f32 four, of f16 two. Lane l: row l/4 (and 8 more), columns 2(l%4) and the
// next.
struct F32 {
  static constexpr int kCount = 4;
  static void read(const Machine& m, const uint32_t* reg, float (&d)[kRows][kColumns]) {
    for (int half = 0; half < 2; ++half) {
      const float* even = m.reg<float>(reg[2 * half]);
      const float* odd = m.reg<float>(reg[2 * half + 1]);
      for (int row = 0; row < 8; ++row) {
        const __m128 x = _mm_load_ps(even + 4 * row);
        const __m128 y = _mm_load_ps(odd + 4 * row);
        _mm_storeu_ps(d[8 * half + row], _mm_unpacklo_ps(x, y));
        _mm_storeu_ps(d[8 * half + row] + 4, _mm_unpackhi_ps(x, y));
      }
    }
  }
  static void write(const Machine& m, const uint32_t* reg, const float (&d)[kRows][kColumns]) {
    for (int half = 0; half < 2; ++half) {
      auto* even = m.reg<float>(reg[2 * half]);
      auto* odd = m.reg<float>(reg[2 * half + 1]);
      for (int row = 0; row < 8; ++row) {
        const __m128 x = _mm_loadu_ps(d[8 * half + row]);
        const __m128 y = _mm_loadu_ps(d[8 * half + row] + 4);
        _mm_store_ps(even + 4 * row, _mm_shuffle_ps(x, y, _MM_SHUFFLE(2, 0, 2, 0)));
        _mm_store_ps(odd + 4 * row, _mm_shuffle_ps(x, y, _MM_SHUFFLE(3, 1, 3, 1)));
      }
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
  constexpr int kA = 2 * K / per;
  constexpr int kB = K / per;
  const uint32_t* reg = op.r + Accumulator::kCount;
  alignas(32) float a[kRows][K];
  alignas(32) float b[K][kColumns];
  alignas(32) float d[kRows][kColumns];
  // Registers of A: rows 0 to 7, rows 8 to 15, then the same of the next columns.
  for (int r = 0; r < kA; ++r) {
    for (int i = 0; i < 8; ++i) In::row(m.reg<uint32_t>(reg[r]), i, &a[i + 8 * (r % 2)][per * (r / 2)]);
  }
  // Those of B: columns of the first of k, then of the next.
  for (int r = 0; r < kB; ++r) {
    alignas(32) float columns[kColumns][per];
    for (int i = 0; i < kColumns; ++i) In::row(m.reg<uint32_t>(reg[kA + r]), i, columns[i]);
    for (int k = 0; k < per; ++k) {
      for (int i = 0; i < kColumns; ++i) b[per * r + k][i] = columns[i][k];
    }
  }
  Accumulator::read(m, reg + kA + kB, d);
  product<K>(a, b, d);
  Accumulator::write(m, op.r, d);
  m.counters->mma_flops += uint64_t{2} * kRows * kColumns * K;
}

template <class In, int K, class Accumulator>
void add(Forms& forms, const std::string& shape, const std::string& d, const std::string& in) {
  const std::string c = d;
  const std::string operands = std::string(Accumulator::kCount, 'w') + ":" +
                               std::string(3 * K / In::kPerRegister + Accumulator::kCount, 'w');
  forms["mma.sync.aligned." + shape + ".row.col." + d + "." + in + "." + in + "." + c] = {
      multiply<In, K, Accumulator>, operands, Kind::mma, Control::aligned};
}

}  // namespace

void add_matrix_forms(Forms& forms) {
  add<Sixteen<Half>, 16, F32>(forms, "m16n8k16", "f32", "f16");
  add<Sixteen<Half>, 8, F32>(forms, "m16n8k8", "f32", "f16");
  add<Sixteen<Half>, 16, F16>(forms, "m16n8k16", "f16", "f16");
  add<Sixteen<Half>, 8, F16>(forms, "m16n8k8", "f16", "f16");
  add<Sixteen<Bfloat>, 16, F32>(forms, "m16n8k16", "f32", "bf16");
  add<Sixteen<Bfloat>, 8, F32>(forms, "m16n8k8", "f32", "bf16");
  add<Tf32, 8, F32>(forms, "m16n8k8", "f32", "tf32");
  add<Tf32, 4, F32>(forms, "m16n8k4", "f32", "tf32");
}

}  // namespace softgpu
