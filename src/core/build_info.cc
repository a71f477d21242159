#include "core/build_info.h"

#include <fmt/format.h>

#include "core/build_commit.h"
#include "core/build_values.h"

namespace fovea {

const BuildInfo& build_info() {
  static const BuildInfo info = [] {
    BuildInfo made{FOVEA_VERSION, FOVEA_COMMIT, false, FOVEA_COMPILER, FOVEA_BUILD, {FOVEA_FEATURES}};
    constexpr std::string_view kDirty = "-dirty";
    if (made.commit.ends_with(kDirty)) {
      made.commit.remove_suffix(kDirty.size());
      made.dirty = true;
    }
    return made;
  }();
  return info;
}

bool built_with(std::string_view feature) {
  for (const BuildInfo::Feature& one : build_info().features)
    if (one.name == feature) return !one.version.empty();
  return false;
}

std::string version_text() {
  const BuildInfo& info = build_info();
  std::string found, absent;
  for (const BuildInfo::Feature& feature : info.features) {
    std::string& list = feature.version.empty() ? absent : found;
    if (!list.empty()) list += ", ";
    list += feature.name;
    if (!feature.version.empty()) list += fmt::format(" {}", feature.version);
  }
  return fmt::format("fovea {}\ncommit    {}{}\ncompiler  {}, {}\nfeatures  {}\nwithout   {}", info.version,
                     info.commit, info.dirty ? ", with changes" : "", info.compiler, info.build, found,
                     absent.empty() ? "nothing" : absent);
}

}  // namespace fovea
