#pragma once

#include "kernels/cuda/element.h"

// Tensor core products of 16 x 16 by 16 x 8 with f32 sums (PTX ISA, mma.m16n8k16). Of lane 4 g + t:
//   a: a[0] = (row g, k 2t, 2t+1), a[1] = (row g+8, the same k), a[2] = (row g, k 2t+8, 2t+9), a[3] = (row
//   g+8, ...) b: b0 = (k 2t, 2t+1, column g), b1 = (k 2t+8, 2t+9, column g) c: c[0], c[1] = (row g, columns
//   2t, 2t+1), c[2], c[3] = (row g+8, ...)
// So two neighbouring c, packed, are one a: {c0[0,1], c0[2,3], c1[0,1], c1[2,3]}.

namespace fovea::cuda {

/// c += a b
template <class T>
__device__ void mma(float (&c)[4], const uint32 (&a)[4], uint32 b0, uint32 b1);
template <>
__device__ inline void mma<Bf16>(float (&c)[4], const uint32 (&a)[4], uint32 b0, uint32 b1) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
template <>
__device__ inline void mma<F16>(float (&c)[4], const uint32 (&a)[4], uint32 b0, uint32 b1) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

/// Four matrices of 8 rows of 16 bytes; lane 8 n + r holds the address of row r of matrix n. Lane 4 g + t
/// gets of each row g, elements 2t and 2t+1.
__device__ inline void load_matrices(uint32 (&to)[4], uint32 row_address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(row_address)
               : "memory");
}
/// The same transposed: of each matrix column g, rows 2t and 2t+1.
__device__ inline void load_matrices_transposed(uint32 (&to)[4], uint32 row_address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(row_address)
               : "memory");
}

}  // namespace fovea::cuda
