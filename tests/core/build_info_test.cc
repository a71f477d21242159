#include "core/build_info.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace fovea {
namespace {

TEST(BuildInfo, SaysVersionCommitCompilerAndFeatures) {
  const BuildInfo& info = build_info();
  EXPECT_TRUE(info.commit == "unknown" || info.commit.size() == 40) << info.commit;
  EXPECT_THAT(std::string(info.compiler), testing::MatchesRegex("(gcc|clang) [0-9]+[.].*"));
  bool onednn = false;
  for (const BuildInfo::Feature& feature : info.features) {
    onednn |= feature.name == "oneDNN" && !feature.version.empty();
    EXPECT_THAT(version_text(), testing::HasSubstr(std::string(feature.name)));
  }
  EXPECT_TRUE(onednn);
  EXPECT_THAT(version_text(), testing::StartsWith("fovea " + std::string(info.version) + "\n"));
  EXPECT_THAT(version_text(), testing::HasSubstr(std::string(info.compiler)));
}

}  // namespace
}  // namespace fovea
