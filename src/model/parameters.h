#pragma once

#include <string>
#include <vector>

#include "core/buffer.h"
#include "core/ranges.h"
#include "core/stream.h"
#include "core/types.h"

namespace fovea {

using ParameterId = int64;
constexpr ParameterId kNoParameter = -1;

/// How a parameter is drawn: normal(0, std) for matrices, a constant for vectors.
struct ParameterInit {
  double std = 0;
  double constant = 0;
};

struct Parameter {
  std::string name;             ///< "blocks.0.attention.q.weight"
  int64 rows = 1, columns = 0;  ///< a matrix (out, in), or a vector (1, n)
  bool vector = false;
  bool decay = false;  ///< weight decay: matrices only
  /// Each backward has one product that gives this gradient whole; to others several parts are added.
  bool whole_gradient = false;
  ParameterInit init;
  int64 offset = 0;  ///< in elements of the flat range
  int64 elements() const { return rows * columns; }
};

/// The one order of all parameters, shared by master weights, compute weights, gradients and moments: flat
/// ranges whose parts begin at 64-byte bounds. A tied tensor is one range with two users. Gaps between parts
/// are zero and stay so.
class ParameterLayout {
 public:
  ParameterId add_matrix(std::string name, int64 rows, int64 columns, double std,
                         bool whole_gradient = false);
  ParameterId add_vector(std::string name, int64 n, double constant);

  const std::vector<Parameter>& parameters() const { return parameters_; }
  const Parameter& operator[](ParameterId id) const { return parameters_[static_cast<size_t>(id)]; }
  ParameterId find(std::string_view name) const;  ///< kNoParameter when there is none
  int64 elements() const { return elements_; }    ///< of the flat range, gaps included
  int64 count() const;                            ///< of parameters, without gaps
  /// Parameter `id` within a flat range: (rows, columns), or (n) for a vector.
  View view(const View& flat, ParameterId id) const;

 private:
  ParameterId add(Parameter parameter);
  std::vector<Parameter> parameters_;
  int64 elements_ = 0;
};

/// Those of the flat gradients that are sums of parts: zero they begin.
Ranges summed_gradients(const ParameterLayout& layout);

/// Draws every parameter of the flat range: normal(0, std) as a function of (seed, the parameter's name, the
/// element's index), so that a parameter keeps its values whatever else the model has; vectors are constants.
void initialise(const ParameterLayout& layout, const View& flat, uint64 seed);

/// The same by all threads of a stream; `layout` outlives the operation.
void initialise(Stream& stream, const ParameterLayout& layout, const View& flat, uint64 seed);

/// One parameter's draw, as above: for a conversion that draws some parameters anew.
void initialise(const Parameter& parameter, const View& view, uint64 seed);

}  // namespace fovea
