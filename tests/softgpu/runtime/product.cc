#include "runtime/product.h"

#include <fmt/format.h>
#include <immintrin.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>

#include "machine/fault.h"

namespace softgpu {

namespace {

// A tile of D, in registers: 16 rows in two vectors, 4 columns. Blocks are what is unpacked to f32 at a time.
using Lanes [[gnu::vector_size(32)]] = float;
constexpr uint64_t kTileRows = 16, kTileColumns = 4;
constexpr uint64_t kBlockRows = 256, kBlockColumns = 256, kBlockDepth = 512;

float from_bf16(uint16_t bits) { return std::bit_cast<float>(uint32_t{bits} << 16); }
uint16_t to_bf16(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  if (std::isnan(value)) return static_cast<uint16_t>((bits >> 16) | 0x40);
  return static_cast<uint16_t>((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);  // nearest, ties to even
}
float to_tf32(float value) {
  if (!std::isfinite(value)) return value;
  return std::bit_cast<float>((std::bit_cast<uint32_t>(value) + 0x1000) &
                              ~uint32_t{0x1FFF});  // ties away from 0
}

float load(const std::byte* at, ElementType type) {
  if (type == ElementType::f32) {
    float value;
    std::memcpy(&value, at, sizeof value);
    return value;
  }
  uint16_t bits;
  std::memcpy(&bits, at, sizeof bits);
  return type == ElementType::bf16 ? from_bf16(bits) : _cvtsh_ss(bits);
}

void store(std::byte* at, ElementType type, float value) {
  if (type == ElementType::f32) {
    std::memcpy(at, &value, sizeof value);
    return;
  }
  const uint16_t bits = type == ElementType::bf16
                            ? to_bf16(value)
                            : static_cast<uint16_t>(_mm_extract_epi16(_mm_cvtps_ph(_mm_set_ss(value), 0), 0));
  std::memcpy(at, &bits, sizeof bits);
}

/// What a product reads and writes, with every access judged.
class Access {
 public:
  explicit Access(GlobalMemory& memory) : memory_(memory) {}

  std::byte* at(uint64_t address) const { return memory_.data + (address - memory_.base); }

  // Throws unless every byte may be written or, if `reads`, was.
  void judge(const std::string& what, uint64_t address, uint64_t bytes, bool reads) const {
    for (uint64_t i = 0; i < bytes; ++i) {
      const uint8_t state = memory_.contains(address + i) ? memory_.state[address + i - memory_.base] : 0;
      if (state == byte_unallocated) {
        throw Fault("out of bounds", fmt::format("cublasLtMatmul {} {}: {}", reads ? "reads" : "writes", what,
                                                 memory_.describe(address + i)));
      }
      if (reads && state == byte_unwritten) {
        throw Fault("uninitialised", fmt::format("cublasLtMatmul reads {}, which nobody wrote: {}", what,
                                                 memory_.describe(address + i)));
      }
    }
  }

  // Every matrix of the batch, by the runs of bytes that lie together.
  void judge(const Matrix& matrix, uint64_t batches, bool reads) const {
    for_each_run(matrix, batches, [&](uint64_t address, uint64_t length, uint64_t batch, uint64_t line) {
      judge(
          fmt::format("{} (batch {}, {} {})", matrix.role, batch, matrix.row_major ? "row" : "column", line),
          address, length, reads);
    });
  }

  void mark(const Matrix& matrix, uint64_t batches) const {
    for_each_run(matrix, batches, [&](uint64_t address, uint64_t length, uint64_t, uint64_t) {
      memory_.mark_written(address, length);
    });
  }

  void mark(uint64_t address, uint64_t bytes) const { memory_.mark_written(address, bytes); }

  void spoil(uint64_t address, uint64_t bytes) const {
    std::memset(at(address), 0xFF, bytes);
    std::memset(memory_.state + (address - memory_.base), byte_unwritten, bytes);
  }

 private:
  template <class Run>
  void for_each_run(const Matrix& matrix, uint64_t batches, const Run& run) const {
    const uint64_t lines = matrix.row_major ? matrix.rows : matrix.columns;
    const uint64_t length = (matrix.row_major ? matrix.columns : matrix.rows) * bytes(matrix.type);
    for (uint64_t batch = 0; batch < batches; ++batch) {
      for (uint64_t line = 0; line < lines; ++line) {
        run(matrix.row_major ? matrix.address_of(batch, line, 0) : matrix.address_of(batch, 0, line), length,
            batch, line);
      }
    }
  }

  GlobalMemory& memory_;
};

/// A factor as one sees it from the sum: element (i, p) of op(A), or (j, p) of op(B)^T.
struct Operand {
  const Matrix& matrix;
  bool depth_is_row;  // p counts rows of the matrix
  bool round_to_tf32;
};

// Rows [first, first + count) of the operand, depths [from, from + depth): packed[tile][p][lane], zeros
// behind the last row.
void pack(const Operand& operand, const Access& access, uint64_t batch, uint64_t first, uint64_t count,
          uint64_t from, uint64_t depth, uint64_t width, std::vector<float>& packed) {
  const Matrix& matrix = operand.matrix;
  packed.assign((count + width - 1) / width * width * depth, 0.0f);
  const bool depth_is_line = operand.depth_is_row == matrix.row_major;  // lanes lie together in memory
  const uint64_t size = bytes(matrix.type);
  const uint64_t step_lane = size * (depth_is_line ? 1 : static_cast<uint64_t>(matrix.leading));
  const uint64_t step_depth = size * (depth_is_line ? static_cast<uint64_t>(matrix.leading) : 1);
  const std::byte* const start = access.at(operand.depth_is_row ? matrix.address_of(batch, from, first)
                                                                : matrix.address_of(batch, first, from));
  for (uint64_t i = 0; i < count; ++i) {
    float* const lane = packed.data() + i / width * width * depth + i % width;
    const std::byte* const row = start + i * step_lane;
    for (uint64_t p = 0; p < depth; ++p) {
      const float value = load(row + p * step_depth, matrix.type);
      lane[p * width] = operand.round_to_tf32 ? to_tf32(value) : value;
    }
  }
}

// sums(16 x 4) += a(depth x 16)^T b(depth x 4)
void multiply_tile(const float* a, const float* b, uint64_t depth, float* sums) {
  Lanes total[kTileColumns][2] = {};
  for (uint64_t p = 0; p < depth; ++p) {
    Lanes low, high;
    std::memcpy(&low, a + p * kTileRows, sizeof low);
    std::memcpy(&high, a + p * kTileRows + 8, sizeof high);
    for (uint64_t j = 0; j < kTileColumns; ++j) {
      const float factor = b[p * kTileColumns + j];
      total[j][0] += low * factor;
      total[j][1] += high * factor;
    }
  }
  for (uint64_t j = 0; j < kTileColumns; ++j) {
    for (uint64_t i = 0; i < kTileRows; ++i) sums[j * kTileRows + i] += total[j][i / 8][i % 8];
  }
}

/// Sums of one block of D, [column tile][row tile][column][row].
struct Block {
  uint64_t first_row, rows, first_column, columns;
  std::vector<float> sums;
  uint64_t row_tiles() const { return (rows + kTileRows - 1) / kTileRows; }
  uint64_t column_tiles() const { return (columns + kTileColumns - 1) / kTileColumns; }
  float* tile(uint64_t row_tile, uint64_t column_tile) {
    return sums.data() + (column_tile * row_tiles() + row_tile) * kTileRows * kTileColumns;
  }
  float sum(uint64_t row, uint64_t column) {
    return tile(row / kTileRows, column / kTileColumns)[column % kTileColumns * kTileRows + row % kTileRows];
  }
};

class Calculation {
 public:
  Calculation(const Product& product, const Access& access)
      : product_(product),
        access_(access),
        a_{product.a, product.transpose_a, product.round_to_tf32},
        b_{product.b, !product.transpose_b, product.round_to_tf32} {}

  void run() {
    alpha_ = factor(product_.alpha, "alpha");
    beta_ = factor(product_.beta, "beta");
    judge();
    for (uint64_t batch = 0; batch < product_.batches; ++batch) {
      if (product_.epilogue == Epilogue::bias_gradient_a) reduce(a_, batch, product_.m());
      if (product_.epilogue == Epilogue::bias_gradient_b) reduce(b_, batch, product_.n());
      for (uint64_t column = 0; column < product_.n(); column += kBlockColumns) {
        for (uint64_t row = 0; row < product_.m(); row += kBlockRows) {
          Block block{row,
                      std::min(kBlockRows, product_.m() - row),
                      column,
                      std::min(kBlockColumns, product_.n() - column),
                      {}};
          multiply(batch, block);
          finish(batch, block);
        }
      }
    }
    access_.mark(product_.d, product_.batches);
  }

 private:
  float factor(const Factor& from, const char* name) const {
    if (from.address == 0) return from.value;
    access_.judge(name, from.address, sizeof(float), true);
    return load(access_.at(from.address), ElementType::f32);
  }

  uint64_t vector_length() const {
    return product_.epilogue == Epilogue::bias_gradient_b ? product_.n() : product_.m();
  }
  uint64_t vector_address(uint64_t batch, uint64_t i) const {
    return product_.vector.address +
           (batch * static_cast<uint64_t>(product_.vector.batch_stride) + i) * bytes(product_.vector.type);
  }

  void judge() const {
    if (alpha_ != 0 || product_.epilogue == Epilogue::bias_gradient_a)
      access_.judge(product_.a, product_.batches, true);
    if (alpha_ != 0 || product_.epilogue == Epilogue::bias_gradient_b)
      access_.judge(product_.b, product_.batches, true);
    if (beta_ != 0) access_.judge(product_.c, product_.batches, true);
    access_.judge(product_.d, product_.batches, false);
    if (product_.epilogue != Epilogue::none) {
      for (uint64_t batch = 0; batch < product_.batches; ++batch) {
        access_.judge("the bias vector", vector_address(batch, 0),
                      vector_length() * bytes(product_.vector.type), product_.epilogue == Epilogue::bias);
      }
    }
    if (product_.workspace_bytes > 0) {
      access_.judge("the workspace", product_.workspace, product_.workspace_bytes, false);
      access_.spoil(product_.workspace, product_.workspace_bytes);
    }
  }

  // vector(i) = sum over p of operand(i, p)
  void reduce(const Operand& operand, uint64_t batch, uint64_t length) {
    for (uint64_t i = 0; i < length; ++i) {
      float sum = 0;
      for (uint64_t p = 0; p < product_.k(); ++p) {
        const uint64_t address = operand.depth_is_row ? operand.matrix.address_of(batch, p, i)
                                                      : operand.matrix.address_of(batch, i, p);
        sum += load(access_.at(address), operand.matrix.type);
      }
      store(access_.at(vector_address(batch, i)), product_.vector.type, sum);
    }
    access_.mark(vector_address(batch, 0), length * bytes(product_.vector.type));
  }

  void multiply(uint64_t batch, Block& block) {
    block.sums.assign(block.row_tiles() * block.column_tiles() * kTileRows * kTileColumns, 0.0f);
    if (alpha_ == 0) return;
    for (uint64_t from = 0; from < product_.k(); from += kBlockDepth) {
      const uint64_t depth = std::min(kBlockDepth, product_.k() - from);
      pack(a_, access_, batch, block.first_row, block.rows, from, depth, kTileRows, packed_a_);
      pack(b_, access_, batch, block.first_column, block.columns, from, depth, kTileColumns, packed_b_);
      for (uint64_t j = 0; j < block.column_tiles(); ++j) {
        for (uint64_t i = 0; i < block.row_tiles(); ++i) {
          multiply_tile(packed_a_.data() + i * kTileRows * depth, packed_b_.data() + j * kTileColumns * depth,
                        depth, block.tile(i, j));
        }
      }
    }
  }

  void finish(uint64_t batch, Block& block) const {
    for (uint64_t j = 0; j < block.columns; ++j) {
      for (uint64_t i = 0; i < block.rows; ++i) {
        const uint64_t row = block.first_row + i, column = block.first_column + j;
        float value = alpha_ * block.sum(i, j);
        if (beta_ != 0)
          value += beta_ * load(access_.at(product_.c.address_of(batch, row, column)), product_.c.type);
        if (product_.epilogue == Epilogue::bias) {
          value += load(access_.at(vector_address(batch, row)), product_.vector.type);
        }
        store(access_.at(product_.d.address_of(batch, row, column)), product_.d.type, value);
      }
    }
  }

  const Product& product_;
  const Access& access_;
  Operand a_, b_;
  float alpha_ = 0, beta_ = 0;
  std::vector<float> packed_a_, packed_b_;
};

}  // namespace

const char* name(ElementType type) {
  switch (type) {
    case ElementType::f32:
      return "f32";
    case ElementType::bf16:
      return "bf16";
    case ElementType::f16:
      return "f16";
  }
  return "?";
}

uint64_t Matrix::address_of(uint64_t batch, uint64_t row, uint64_t column) const {
  const auto along = static_cast<uint64_t>(leading);
  const uint64_t element =
      batch * static_cast<uint64_t>(batch_stride) + (row_major ? row * along + column : column * along + row);
  return address + element * bytes(type);
}

void run_product(const Product& product, GlobalMemory& memory) {
  const Access access(memory);
  Calculation(product, access).run();
}

}  // namespace softgpu
