#include "convert/head_layout.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "core/buffer.h"

namespace fovea {
namespace {

bool is_query_or_key(std::string_view name) {
  for (const std::string_view part :
       {".attention.q.", ".attention.k.", ".attention.q_norm.", ".attention.k_norm."})
    if (name.find(part) != name.npos) return true;
  return false;
}

}  // namespace

ParameterSource repeat_kv_heads(const ParameterLayout& source, ParameterSource parameters,
                                const ParameterLayout& target, int64 head_dim) {
  const auto counterpart = [&source, &target](ParameterId id) { return source.find(target[id].name); };
  const auto read = [=, &source, &target](ParameterId id, const View& to) {
    const Parameter &have = source[counterpart(id)], &want = target[id];
    if (have.elements() == want.elements()) return parameters.read(counterpart(id), to);
    const Buffer heads(to.dtype(), {have.elements()});
    parameters.read(counterpart(id), heads);
    const int64 bytes = head_dim * (have.vector ? 1 : have.columns) * size_of(to.dtype());
    const int64 copies = want.elements() / have.elements();
    auto* out = static_cast<std::byte*>(to.data());
    for (int64 head = 0; head * bytes < heads.view().bytes(); ++head)
      for (int64 copy = 0; copy < copies; ++copy, out += bytes)
        std::copy_n(heads.data() + head * bytes, bytes, out);
  };
  return {[=](ParameterId id) { return parameters.dtype(counterpart(id)); }, read};
}

ParameterSource pairs_to_halves(const ParameterLayout& layout, ParameterSource parameters,
                                const DecoderShape& shape) {
  const int64 head_dim = shape.head_dim, half = shape.rope.dims / 2;
  const auto read = [&layout, head_dim, half, read_all_rows = std::move(parameters.read)](ParameterId id,
                                                                                          const View& to) {
    if (!is_query_or_key(layout[id].name)) return read_all_rows(id, to);
    const Buffer pairs(to.dtype(), {to.elements()});
    read_all_rows(id, pairs);
    const int64 bytes = (layout[id].vector ? 1 : layout[id].columns) * size_of(to.dtype());
    const int64 rows = to.bytes() / bytes;
    for (int64 row = 0; row < rows; ++row) {
      const int64 i = row % head_dim;  // of its head
      const int64 from = i < half ? 2 * i : i < 2 * half ? 2 * (i - half) + 1 : i;
      std::copy_n(pairs.data() + (row - i + from) * bytes, bytes,
                  static_cast<std::byte*>(to.data()) + row * bytes);
    }
  };
  return {std::move(parameters.dtype), read};
}

}  // namespace fovea
