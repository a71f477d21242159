#include "kernels/selftest/table.h"

#include <algorithm>
#include <cstdio>

#include "core/terminal.h"

namespace fovea {

void Row::add(const std::string& name, const Finding& finding) {
  ++cases_;
  worst_ = std::max(worst_, finding.worst.share);
  same_bits_ = same_bits_ && finding.same_bits;
  const size_t before = wrong_.size();
  if (!finding.worst.allowed()) wrong_.push_back(fmt::format("{}: {}", name, finding.worst.text));
  if (!finding.same_bits) wrong_.push_back(fmt::format("{}: called again it gave other bits", name));
  if (!finding.trespass.empty()) wrong_.push_back(fmt::format("{}: {}", name, finding.trespass));
  failed_ += wrong_.size() > before;
}

void Row::print_head() {
  fmt::print("  {:<21} {:<8} {:<5} {:>5}  {:>13}  {:<5}\n", "operation", "pass", "dtype", "cases",
             "error/allowed", "bits");
}

void Row::print() const {
  if (cases_ > 0)
    fmt::print("  {:<21} {:<8} {:<5} {:>5}  {:>13.3f}  {:<5}  {}\n", operation_, pass_, name_of(dtype_),
               cases_, worst_, same_bits_ ? "same" : "other",
               failed_ == 0 ? styled("32", "ok") : styled("31", "WRONG"));
  for (const std::string& line : wrong_) fmt::print("    {}\n", line);
  for (const auto& [why_not, cases] : left_out_)
    fmt::print("  {:<21} {:<8} {:<5} {:>5}  not done: {}\n", operation_, pass_, name_of(dtype_), cases,
               why_not);
  std::fflush(stdout);  // a kernel that aborts leaves what is known so far
}

}  // namespace fovea
