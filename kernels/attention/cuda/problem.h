#pragma once

#include "kernels/cuda/divisor.h"

// An attention call as kernels see it: plain values, with the mask of mask.h. Products with strides are 64
// bit; rows and keys of a sequence, and rows times the heads of a group, fit 31 bits.

namespace fovea::cuda {

/// (B, S, H, D), or statistics (B, H, S) without D; strides in elements.
struct DeviceTensor {
  void* data = nullptr;
  int64 batch = 0, row = 0, head = 0;

  explicit FOVEA_HOST_DEVICE operator bool() const { return data != nullptr; }
  template <class T>
  FOVEA_HOST_DEVICE T* at(int64 b, int64 i, int64 h) const {
    return static_cast<T*>(data) + (b * batch + i * row + h * head);
  }
};

/// The half-open range [begin, end) of a sequence's keys or queries.
struct Interval {
  int begin = 0, end = 0;
  FOVEA_HOST_DEVICE bool empty() const { return end <= begin; }
};

/// One sequence: a batch row, or a document of the only one. Query i stands at key i + q_start and sees keys
/// [i + q_start - left, i + q_start + right], both clamped to the sequence.
struct DeviceSequence {
  int batch, q_first, q_len, k_first, k_len;
  int64 q_start, left, right;

  static FOVEA_HOST_DEVICE int clamp(int64 x, int most) {
    return static_cast<int>(x < 0 ? 0 : x > most ? most : x);
  }
  /// The keys that query i sees. Both ends climb with i, so that queries [i, j] together see from
  /// keys_of(i).begin to keys_of(j).end, and all of them from keys_of(j).begin to keys_of(i).end.
  FOVEA_HOST_DEVICE Interval keys_of(int i) const {
    const int64 at = i + q_start;
    const int begin = clamp(at - left, k_len), end = clamp(at + right + 1, k_len);
    return {begin, end < begin ? begin : end};
  }
  /// The queries that see at least one of these keys.
  FOVEA_HOST_DEVICE Interval queries_of(Interval keys) const {
    if (keys.empty()) return {};
    const int begin = clamp(keys.begin - right - q_start, q_len);
    const int end = clamp(keys.end + left - q_start, q_len);
    return {begin, end < begin ? begin : end};
  }
  /// The queries that see all of these keys; none where some are beyond the sequence.
  FOVEA_HOST_DEVICE Interval queries_of_all(Interval keys) const {
    if (keys.end > k_len) return {};
    const int begin = clamp(keys.end - 1 - right - q_start, q_len);
    const int end = clamp(keys.begin + left + 1 - q_start, q_len);
    return {begin, end < begin ? begin : end};
  }
};

/// What a mask shows of a tile of queries x keys.
enum class Tile { empty, partial, full };

/// Of queries [first, last], both within the sequence.
FOVEA_HOST_DEVICE inline Tile tile_class(const DeviceSequence& sequence, int first, int last, Interval keys) {
  const Interval top = sequence.keys_of(first), bottom = sequence.keys_of(last);
  if (keys.empty() || bottom.end <= keys.begin || top.begin >= keys.end || bottom.end <= top.begin)
    return Tile::empty;
  return bottom.begin <= keys.begin && top.end >= keys.end ? Tile::full : Tile::partial;
}

/// Where a tile of a packed document starts: in which document, and at which of its rows.
struct TileStart {
  int sequence, row;
};

struct DeviceProblem {
  int batch, q_len, kv_len, q_heads, kv_heads, group, qk_dim, v_dim;
  Divisor by_group;
  float scale, softcap;
  int64 q_start, left, right;  ///< how far a query sees; more than any sequence where there is no bound
  int documents = 0;           ///< 0: every batch row is one sequence
  const int *q_bounds = nullptr, *k_bounds = nullptr;  ///< on the device, documents + 1 each

  FOVEA_HOST_DEVICE int sequences() const { return documents > 0 ? documents : batch; }
  FOVEA_HOST_DEVICE DeviceSequence sequence(int n) const {
    if (documents == 0) return {n, 0, q_len, 0, kv_len, q_start, left, right};
    const int q = q_bounds[n], k = k_bounds[n];
    const int q_rows = q_bounds[n + 1] - q, k_rows = k_bounds[n + 1] - k;
    return {0, q, q_rows, k, k_rows, int64{k_rows} - q_rows, left, right};
  }
};

}  // namespace fovea::cuda
