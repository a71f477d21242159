#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace fovea {

/// What this program was built from and with: the provenance of everything that it reports.
struct BuildInfo {
  struct Feature {
    std::string_view name;     ///< "oneDNN", "CUDA"
    std::string_view version;  ///< "2.6.3"; empty: this program is built without it
  };
  std::string_view version;   ///< of the project: "0.1.0"
  std::string_view commit;    ///< 40 hex digits, or "unknown" outside a git checkout
  bool dirty = false;         ///< the checkout had changes that are in no commit
  std::string_view compiler;  ///< "gcc 12.2.0"
  std::string_view build;     ///< "release"
  std::vector<Feature> features;
};
const BuildInfo& build_info();
/// Whether this program is built with the feature of this name.
bool built_with(std::string_view feature);

/// What `fovea --version` prints: several lines, no newline at the end.
std::string version_text();

}  // namespace fovea
