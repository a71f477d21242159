#include "data/shard.h"

#include <cstring>

#include "core/hash.h"
#include "target.h"

using namespace fovea;  // NOLINT(google-build-using-namespace)

// Checksums keep mutations from everything behind them: here they are made right.
int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  constexpr size_t kHeader = 64, kPayloadSum = 48, kHeaderSum = 56;
  std::string bytes(fuzz::text_of(data, size));
  if (bytes.size() >= kHeader && bytes.back() != 'x') {  // an x at the end leaves them as they are
    const auto all = std::as_bytes(std::span(bytes));
    const uint64 payload = hash64(all.subspan(kHeader));
    std::memcpy(bytes.data() + kPayloadSum, &payload, sizeof(payload));
    const uint64 header = hash64(all.first(kHeaderSum));
    std::memcpy(bytes.data() + kHeaderSum, &header, sizeof(header));
  }
  const std::filesystem::path file = fuzz::folder().write("x.shard", bytes);
  fuzz::may_refuse([&] {
    const Shard shard(file);
    std::vector<int32> values(static_cast<size_t>(shard.tokens()));
    shard.read(0, shard.tokens(), values.data());
    for (const int32 value : values) FOVEA_CHECK(0 <= value && value < shard.vocabulary(), "token {}", value);
  });
  return 0;
}
