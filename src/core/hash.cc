#include "core/hash.h"

#include <fmt/format.h>
#include <xxhash.h>

namespace fovea {

uint64 hash64(std::span<const std::byte> data) { return XXH3_64bits(data.data(), data.size()); }

std::string hash128(std::span<const std::byte> data) {
  const XXH128_hash_t hash = XXH3_128bits(data.data(), data.size());
  return fmt::format("{:016x}{:016x}", hash.high64, hash.low64);
}

std::string hash128(std::string_view text) {
  return hash128(std::as_bytes(std::span(text.data(), text.size())));
}

}  // namespace fovea
