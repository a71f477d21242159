#include "kernels/bench/row_case.h"

#include <algorithm>
#include <array>
#include <utility>

#include "kernels/bench/name_reader.h"

namespace fovea {
namespace {

constexpr std::array<std::pair<std::string_view, RowOperation>, 6> kOperations{
    {{"layer_norm", RowOperation::layer_norm},
     {"layer_norm_backward", RowOperation::layer_norm_backward},
     {"rms_norm", RowOperation::rms_norm},
     {"rms_norm_backward", RowOperation::rms_norm_backward},
     {"sum_rows", RowOperation::sum_rows},
     {"adamw", RowOperation::adamw}}};

const auto* find_operation(std::string_view name) {
  const auto* found = std::find_if(kOperations.begin(), kOperations.end(),
                                   [name](const auto& operation) { return operation.first == name; });
  return found == kOperations.end() ? nullptr : found;
}

}  // namespace

bool names_rows(std::string_view name) { return find_operation(name.substr(0, name.find('/'))) != nullptr; }

TimedRows timed_rows_named(std::string_view name) {
  NameReader reader(name, "layer_norm_backward/cuda/f32/n16384_c768");
  TimedRows rows{.name = std::string(name)};
  const std::string_view operation = reader.word(), backend = reader.word(), dtype = reader.word();
  const auto* found = find_operation(operation);
  if (!found) reader.refuse(fmt::format("\"{}\" is no operation that is timed", operation));
  rows.operation = found->second;
  if (backend != "cpu" && backend != "cuda")
    reader.refuse(fmt::format("\"{}\" is no backend that is timed: cpu or cuda", backend));
  rows.backend = backend == "cpu" ? Backend::cpu : Backend::cuda;
  if (dtype != "f32" && dtype != "bf16")
    reader.refuse(fmt::format("\"{}\" is no dtype that is timed: f32 or bf16", dtype));
  rows.dtype = dtype == "f32" ? DType::f32 : DType::bf16;
  rows.N = reader.number("n");
  rows.C = reader.number("_c");
  reader.end("the shape");
  return rows;
}

}  // namespace fovea
