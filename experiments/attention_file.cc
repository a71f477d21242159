#include "experiments/attention_file.h"

#include <unistd.h>

#include <array>
#include <cmath>
#include <new>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/file.h"
#include "core/host_copy.h"
#include "kernels/attention/attention.h"
#include "record/foreign_hdf5.h"
#include "record/hdf5.h"

namespace fovea {
namespace {

using h5::Group;

// Where one dimension is 0 the others cost a file nothing, but may cost us loops and memory.
constexpr int64 kMostRows = int64{1} << 31, kMostHeads = int64{1} << 16;
constexpr double kMostPairs = 1e15;

// Owns memory of a view: (d0, d1, d2, d3), or fewer axes.
struct Tensor {
  Buffer memory;
  View view;
  Tensor() = default;
  Tensor(DType dtype, const h5::Shape& shape) {
    int64 elements = 1;
    for (const int64 n : shape) elements *= n;
    memory = Buffer(elements * size_of(dtype));
    if (shape.size() == 1) view = View(memory.data(), dtype, {shape[0]});
    if (shape.size() == 3) view = View(memory.data(), dtype, {shape[0], shape[1], shape[2]});
    if (shape.size() == 4) view = View(memory.data(), dtype, {shape[0], shape[1], shape[2], shape[3]});
  }
  View flat() const { return View(memory.data(), view.dtype(), {view.elements()}); }
};

double rounded(DType dtype, double x) {
  const float f = static_cast<float>(x);
  if (dtype == DType::bf16) return to_f32(bf16(f));
  if (dtype == DType::f16) return to_f32(f16(f));
  return f;
}

// What the problem's file says, in the dtypes that the backend reads.
struct AttentionFile {
  AttentionProblem problem;
  DType statistics = DType::f32;  // of lse, sink and dsink
  Tensor q, k, v, sink, dout;
};

double finite_attribute(const Group& file, const std::string& name) {
  const double x = file.attribute<double>(".", name);
  if (!std::isfinite(x) || !std::isfinite(static_cast<float>(x)))
    fail_input("{}: attribute {} is {}; it must be a finite float32", file.where(), name, x);
  return x;
}

int64 offset_attribute(const Group& file, const std::string& name) {
  const int64 n = file.attribute<int64>(".", name);
  if (n < -1)
    fail_input("{}: attribute {} is {}; it must be -1 (unbounded) or a number of keys", file.where(), name,
               n);
  return n;
}

DType dtype_attribute(const Group& file) {
  const std::string name = file.attribute<std::string>(".", "dtype");
  if (name != "f32" && name != "bf16" && name != "f16")
    fail_input("{}: attribute dtype is \"{}\"; it must be f32, bf16 or f16", file.where(), name);
  return dtype_named(name);
}

void read_attributes(const Group& file, AttentionProblem& problem) {
  problem.dtype = dtype_attribute(file);
  const int64 causal = file.attribute<int64>(".", "causal");
  if (causal != 0 && causal != 1)
    fail_input("{}: attribute causal is {}; it must be 0 or 1", file.where(), causal);
  problem.mask = {.causal = causal == 1,
                  .left = offset_attribute(file, "window_left"),
                  .right = offset_attribute(file, "window_right")};
  problem.scale = static_cast<float>(finite_attribute(file, "scale"));
  problem.softcap = static_cast<float>(finite_attribute(file, "softcap"));
  if (problem.softcap < 0)
    fail_input("{}: attribute softcap is {}; it must be 0 (none) or positive", file.where(), problem.softcap);
}

h5::Shape shape_of(const Group& file, const std::string& name, size_t rank) {
  const h5::Info info = file.info(name);
  if (info.kind != h5::Kind::floating) fail_input("{}: must be of floating-point type", file.where(name));
  if (info.shape.size() != rank)
    fail_input("{}: has {} dimensions, wanted are {}", file.where(name), info.shape.size(), rank);
  for (size_t axis = 0; axis < rank; ++axis)
    if (info.shape[axis] > (axis < 2 ? kMostRows : kMostHeads))
      fail_input("{}: dimension {} is {}, which is too large", file.where(name), axis, info.shape[axis]);
  return info.shape;
}

void expect_shape(const Group& file, const std::string& name, const h5::Shape& wanted) {
  const h5::Shape shape = shape_of(file, name, wanted.size());
  for (size_t axis = 0; axis < wanted.size(); ++axis)
    if (shape[axis] != wanted[axis])
      fail_input("{}: dimension {} is {}, but the other inputs make it {}", file.where(name), axis,
                 shape[axis], wanted[axis]);
}

void read_shapes(const Group& file, AttentionProblem& p) {
  const h5::Shape q = shape_of(file, "q", 4), k = shape_of(file, "k", 4), v = shape_of(file, "v", 4);
  p.batch = q[0], p.q_len = q[1], p.q_heads = q[2], p.qk_dim = q[3];
  p.kv_len = k[1], p.kv_heads = k[2], p.v_dim = v[3];
  expect_shape(file, "k", {p.batch, p.kv_len, p.kv_heads, p.qk_dim});
  expect_shape(file, "v", {p.batch, p.kv_len, p.kv_heads, p.v_dim});
  if (p.qk_dim < 1 || p.v_dim < 1) fail_input("{}: heads of size 0", file.where());
  if (p.kv_heads < 1 || p.q_heads < 1 || p.q_heads % p.kv_heads != 0)
    fail_input(
        "{}: {} query heads cannot share {} key/value heads; the first must be a multiple of the second",
        file.where(), p.q_heads, p.kv_heads);
}

std::vector<int64> read_bounds(const Group& file, const std::string& name, int64 rows) {
  if (file.info(name).kind != h5::Kind::integer) fail_input("{}: must be of integer type", file.where(name));
  std::vector<int64> bounds = file.read_list<int64>(name);
  if (bounds.empty() || bounds.front() != 0 || bounds.back() != rows)
    fail_input("{}: must begin with 0 and end with {}, the length of the sequence", file.where(name), rows);
  for (size_t n = 1; n < bounds.size(); ++n)
    if (bounds[n] < bounds[n - 1])
      fail_input("{}: falls from {} to {} at index {}; bounds must climb", file.where(name), bounds[n - 1],
                 bounds[n], n);
  return bounds;
}

void read_documents(const Group& file, AttentionProblem& p) {
  const bool q = file.has("cu_seqlens_q"), k = file.has("cu_seqlens_k");
  if (!q && !k) return;
  if (q != k)
    fail_input("{}: has only one of cu_seqlens_q and cu_seqlens_k; give both or none", file.where());
  if (p.batch != 1)
    fail_input("{}: packed sequences (cu_seqlens_q) need a batch of 1, not {}", file.where("q"), p.batch);
  const DocumentBounds bounds{read_bounds(file, "cu_seqlens_q", p.q_len),
                              read_bounds(file, "cu_seqlens_k", p.kv_len)};
  if (bounds.q.size() != bounds.k.size())
    fail_input("{}: cu_seqlens_q has {} entries, cu_seqlens_k {}; they must be as many", file.where(),
               bounds.q.size(), bounds.k.size());
  p.mask.documents = std::make_shared<const DocumentBounds>(bounds);
}

// Rounded to the problem's dtype, whatever they are stored in.
Tensor read_tensor(const Group& file, const std::string& name, DType dtype, DType storage) {
  const h5::Array<double> array = file.read<double>(name);
  Tensor tensor(storage, array.shape);
  const View to = tensor.flat();
  for (size_t i = 0; i < array.values.size(); ++i)
    store(to, {static_cast<int64>(i)}, rounded(dtype, array.values[i]));
  return tensor;
}

AttentionFile read_file(const std::filesystem::path& path, Backend backend) {
  const Group file = h5::open_file(path);
  AttentionFile f;
  AttentionProblem& p = f.problem;
  read_attributes(file, p);
  read_shapes(file, p);
  read_documents(file, p);
  const DType dtype = p.dtype;
  if (backend == Backend::reference) p.dtype = f.statistics = DType::f64;
  f.q = read_tensor(file, "q", dtype, p.dtype);
  f.k = read_tensor(file, "k", dtype, p.dtype);
  f.v = read_tensor(file, "v", dtype, p.dtype);
  if (file.has("sink")) {
    expect_shape(file, "sink", {p.q_heads});
    f.sink = read_tensor(file, "sink", dtype, f.statistics);
  }
  if (file.has("dout")) {
    expect_shape(file, "dout", {p.batch, p.q_len, p.q_heads, p.v_dim});
    f.dout = read_tensor(file, "dout", dtype, p.dtype);
  }
  return f;
}

template <class T>
void write_as(const Group& file, const std::string& name, const Tensor& tensor) {
  h5::Shape shape;
  for (int axis = 0; axis < tensor.view.rank(); ++axis) shape.push_back(tensor.view.size(axis));
  const View from = tensor.flat();
  std::vector<T> values(static_cast<size_t>(from.elements()));
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<T>(load(from, {static_cast<int64>(i)}));
  file.write<T>(name, shape, values);
}

// The gradient of the sinks is summed in f32, but answered in the dtype of the sinks.
void round_all(const Tensor& tensor, DType dtype) {
  const View x = tensor.flat();
  for (int64 i = 0; i < x.elements(); ++i) store(x, {i}, rounded(dtype, load(x, {i})));
}

void write(const Group& file, const std::string& name, const Tensor& tensor) {
  if (tensor.view.dtype() == DType::f64)
    write_as<double>(file, name, tensor);
  else
    write_as<float>(file, name, tensor);
}

// Refuses what this machine cannot hold, before memory is taken.
void expect_fits(const AttentionFile& f, Backend backend, int threads) {
  const AttentionProblem& p = f.problem;
  const auto product = [](std::initializer_list<int64> factors) {
    double n = 1;
    for (const int64 factor : factors) n *= static_cast<double>(factor);
    return n;
  };
  const double pairs = product({p.batch, p.q_heads, p.q_len, p.kv_len});
  double bytes = product({size_of(p.dtype), p.batch, p.q_heads, p.q_len, p.v_dim});
  // Overflow is out of reach below so many pairs.
  if (pairs <= kMostPairs && attention_backend(backend).supports(p).yes) {
    const Pass pass = f.dout.view ? Pass::backward : Pass::forward;
    bytes += static_cast<double>(attention_backend(backend).workspace_bytes(p, pass, threads));
  }
  const double memory =
      static_cast<double>(sysconf(_SC_PHYS_PAGES)) * static_cast<double>(sysconf(_SC_PAGE_SIZE));
  if (pairs > kMostPairs || bytes > memory)
    fail_unavailable(
        "backend {} cannot do {} queries by {} keys on this machine: {:.3g} pairs, {:.3g} bytes of memory",
        name_of(backend), p.q_len, p.kv_len, pairs, bytes);
}

struct Answers {
  Tensor out, lse, dq, dk, dv, dsink;
};

Answers compute(const AttentionFile& f, Backend backend, int threads) {
  const AttentionProblem& p = f.problem;
  const h5::Shape q{p.batch, p.q_len, p.q_heads, p.qk_dim}, k{p.batch, p.kv_len, p.kv_heads, p.qk_dim};
  Stream stream(backend, threads);
  Answers a;
  a.out = Tensor(p.dtype, {p.batch, p.q_len, p.q_heads, p.v_dim});
  a.lse = Tensor(f.statistics, {p.batch, p.q_heads, p.q_len});
  if (f.dout.view) {
    a.dq = Tensor(p.dtype, q);
    a.dk = Tensor(p.dtype, k);
    a.dv = Tensor(p.dtype, {p.batch, p.kv_len, p.kv_heads, p.v_dim});
    if (f.sink.view) a.dsink = Tensor(f.statistics, {p.q_heads});
  }
  const auto there = [&](const Tensor& tensor) { return DeviceCopy(tensor.view, stream.device()); };
  const DeviceCopy on_q = there(f.q), on_k = there(f.k), on_v = there(f.v), sink = there(f.sink),
                   dout = there(f.dout), out = there(a.out), lse = there(a.lse), dq = there(a.dq),
                   dk = there(a.dk), dv = there(a.dv), dsink = there(a.dsink);
  attention(stream, {p, on_q, on_k, on_v, sink, out, lse});
  if (f.dout.view) attention_backward(stream, {p, on_q, on_k, on_v, sink, out, lse, dout, dq, dk, dv, dsink});
  stream.synchronize();
  for (const DeviceCopy* answer : {&out, &lse, &dq, &dk, &dv, &dsink}) answer->fetch();
  if (a.dsink.view && backend != Backend::reference) round_all(a.dsink, p.dtype);
  return a;
}

void write_answers(const Answers& a, const std::filesystem::path& out) {
  const std::filesystem::path temporary = out.string() + ".part";
  {
    const Group file = h5::create_file(temporary);
    const std::array<std::pair<const char*, const Tensor*>, 6> answers{
        {{"out", &a.out}, {"lse", &a.lse}, {"dq", &a.dq}, {"dk", &a.dk}, {"dv", &a.dv}, {"dsink", &a.dsink}}};
    for (const auto& [name, tensor] : answers)
      if (tensor->view) write(file, name, *tensor);
    file.flush();
  }
  rename_durably(temporary, out);
}

}  // namespace

void run_attention_file(const std::filesystem::path& in, const std::filesystem::path& out, Backend backend,
                        int threads) {
  std::error_code ignored;
  if (std::filesystem::equivalent(in, out, ignored))
    fail_usage("{}: is both the problem and the answer; name another file for the answer", in.string());
  try {
    h5::rehearse(in, [&] { read_file(in, backend); });
    const AttentionFile problem = read_file(in, backend);
    expect_fits(problem, backend, threads);
    write_answers(compute(problem, backend, threads), out);
  } catch (const std::bad_alloc&) {
    fail_input("{}: the problem does not fit into memory", in.string());
  } catch (const std::length_error&) {
    fail_input("{}: the problem does not fit into memory", in.string());
  }
}

}  // namespace fovea
