#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/check/case.h"
#include "kernels/check/deviation.h"

namespace fovea {

/// What two calls of one case came to.
struct Finding {
  check::Deviation worst;
  bool same_bits = true;
  std::string trespass;  ///< what was written to that must stay as it is
};

/// What the cases of an operation, pass and dtype came to: a line of the table.
class Row {
 public:
  Row(std::string_view operation, std::string_view pass, DType dtype)
      : operation_(operation), pass_(pass), dtype_(dtype) {}
  bool is_of(std::string_view operation, std::string_view pass, DType dtype) const {
    return operation_ == operation && pass_ == pass && dtype_ == dtype;
  }
  void add(const std::string& name, const Finding& finding);
  void leave_out(const std::string& why_not) { ++left_out_[why_not]; }
  int64 cases() const { return cases_; }
  int64 failed() const { return failed_; }
  /// With a line below for whatever is wrong, and for what the backend does not do.
  void print() const;
  static void print_head();

 private:
  std::string_view operation_, pass_;
  DType dtype_;
  int64 cases_ = 0, failed_ = 0;
  double worst_ = 0;
  bool same_bits_ = true;
  std::vector<std::string> wrong_;
  std::map<std::string, int64> left_out_;  // cases by the reason
};

}  // namespace fovea
