#include "config/bytes.h"

#include <gtest/gtest.h>

namespace fovea {
namespace {

TEST(Bytes, AreReadWithTheirUnit) {
  EXPECT_EQ(bytes_from_text("512 MiB"), int64{512} << 20);
  EXPECT_EQ(bytes_from_text("512MiB"), int64{512} << 20);
  EXPECT_EQ(bytes_from_text("1.5 GiB"), int64{3} << 29);
  EXPECT_EQ(bytes_from_text("0.5 KiB"), 512);
  EXPECT_EQ(bytes_from_text("4097 B"), 4097);
  EXPECT_EQ(bytes_from_text("1.9 B"), 1);
}

TEST(Bytes, AreNotGuessed) {
  for (const char* wrong :
       {"", "512", "MiB", " 512 MiB", "512  MiB", "512 MiB ", "512 MB", "512 mib", "-1 MiB", "0 MiB", "0.5 B",
        "1e3 MiB", "nan MiB", "inf GiB", "1,5 GiB", "0x10 B", "1073741825 GiB", "512 TiB", "512 MiBB"})
    EXPECT_FALSE(bytes_from_text(wrong)) << wrong;
}

}  // namespace
}  // namespace fovea
