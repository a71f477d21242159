#pragma once

#include "core/stream.h"

namespace fovea {

/// c = op(a) op(b) + bias, or c += op(a) op(b) + bias with `accumulate`; op transposes where asked.
///
/// op(a) (M, K), op(b) (K, N), c (M, N), bias (N) or absent; rows may be strided. a and b share a dtype f32 |
/// bf16 (f64 on the reference backend); c is f32 or that dtype; the sum over K is f32. bias is f32 or as a.
/// Cut into panels that depend on the shape alone, each one single-threaded library call, or, of bf16, in a
/// way that no sum depends on (pairs.h), so that threads do not change the bits. On a device it is cuBLASLt's
/// (cublaslt.h): the bits depend on the card, the shape and the alignment, and a bf16 c takes an f32 bias
/// rounded to bf16, which is all that the library can add as it stores c; what is added to a bf16 c it may
/// round to bf16 before.
struct MatMul {
  View a, b, bias;  // in
  View c;           // out
  bool transpose_a = false, transpose_b = false, accumulate = false;
};
void matmul(Stream& stream, const MatMul& op);

/// dbias += sum over rows of dy: dy (N, C) of any float dtype, dbias (C) f32 | f64; in an order that depends
/// on N alone.
struct SumRows {
  View dy;     // in
  View dbias;  // in and out
};
void sum_rows(Stream& stream, const SumRows& op);

}  // namespace fovea
