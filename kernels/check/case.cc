#include "kernels/check/case.h"

#include <functional>
#include <numeric>

#include "core/error.h"
#include "core/random.h"

namespace fovea::check {

Values draw(const Case& c) {
  Values values(c.operands.size());
  for (size_t i = 0; i < c.operands.size(); ++i) {
    const Operand& operand = c.operands[i];
    if (operand.shape.empty() || operand.role == Role::out) continue;
    Tensor rounded(operand.dtype, {1});
    const RandomSequence random{c.seed, RandomUse::synthetic, static_cast<uint32>(i)};
    const int64 n =
        std::accumulate(operand.shape.begin(), operand.shape.end(), int64{1}, std::multiplies<>());
    values[i].reserve(static_cast<size_t>(n));
    for (int64 e = 0; e < n; ++e) {
      rounded.set(0, operand.value ? operand.value(e) : random.normal(static_cast<uint64>(e)));
      values[i].push_back(rounded.get(0));
    }
  }
  return values;
}

std::vector<Tensor> make_operands(const Case& c, Backend backend, const Values& values) {
  std::vector<Tensor> tensors;
  for (size_t i = 0; i < c.operands.size(); ++i) {
    const Operand& operand = c.operands[i];
    if (operand.shape.empty()) {
      tensors.emplace_back();
      continue;
    }
    const bool wide = backend == Backend::reference && operand.dtype != DType::i32;
    Tensor& tensor = tensors.emplace_back(wide ? DType::f64 : operand.dtype, operand.shape,
                                          wide ? Layout{} : operand.layout);
    if (operand.role != Role::out) tensor.fill(values[i]);
  }
  return tensors;
}

std::vector<View> views_of(const std::vector<Tensor>& tensors) {
  std::vector<View> views;
  for (const Tensor& tensor : tensors) views.push_back(tensor.view());
  return views;
}

void call_on(Stream& stream, const Case& c, const std::vector<Tensor>& tensors) {
  if (stream.device() == Device::cpu) {
    c.call(stream, views_of(tensors));
    return stream.synchronize();
  }
  std::vector<Tensor::OnDevice> copies;
  std::vector<View> views;
  copies.reserve(tensors.size());
  for (const Tensor& tensor : tensors) views.push_back(copies.emplace_back(tensor).view());
  c.call(stream, views);
  stream.synchronize();
  for (const Tensor::OnDevice& copy : copies) copy.copy_back();
}

Outcome outcome_of(const Case& c, const Values& values, Backend backend, int threads, Stream::Mode mode) {
  Outcome outcome{make_operands(c, backend, values), {}};
  std::vector<std::vector<std::byte>> before;
  for (const Tensor& tensor : outcome.operands) before.push_back(tensor.bits());
  Stream stream(backend, threads, mode);
  stream.poison_scratch(true);
  call_on(stream, c, outcome.operands);
  for (size_t i = 0; i < c.operands.size(); ++i) {
    const Tensor& tensor = outcome.operands[i];
    if (c.operands[i].role == Role::in && tensor.bits() != before[i])
      outcome.trespass += c.operands[i].name + " was written to\n";
    if (!tensor.gaps_untouched())
      outcome.trespass += c.operands[i].name + ": written outside of its elements\n";
  }
  return outcome;
}

std::string why_not(const Case& c, Backend backend) {
  Case shapes = c;
  for (Operand& operand : shapes.operands) operand.role = Role::out;
  const std::vector<Tensor> operands = make_operands(shapes, Backend::naive, {});
  Stream planning(backend, 1, Stream::Mode::plan);
  try {
    c.call(planning, views_of(operands));
  } catch (const UserError& error) {
    if (error.code() != ExitCode::unavailable) throw;
    return error.what();
  }
  return {};
}

}  // namespace fovea::check
