#pragma once

#include "kernels/residual/residual.h"

namespace fovea {

/// A Philox block has four words and serves four consecutive elements; a word keeps its element when its
/// upper 24 bits reach this value, that is when word * 2^-24 >= probability, exactly.
inline uint32 dropout_threshold(const Dropout& dropout) {
  return static_cast<uint32>(std::ceil(static_cast<double>(dropout.probability) * 0x1p24));
}

/// Whether the element with this index in the whole sequence (first_row included) is kept.
inline bool dropout_keeps(const Dropout& dropout, uint64 element) {
  if (dropout.probability == 0) return true;
  return (dropout.random.bits(element / 4)[element % 4] >> 8) >= dropout_threshold(dropout);
}

/// What a kept element is multiplied by.
inline double dropout_scale(const Dropout& dropout) {
  return 1 / (1 - static_cast<double>(dropout.probability));
}

/// Element (n, c) of rows of C in the whole sequence.
inline uint64 dropout_element(const Dropout& dropout, int64 n, int64 C, int64 c) {
  return (dropout.first_row + static_cast<uint64>(n)) * static_cast<uint64>(C) + static_cast<uint64>(c);
}

/// factors[i] = keeps(first + i) ? scale : 0 for i in [0, n); vectorised.
void dropout_factors(const Dropout& dropout, uint64 first, int64 n, float* factors);

/// Aborts unless the probability lies in [0, 1).
void expect_dropout(const Dropout& dropout, std::string_view name);

}  // namespace fovea
