// One forward and backward pass in bf16 on the device, 2 query heads on one of keys and values. What softgpu
// counts of it, traffic_test.py judges and tests/gpu/kernel_table writes down.
//
//   attention_pass QK_DIM V_DIM QUERIES KEYS full|causal
#include <cstdlib>
#include <string_view>

#include "core/error.h"
#include "kernels/attention/case.h"

int main(int argc, char** argv) {
  using namespace fovea;
  FOVEA_CHECK(argc == 6, "attention_pass QK_DIM V_DIM QUERIES KEYS full|causal");
  const Mask mask = std::string_view(argv[5]) == "causal" ? causal_mask() : Mask{};
  AttentionProblem problem =
      check::attention_problem(std::atoi(argv[3]), std::atoi(argv[4]), 2, 1, std::atoi(argv[1]), mask);
  problem.v_dim = std::atoi(argv[2]);
  const check::Case call = check::attention_call({.name = "pass", .problem = problem}, DType::bf16);
  return check::outcome_of(call, check::draw(call), Backend::cuda).trespass.empty() ? 0 : 1;
}
