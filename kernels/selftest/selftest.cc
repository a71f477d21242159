#include "kernels/selftest/selftest.h"

#include <optional>
#include <vector>

#include "kernels/attention/attention.h"
#include "kernels/selftest/attention.h"
#include "kernels/selftest/operations.h"

namespace fovea {
namespace {

/// The backend that this one is in all but attention.
std::optional<Backend> all_else_of(Backend backend) {
  if (backend == Backend::naive) return Backend::cpu;
  if (backend == Backend::cudnn) return Backend::cuda;
  return {};
}

Finding finding_of(const OperationCheck& c, Backend backend, int threads) {
  const check::Values values = check::draw(c.call);
  const check::Outcome expected = check::outcome_of(c.call, values, Backend::reference, threads),
                       once = check::outcome_of(c.call, values, backend, threads),
                       again = check::outcome_of(c.call, values, backend);
  Finding finding{.worst = {}, .trespass = once.trespass};
  for (size_t i = 0; i < c.call.operands.size(); ++i) {
    const check::Operand& operand = c.call.operands[i];
    if (operand.role == check::Role::in || operand.shape.empty()) continue;
    check::Deviation found = check::deviation(once.operands[i], expected.operands[i], c.tolerance);
    if (found.share > finding.worst.share) {
      found.text = operand.name + found.text;
      finding.worst = std::move(found);
    }
    finding.same_bits = finding.same_bits && once.operands[i].bits() == again.operands[i].bits();
  }
  return finding;
}

void check_operations(Backend backend, int threads, const std::function<void(const Row&)>& done) {
  std::optional<Row> row;
  for (const OperationCheck& c : operation_checks(backend)) {
    if (row && !row->is_of(c.operation, c.pass, c.dtype)) {
      done(*row);
      row.reset();
    }
    if (!row) row.emplace(c.operation, c.pass, c.dtype);
    row->add(c.name, finding_of(c, backend, threads));
  }
  done(*row);
}

}  // namespace

ExitCode selftest(const std::string& name, int threads) {
  std::vector<Backend> backends = {Backend::cpu, Backend::naive};
  if (name != "auto")
    backends = {backend_named(name)};
  else if (find_device().device)
    backends.push_back(Backend::cuda);
  if (device_of(backends.back()) == Device::cuda) require_device();
  int64 failures = 0, checks = 0;
  const auto done = [&](const Row& row) {
    row.print();
    checks += row.cases();
    failures += row.failed();
  };
  for (const Backend backend : backends) {
    const std::optional<Backend> all_else = all_else_of(backend);
    fmt::print("{}: {}{}\n", name_of(backend), attention_backend(backend).description(),
               all_else ? fmt::format("; all but attention is that of {}", name_of(*all_else)) : "");
    Row::print_head();
    check_attention(backend, threads, done);
    if (!all_else) check_operations(backend, threads, done);
  }
  fmt::print("{} checks, {} failed\n", checks, failures);
  return failures == 0 ? ExitCode::done : ExitCode::failed;
}

}  // namespace fovea
