#include "kernels/attention/cuda/prepare.h"

#include <cuda_runtime_api.h>

#include <algorithm>

#include "core/cuda/check.h"

namespace fovea::cuda {
namespace {

// Wider than any sequence, so that sums with positions stay far from overflow.
constexpr int64 kWidest = int64{1} << 48;

int64 reach(int64 offset) { return offset < 0 ? kWidest : std::min(offset, kWidest); }

}  // namespace

DeviceProblem device_problem(const AttentionProblem& p) {
  DeviceProblem d{};
  d.batch = static_cast<int>(p.batch);
  d.q_len = static_cast<int>(p.q_len);
  d.kv_len = static_cast<int>(p.kv_len);
  d.q_heads = static_cast<int>(p.q_heads);
  d.kv_heads = static_cast<int>(p.kv_heads);
  d.group = static_cast<int>(p.group());
  d.by_group = Divisor(d.group);
  d.qk_dim = static_cast<int>(p.qk_dim);
  d.v_dim = static_cast<int>(p.v_dim);
  d.scale = p.scale;
  d.softcap = p.softcap;
  d.q_start = p.first_position();
  d.left = reach(p.mask.left);
  d.right = p.mask.causal ? 0 : reach(p.mask.right);
  return d;
}

DeviceTensor device_tensor(const View& x) {
  return x ? DeviceTensor{x.data(), x.stride(0), x.stride(1), x.stride(2)} : DeviceTensor{};
}

DeviceTensor device_statistics(const View& x) { return {x.data(), x.stride(0), 1, x.stride(1)}; }

bool rows_of_16_bytes(const View& x) {
  const auto whole = [](int64 elements) { return elements % 8 == 0; };
  return size_of(x.dtype()) == 2 && reinterpret_cast<uintptr_t>(x.data()) % 16 == 0 && whole(x.size(3)) &&
         (x.size(0) == 1 || whole(x.stride(0))) && (x.size(1) == 1 || whole(x.stride(1))) &&
         (x.size(2) == 1 || whole(x.stride(2)));
}

DocumentTables::DocumentTables(const AttentionProblem& problem, Side side, int64 rows, int64 packed) {
  const DocumentBounds* bounds = problem.mask.documents.get();
  if (!bounds) return;
  documents_ = bounds->count();
  for (const int64 row : bounds->q) values_.push_back(static_cast<int>(row));
  for (const int64 row : bounds->k) values_.push_back(static_cast<int>(row));
  const std::vector<int64>& cut = side == Side::queries ? bounds->q : bounds->k;
  for (int64 n = 0; n < documents_; ++n) {
    const int64 length = packed * (cut[static_cast<size_t>(n) + 1] - cut[static_cast<size_t>(n)]);
    for (int64 row = 0; row < length; row += rows, ++tiles_) {
      values_.push_back(static_cast<int>(n));
      values_.push_back(static_cast<int>(row));
    }
  }
}

const TileStart* DocumentTables::upload(void* stream, int* to, DeviceProblem& problem) const {
  if (documents_ == 0) return nullptr;
  // From pageable memory: the driver has its own copy before this returns.
  check(cudaMemcpyAsync(to, values_.data(), values_.size() * sizeof(int), cudaMemcpyHostToDevice,
                        static_cast<cudaStream_t>(stream)),
        "cudaMemcpyAsync (bounds of documents)");
  problem.documents = static_cast<int>(documents_);
  problem.q_bounds = to;
  problem.k_bounds = to + documents_ + 1;
  // Two ints each: 2 (documents + 1) before them keep the pairs aligned.
  return reinterpret_cast<const TileStart*>(to + 2 * (documents_ + 1));
}

}  // namespace fovea::cuda
