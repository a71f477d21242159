#include "kernels/bench/lines.h"

#include <fmt/format.h>

#include <algorithm>
#include <istream>
#include <map>
#include <memory>
#include <ostream>
#include <sstream>
#include <string>
#include <vector>

#include "core/error.h"
#include "kernels/bench/attention_work.h"
#include "kernels/bench/limits.h"
#include "kernels/bench/options.h"
#include "kernels/peak/peak.h"
#include "kernels/peak/product.h"

namespace fovea {
namespace {

class Answerer {
 public:
  explicit Answerer(int threads) : threads_(threads) {}

  std::string answer(const std::string& name, double budget) {
    if (name.starts_with("limit/"))
      return fmt::format(R"({{"name": "{}", "per_second": {:.6g}}})", name, measured_limit(name, threads_));
    if (!work_ || work_->what().name != name) {
      work_.reset();  // before the next one takes its memory
      work_ = std::make_unique<AttentionWork>(timed_attention_named(name), threads_);
      work_->run();
    }
    const std::vector<double> times = time(budget);
    const double median = times[times.size() / 2], limit = limit_of(work_->what().problem.dtype);
    std::string line = fmt::format(
        R"({{"name": "{}", "seconds": {:.9g}, "least_seconds": {:.9g}, "calls": {}, "flops_per_second": {:.6g}, )"
        R"("limit_flops_per_second": {:.6g}, "workspace_bytes": {})",
        name, median, times.front(), times.size(), work_->flops() / median, limit, work_->workspace_bytes());
    if (is_decoding(work_->what().problem))
      line += fmt::format(R"(, "bound_seconds": {:.9g})", work_->decoding_bound_seconds(limit));
    return line + "}";
  }

 private:
  /// At least three calls, or a second of fewer, in ascending order of their seconds.
  std::vector<double> time(double budget) {
    constexpr size_t kLeast = 3;
    // A device's calls in batches of about a millisecond, so that they follow each other without a gap.
    const bool on_device = device_of(work_->what().backend) == Device::cuda;
    const int calls = on_device ? std::clamp(static_cast<int>(1e-3 / work_->time(1)), 1, 100) : 1;
    std::vector<double> times;
    double spent = 0;
    while (spent < budget || (times.size() < kLeast && spent < 1)) {
      times.push_back(work_->time(calls));
      spent += times.back() * calls;
    }
    std::sort(times.begin(), times.end());
    return times;
  }
  double limit_of(DType dtype) {
    const Backend backend = work_->what().backend;
    double& limit = limits_[{device_of(backend), dtype}];
    if (limit == 0) limit = measured_peak_flops(backend, dtype, threads_);
    return limit;
  }

  int threads_;
  std::map<std::pair<Device, DType>, double> limits_;
  std::unique_ptr<AttentionWork> work_;
};

/// Quotes and backslashes of what somebody typed.
std::string escaped(const std::string& text) {
  std::string to;
  for (const char c : text) {
    if (c == '"' || c == '\\') to += '\\';
    if (static_cast<unsigned char>(c) >= ' ') to += c;
  }
  return to;
}

}  // namespace

void answer_lines(std::istream& in, std::ostream& out, int threads) {
  Answerer answerer(threads);
  for (std::string line; std::getline(in, line);) {
    std::istringstream words(line);
    std::string name;
    double budget = 0;
    words >> name >> budget;
    try {
      out << answerer.answer(name, budget) << std::endl;
    } catch (const UserError& error) {
      out << fmt::format(R"({{"name": "{}", "error": "{}"}})", escaped(name), escaped(error.what()))
          << std::endl;
    }
  }
}

}  // namespace fovea
