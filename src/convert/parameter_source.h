#pragma once

#include <functional>
#include <span>
#include <vector>

#include "core/view.h"
#include "model/parameters.h"

namespace fovea {

/// A model's parameters, one at a time, wherever they lie: a large model is never held as a whole.
struct ParameterSource {
  std::function<DType(ParameterId)> dtype;  ///< as it is stored
  /// Into contiguous memory of the parameter's size, converted to its dtype. Throws UserError (input).
  std::function<void(ParameterId, const View& to)> read;
  /// Its bytes in its stored dtype, where they lie in mapped memory just so; else empty. May be absent.
  std::function<std::span<const std::byte>(ParameterId)> mapped = {};

  /// The parameter in its stored dtype, shown to `take` and then let go: mapped memory is not kept resident.
  void show(ParameterId id, int64 elements,
            const std::function<void(std::span<const std::byte>)>& take) const;
};

/// Those of a flat range in the layout's order; both outlive the result.
ParameterSource source_of(const ParameterLayout& layout, std::span<const float> parameters);

/// All of them, flat in the layout's order (gaps as they are), in the dtype of `to`.
void read_all(const ParameterSource& source, const ParameterLayout& layout, const View& to);
std::vector<float> read_all(const ParameterSource& source, const ParameterLayout& layout);

/// `to` has as many elements as there are bytes of `dtype` elements at `from`; any alignment.
void convert_elements(const std::byte* from, DType dtype, const View& to);

}  // namespace fovea
