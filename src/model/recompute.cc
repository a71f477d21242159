#include "model/recompute.h"

#include <charconv>

#include "core/error.h"

namespace fovea {

RecomputePolicy recompute_policy_named(std::string_view name) {
  constexpr std::string_view kEvery = "every ";
  if (name == "none") return {};
  if (name == "block") return {1};
  if (name.starts_with(kEvery)) {
    const std::string_view digits = name.substr(kEvery.size());
    RecomputePolicy policy;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), policy.every);
    if (error == std::errc() && end == digits.data() + digits.size() && policy.every > 0) return policy;
  }
  fail_usage("train.recompute is \"{}\": choose none, block, or every k-th block as \"every 2\"", name);
}

}  // namespace fovea
