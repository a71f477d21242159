#include "record/run_record.h"

#include <algorithm>
#include <array>
#include <utility>

#include "core/error.h"

namespace fovea {
namespace {

constexpr std::array kStates = {std::pair{RunState::waiting, std::string_view("waiting")},
                                std::pair{RunState::running, std::string_view("running")},
                                std::pair{RunState::done, std::string_view("done")},
                                std::pair{RunState::failed, std::string_view("failed")},
                                std::pair{RunState::interrupted, std::string_view("interrupted")}};

constexpr std::array kRoles = {std::pair{RunRole::train, std::string_view("train")},
                               std::pair{RunRole::baseline, std::string_view("baseline")},
                               std::pair{RunRole::converted, std::string_view("converted")},
                               std::pair{RunRole::uptrained, std::string_view("uptrained")},
                               std::pair{RunRole::control_mha, std::string_view("control_mha")},
                               std::pair{RunRole::control_scratch, std::string_view("control_scratch")}};

template <class Table, class E>
std::string_view look_up(const Table& table, E value) {
  for (const auto& [key, name] : table)
    if (key == value) return name;
  FOVEA_CHECK(false, "{} has no name", static_cast<int>(value));
  return {};
}

template <class Table>
auto look_up(const Table& table, std::string_view wanted, const char* what, const std::string& where) {
  std::string known;
  for (const auto& [key, name] : table) {
    if (name == wanted) return key;
    known += known.empty() ? "" : ", ";
    known += name;
  }
  fail_input("{}: \"{}\" is no {} of a run (known: {})", where, wanted, what, known);
}

}  // namespace

std::string_view name_of(RunState state) { return look_up(kStates, state); }
std::string_view name_of(RunRole role) { return look_up(kRoles, role); }

RunState run_state_named(std::string_view name, const std::string& where) {
  return look_up(kStates, name, "state", where);
}
RunRole run_role_named(std::string_view name, const std::string& where) {
  return look_up(kRoles, name, "role", where);
}

const Evaluation& final_evaluation(const RunRecord& record) {
  if (record.evaluations.empty()) fail_input("run {}: it has no evaluation", record.name);
  return record.evaluations.back();
}

double StepProfile::least_seconds(const OperationCost& operation) const {
  const double flops = operation.dtype == "bf16" ? bf16_flops : f32_flops;
  return std::max(flops > 0 ? operation.flops / flops : 0,
                  read_bandwidth > 0 ? operation.bytes / read_bandwidth : 0);
}

}  // namespace fovea
