#include "kernels/attention/cudnn/band.h"

namespace fovea::cudnn {

bool Band::sees(int64 i, int64 j, int64 q_len, int64 kv_len) const {
  const int64 p = i + (diagonal == Diagonal::bottom_right ? kv_len - q_len : 0);
  return (!right || j <= p + *right) && (!left || j + *left > p);
}

BandSearch find_band(const SequenceMask& mask) {
  const int64 first = mask.q_start, last = mask.q_start + mask.q_len - 1;  // where queries stand
  if (mask.q_len <= 0 || mask.kv_len <= 0)
    return {std::nullopt, "cuDNN takes no attention without queries or without keys"};
  if (mask.keys_of(0).size() == 0 || mask.keys_of(mask.q_len - 1).size() == 0)
    return {std::nullopt, "some queries see no key at all, for which cuDNN promises no answer"};
  std::optional<int64> left, right;
  if (mask.left >= 0 && last - mask.left > 0) left = mask.left;
  const int64 reach = mask.causal ? 0 : mask.right;
  if (reach >= 0 && first + reach < mask.kv_len - 1) right = reach;

  const bool at_the_end = mask.q_start == mask.kv_len - mask.q_len && mask.q_start >= 0;
  const int64 base = at_the_end ? mask.q_start : 0;
  // j <= i + q_start + right,  j >= i + q_start - left,  and p = i + base
  const int64 shift = mask.q_start - base;
  if (right) *right += shift;
  if (left) *left += 1 - shift;
  if ((right && *right < 0) || (left && *left < 1))
    return {std::nullopt, "cuDNN's masks cannot hide a query's own key, which this q_start asks for"};
  // Alone on the diagonal from corner to corner both are one.
  const bool bottom = at_the_end && (left || right) && base != 0;
  return {Band{bottom ? Diagonal::bottom_right : Diagonal::top_left, left, right}, {}};
}

}  // namespace fovea::cudnn
