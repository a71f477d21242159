#pragma once

// An operation as a list of operands and a call that runs on any backend: what the tests and `fovea selftest`
// hold to the fp64 reference. kernels/NAME/case.h makes those of each operation.

#include <functional>
#include <string>
#include <vector>

#include "core/stream.h"
#include "kernels/check/tensor.h"

namespace fovea::check {

/// in: read, must stay as it is; out: starts as poison; inout: starts with values.
enum class Role { in, out, inout };

/// One operand of a case. Its values are a function of the seed and its place in the list, standard normal
/// unless `value` says otherwise; an empty shape is an absent operand.
struct Operand {
  std::string name;
  DType dtype = DType::f32;
  std::vector<int64> shape;
  Role role = Role::in;
  std::function<double(int64 element)> value = nullptr;
  Layout layout = {};
};

/// The shape of an operand that is there or not.
inline std::vector<int64> shape_if(bool there, std::vector<int64> shape) {
  return there ? shape : std::vector<int64>{};
}

/// One call: `call` gets the operands' views in their order.
struct Case {
  std::vector<Operand> operands;
  std::function<void(Stream&, const std::vector<View>&)> call;
  uint64 seed = 1;
};

/// What the operands of a case begin with, rounded to their dtypes; of an output or an absent operand
/// nothing.
using Values = std::vector<std::vector<double>>;
Values draw(const Case& c);

/// The operands of a case; on the reference backend in f64, densely laid out.
std::vector<Tensor> make_operands(const Case& c, Backend backend, const Values& values);
inline std::vector<Tensor> make_operands(const Case& c, Backend backend) {
  return make_operands(c, backend, draw(c));
}
std::vector<View> views_of(const std::vector<Tensor>& tensors);

/// Calls the case with these operands and waits, by way of copies where the stream is a device's.
void call_on(Stream& stream, const Case& c, const std::vector<Tensor>& tensors);

/// All operands of a case as a call leaves them.
struct Outcome {
  std::vector<Tensor> operands;
  std::string trespass;  ///< what was written to that must stay as it is, a line each; or empty
};
/// Runs the case with poisoned outputs, gaps and scratch.
Outcome outcome_of(const Case& c, const Values& values, Backend backend, int threads = 1,
                   Stream::Mode mode = Stream::Mode::immediate);

/// Why the backend does not do this call, or nothing. It is asked by planning memory, without a device.
std::string why_not(const Case& c, Backend backend);

}  // namespace fovea::check
