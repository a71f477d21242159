#pragma once

#include <algorithm>

#include "core/host_copy.h"
#include "core/random.h"

namespace fovea {

/// Normal numbers, repeated after some ten thousand: drawing more takes longer than what is timed.
inline void fill_normal(const Buffer& buffer, uint32 stream) {
  constexpr int64 kDrawn = int64{1} << 16;
  const HostCopy host(buffer, HostCopy::Fetch::never);
  const View& view = host.view();
  const int64 n = view.elements(), drawn = std::min(n, kDrawn);
  const View flat = view.reshape({n});
  const RandomSequence random{1, RandomUse::synthetic, stream};
  for (int64 i = 0; i < drawn; ++i) store(flat, {i}, random.normal(static_cast<uint64>(i)));
  auto* bytes = static_cast<std::byte*>(view.data());
  const int64 period = drawn * size_of(view.dtype());
  for (int64 at = period; at < view.bytes(); at += period)
    std::copy_n(bytes, std::min(period, view.bytes() - at), bytes + at);
  host.store();
}

}  // namespace fovea
