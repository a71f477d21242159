#include "kernels/reduce/reduce.h"

#include <algorithm>
#include <cstring>

#include "kernels/dispatch.h"
#include "kernels/reduce/backends.h"

namespace fovea {
namespace {

void expect_flat(const View& view, std::string_view name) {
  FOVEA_CHECK(view.rank() == 1, "{} is {}, wanted (n)", name, view.describe());
  FOVEA_CHECK(view.dtype() != DType::i32, "{} is {}, wanted a floating-point dtype", name, view.describe());
}

void enqueue_sum(Stream& stream, const Sum& op) {
  const std::string_view name = op.squares ? "sum_of_squares" : "sum";
  const View& x = op.x;
  expect_flat(x, name);
  if (op.total) expect(op.total, "sum: total", {1}, DType::f64);
  const Work work{name, (op.squares ? 2.0 : 1.0) * static_cast<double>(x.size(0)),
                  scratch_on_backend(stream, op, cpu::scratch_bytes, cuda::scratch_bytes), bytes_of(x)};
  enqueue_on_backend(stream, work, op, reference::run, cpu::run, cuda::run);
}

void fill_on_host(Execution& execution, const FillZero& op) {
  constexpr int64 kBytes = int64{1} << 18;
  const int64 size = size_of(op.y.dtype());
  for (const Range& range : *op.ranges) {
    auto* to = static_cast<std::byte*>(op.y.data()) + range.begin * size;
    const int64 bytes = range.size() * size;
    execution.parallel_for(ceil_div(bytes, kBytes), [&](int64 part, int) {
      const int64 begin = part * kBytes, end = std::min(bytes, begin + kBytes);
      std::memset(to + begin, 0, static_cast<size_t>(end - begin));
    });
  }
}

}  // namespace

void sum_of_squares(Stream& stream, const View& x, const Readback<double>& result) {
  enqueue_sum(stream, {.x = x, .squares = true, .result = result});
}
void sum_of_squares(Stream& stream, const View& x, const View& total) {
  enqueue_sum(stream, {.x = x, .squares = true, .total = total});
}
Readback<double> sum_of_squares(Stream& stream, const View& x) {
  Readback<double> result;
  sum_of_squares(stream, x, result);
  return result;
}

void sum(Stream& stream, const View& x, const Readback<double>& result) {
  enqueue_sum(stream, {.x = x, .result = result});
}
void sum(Stream& stream, const View& x, const View& total) { enqueue_sum(stream, {.x = x, .total = total}); }
Readback<double> sum(Stream& stream, const View& x) {
  Readback<double> result;
  sum(stream, x, result);
  return result;
}

void add_into(Stream& stream, const View& y, const View& x) {
  expect_flat(y, "add_into: y");
  expect(x, "add_into: x", {y.size(0)}, y.dtype());
  FOVEA_CHECK(y.dtype() == DType::f32 || y.dtype() == DType::f64, "add_into: y is {}, wanted f32 or f64",
              name_of(y.dtype()));
  const Work work{"add_into", static_cast<double>(y.size(0)), 0, bytes_of(x, y, y)};
  enqueue_on_backend(stream, work, AddInto{y, x}, reference::run, cpu::run, cuda::run);
}

void move_towards(Stream& stream, const View& y, const View& x, double rate) {
  expect_flat(y, "move_towards: y");
  expect(x, "move_towards: x", {y.size(0)}, y.dtype());
  FOVEA_CHECK(y.dtype() == DType::f32 || y.dtype() == DType::f64, "move_towards: y is {}, wanted f32 or f64",
              name_of(y.dtype()));
  const Work work{"move_towards", 3.0 * static_cast<double>(y.size(0)), 0, bytes_of(x, y, y)};
  enqueue_on_backend(stream, work, MoveTowards{y, x, rate}, reference::run, cpu::run, cuda::run);
}

void convert(Stream& stream, const View& y, const View& x) {
  expect_flat(y, "convert: y");
  expect_flat(x, "convert: x");
  expect(x, "convert: x", {y.size(0)});
  enqueue_on_backend(stream, Work{"convert", 0, 0, bytes_of(x, y)}, Convert{y, x}, reference::run, cpu::run,
                     cuda::run);
}

void fill_zero(Stream& stream, const View& y, const Ranges& ranges) {
  FOVEA_CHECK(y.rank() == 1, "fill_zero: y is {}, wanted (n)", y.describe());
  int64 bytes = 0;
  for (const Range& range : *ranges) {
    FOVEA_CHECK(0 <= range.begin && range.begin <= range.end && range.end <= y.size(0),
                "fill_zero: [{}, {}) of {}", range.begin, range.end, y.describe());
    bytes += range.size() * size_of(y.dtype());
  }
  enqueue_on_backend(stream, Work{"fill_zero", 0, 0, bytes}, FillZero{y, ranges}, fill_on_host, fill_on_host,
                     cuda::run);
}

void fill_zero(Stream& stream, const View& y) {
  FOVEA_CHECK(y.contiguous(), "fill_zero: y is {} with gaps", y.describe());
  const int64 n = y.elements();
  fill_zero(stream, y.reshape({n}), std::make_shared<const std::vector<Range>>(1, Range{0, n}));
}

}  // namespace fovea
