#include "kernels/matmul/bf16_gemm.h"

#include <dnnl.hpp>

#include <algorithm>
#include <array>
#include <map>
#include <string_view>

#include "kernels/simd/instruction_set.h"

namespace fovea {
namespace {

/// What a primitive is compiled for: sizes, strides, transpositions, and the bits of alpha and beta.
using Key = std::array<int64, 10>;

Key key_of(const Gemm& g) {
  return {g.M,
          g.N,
          g.K,
          g.a.stride,
          g.b.stride,
          g.c_stride,
          g.a.transposed,
          g.b.transposed,
          std::bit_cast<int32>(g.alpha),
          std::bit_cast<int32>(g.beta)};
}

const dnnl::engine& engine() {
  static const dnnl::engine cpu(dnnl::engine::kind::cpu, 0);
  return cpu;
}

dnnl::memory::desc describe(int64 rows, int64 columns, const GemmOperand& operand) {
  const int64 stride = std::max(operand.stride, operand.transposed ? rows : columns);
  const dnnl::memory::dims strides =
      operand.transposed ? dnnl::memory::dims{1, stride} : dnnl::memory::dims{stride, 1};
  return {{rows, columns}, dnnl::memory::data_type::bf16, strides};
}

struct Compiled {
  dnnl::matmul primitive;
  dnnl::memory a, b, c;
};

/// Empty where the library would fall back on slow code.
Compiled compile(const Gemm& g) {
  const dnnl::memory::desc a = describe(g.M, g.K, g.a), b = describe(g.K, g.N, g.b);
  const dnnl::memory::desc c({g.M, g.N}, dnnl::memory::data_type::f32, {std::max(g.c_stride, g.N), 1});
  dnnl::primitive_attr attributes;
  if (g.alpha != 1) attributes.set_output_scales(0, {g.alpha});
  if (g.beta != 0) {
    dnnl::post_ops add;
    add.append_sum(g.beta);
    attributes.set_post_ops(add);
  }
  const dnnl::matmul::primitive_desc description(dnnl::matmul::desc(a, b, c), attributes, engine(), true);
  if (!description || !std::string_view(description.impl_info_str()).starts_with("brg")) return {};
  return {dnnl::matmul(description), dnnl::memory(a, engine(), nullptr), dnnl::memory(b, engine(), nullptr),
          dnnl::memory(c, engine(), nullptr)};
}

/// One per thread: nothing is locked, and the library itself shares the compiled code.
Compiled& compiled_for(const Gemm& g) {
  constexpr size_t kMost = 512;  // a model has a few dozen shapes; decoding of every length has many
  thread_local std::map<Key, Compiled> compiled;
  const Key key = key_of(g);
  const auto found = compiled.find(key);
  if (found != compiled.end()) return found->second;
  if (compiled.size() >= kMost) compiled.clear();
  return compiled.emplace(key, compile(g)).first->second;
}

}  // namespace

bool multiply_bf16(const Gemm& g) {
  if (!has_bf16_dot()) return false;
  Compiled& compiled = compiled_for(g);
  if (!compiled.primitive) return false;
  thread_local dnnl::stream stream(engine());
  compiled.a.set_data_handle(const_cast<void*>(g.a.data));
  compiled.b.set_data_handle(const_cast<void*>(g.b.data));
  compiled.c.set_data_handle(g.c);
  compiled.primitive.execute(
      stream, {{DNNL_ARG_SRC, compiled.a}, {DNNL_ARG_WEIGHTS, compiled.b}, {DNNL_ARG_DST, compiled.c}});
  stream.wait();
  return true;
}

}  // namespace fovea
