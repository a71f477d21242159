#include "kernels/attention/cudnn/plan.h"

// The frontend's header stands here alone: it takes a compiler a minute.
#include <cuda_runtime_api.h>
#include <cudnn_frontend.h>
#include <dlfcn.h>

#include <cstdlib>
#include <unordered_map>

#include "core/buffer.h"
#include "core/error.h"

namespace cudnn_frontend {
void* cudnn_dlhandle = nullptr;  // the frontend declares it, and takes every symbol from it
}

namespace fovea::cudnn {
namespace {

namespace fe = cudnn_frontend;
using Tensor = std::shared_ptr<fe::graph::Tensor_attributes>;

constexpr char kLibraryName[] = "libcudnn.so.9";

std::string version_text(int64 version) {
  return fmt::format("{}.{}.{}", version / 10000, version / 100 % 100, version % 100);
}

std::string one_line(std::string_view text) {
  constexpr size_t kLongest = 300;
  std::string line;
  for (const char c : text.substr(0, kLongest)) {
    const bool space = c == '\n' || c == '\t' || c == ' ';
    if (!space)
      line += c;
    else if (!line.empty() && line.back() != ' ')
      line += ' ';
  }
  return line;
}

LibrarySearch open_library() {
  fe::cudnn_dlhandle = ::dlopen(kLibraryName, RTLD_NOW | RTLD_LOCAL);
  if (!fe::cudnn_dlhandle) {
    const char* reason = ::dlerror();
    return {0, fmt::format("the dynamic loader finds no {} ({}); PyPI's nvidia-cudnn-cu{} has it, and "
                           "LD_LIBRARY_PATH says where it lies",
                           kLibraryName, one_line(reason ? reason : "?"), CUDART_VERSION / 1000)};
  }
  // The frontend is to call the runtime that this program is linked with, not the oldest that is installed.
  ::setenv("CUDNN_FRONTEND_CUDART_LIB_NAME", fmt::format("libcudart.so.{}", CUDART_VERSION / 1000).c_str(),
           0);
  const auto version = static_cast<int64>(fe::detail::get_backend_version());
  if (version < kOldestVersion)
    return {version, fmt::format("{} is version {}, fovea asks for {} or later", kLibraryName,
                                 version_text(version), version_text(kOldestVersion))};
  return {version, {}};
}

void check(fe::error_t error, std::string_view step) {
  if (!error.is_good())
    fail_unavailable("cuDNN {} cannot {}: {}", version_text(find_library().version), step,
                     one_line(error.get_message()));
}

// One handle, since one call at a time is made.
cudnnHandle_t handle() {
  static const cudnnHandle_t made = [] {
    cudnnHandle_t h = nullptr;
    const cudnnStatus_t status = fe::detail::create_handle(&h);
    if (status != CUDNN_STATUS_SUCCESS)
      fail_unavailable("cuDNN {} does not start on this device: {}", version_text(find_library().version),
                       fe::detail::get_error_string(status));
    return h;
  }();
  return made;
}

enum Uid : int64 { kFirstUid = 1, kQueryLengths = 101, kKeyLengths = 102 };
constexpr int64 uid(Place place) { return kFirstUid + static_cast<int64>(place); }

// The tensors of one graph: (B, H, S, D) to cuDNN, whatever the order in memory.
struct Tensors {
  const PlanKey& key;
  fe::graph::Graph& graph;

  std::vector<int64> shape(Place place) const {
    const bool of_keys = place == Place::k || place == Place::v || place == Place::dk || place == Place::dv;
    const bool of_values =
        place == Place::v || place == Place::dv || place == Place::out || place == Place::dout;
    return {key.batch, of_keys ? key.kv_heads : key.q_heads, of_keys ? key.kv_len : key.q_len,
            of_values ? key.v_dim : key.qk_dim};
  }
  std::vector<int64> strides(Place place) const {
    const std::array<int64, 3>& s = key.strides[static_cast<size_t>(place)];
    return {s[0], s[2], s[1], 1};
  }
  std::vector<int64> statistics_shape() const { return {key.batch, key.q_heads, key.q_len, 1}; }
  std::vector<int64> statistics_strides() const { return {key.q_heads * key.q_len, key.q_len, 1, 1}; }

  Tensor input(Place place) const {
    return graph.tensor(
        fe::graph::Tensor_attributes().set_uid(uid(place)).set_dim(shape(place)).set_stride(strides(place)));
  }
  Tensor lse() const {
    return graph.tensor(fe::graph::Tensor_attributes()
                            .set_uid(uid(Place::lse))
                            .set_dim(statistics_shape())
                            .set_stride(statistics_strides())
                            .set_data_type(fe::DataType_t::FLOAT));
  }
  Tensor lengths(Uid which) const {
    return graph.tensor(fe::graph::Tensor_attributes()
                            .set_uid(which)
                            .set_dim({key.batch, 1, 1, 1})
                            .set_stride({1, 1, 1, 1})
                            .set_data_type(fe::DataType_t::INT32));
  }
  void output(const Tensor& tensor, Place place) const {
    tensor->set_output(true).set_uid(uid(place)).set_dim(shape(place)).set_stride(strides(place));
  }
};

template <class Attributes>
void set_band(Attributes& attributes, const Band& band) {
  if (!band.left && !band.right) return;
  attributes.set_diagonal_alignment(band.diagonal == Diagonal::bottom_right
                                        ? fe::DiagonalAlignment_t::BOTTOM_RIGHT
                                        : fe::DiagonalAlignment_t::TOP_LEFT);
  if (band.left) attributes.set_diagonal_band_left_bound(static_cast<int>(*band.left));
  if (band.right) attributes.set_diagonal_band_right_bound(static_cast<int>(*band.right));
}

void add_forward(const Tensors& tensors) {
  const PlanKey& key = tensors.key;
  auto attributes =
      fe::graph::SDPA_attributes().set_name("attention").set_generate_stats(true).set_attn_scale(key.scale);
  set_band(attributes, key.band);
  auto [out, lse] = tensors.graph.sdpa(tensors.input(Place::q), tensors.input(Place::k),
                                       tensors.input(Place::v), attributes);
  tensors.output(out, Place::out);
  lse->set_output(true)
      .set_uid(uid(Place::lse))
      .set_dim(tensors.statistics_shape())
      .set_stride(tensors.statistics_strides())
      .set_data_type(fe::DataType_t::FLOAT);
}

void add_backward(const Tensors& tensors) {
  const PlanKey& key = tensors.key;
  auto attributes = fe::graph::SDPA_backward_attributes()
                        .set_name("attention_backward")
                        .set_attn_scale(key.scale)
                        .set_deterministic_algorithm(true);
  set_band(attributes, key.band);
  if (key.padding)
    attributes.set_padding_mask(true)
        .set_seq_len_q(tensors.lengths(kQueryLengths))
        .set_seq_len_kv(tensors.lengths(kKeyLengths));
  auto [dq, dk, dv] = tensors.graph.sdpa_backward(tensors.input(Place::q), tensors.input(Place::k),
                                                  tensors.input(Place::v), tensors.input(Place::out),
                                                  tensors.input(Place::dout), tensors.lse(), attributes);
  tensors.output(dq, Place::dq);
  tensors.output(dk, Place::dk);
  tensors.output(dv, Place::dv);
}

std::array<int64, 3> strides_of(const View& x) { return {x.stride(0), x.stride(1), x.stride(2)}; }

template <class Op>
PlanKey common_key(const Op& op, Pass pass) {
  const AttentionProblem& p = op.problem;
  PlanKey key{.pass = pass,
              .batch = p.batch,
              .q_len = p.q_len,
              .kv_len = p.kv_len,
              .q_heads = p.q_heads,
              .kv_heads = p.kv_heads,
              .qk_dim = p.qk_dim,
              .v_dim = p.v_dim,
              .dtype = p.dtype,
              .scale = p.scale,
              .band = band_of(p)};
  const auto set = [&](Place place, const View& x) {
    key.strides[static_cast<size_t>(place)] = strides_of(x);
  };
  set(Place::q, op.q), set(Place::k, op.k), set(Place::v, op.v), set(Place::out, op.out);
  return key;
}

}  // namespace

const LibrarySearch& find_library() {
  static const LibrarySearch found = open_library();
  return found;
}

PlanKey plan_key(const AttentionForward& op) { return common_key(op, Pass::forward); }

PlanKey plan_key(const AttentionBackward& op) {
  PlanKey key = common_key(op, Pass::backward);
  key.padding = ends_within_a_tile(op.problem);
  const auto set = [&](Place place, const View& x) {
    key.strides[static_cast<size_t>(place)] = strides_of(x);
  };
  set(Place::dout, op.dout), set(Place::dq, op.dq), set(Place::dk, op.dk), set(Place::dv, op.dv);
  return key;
}

namespace {

// What cuDNN says by throwing is unavailable too.
template <class F>
void in_words_of_cudnn(const F& f) {
  try {
    f();
  } catch (const UserError&) {
    throw;
  } catch (const std::exception& error) {
    fail_unavailable("cuDNN {}: {}", version_text(find_library().version), one_line(error.what()));
  }
}

void require_library() {
  if (const LibrarySearch& library = find_library(); !library.why_not.empty())
    fail_unavailable("{}", library.why_not);
}

void describe(fe::graph::Graph& graph, const PlanKey& key) {
  graph.set_io_data_type(key.dtype == DType::bf16 ? fe::DataType_t::BFLOAT16 : fe::DataType_t::HALF)
      .set_intermediate_data_type(fe::DataType_t::FLOAT)
      .set_compute_data_type(fe::DataType_t::FLOAT);
  const Tensors tensors{key, graph};
  key.pass == Pass::forward ? add_forward(tensors) : add_backward(tensors);
}

}  // namespace

void require_engine(const PlanKey& key, const DescribedDevice& device) {
  require_library();
  in_words_of_cudnn([&] {
    fe::graph::Graph graph;
    auto properties = std::make_shared<fe::DeviceProperties>();
    check(properties->deserialize({device.properties.begin(), device.properties.end()}), "read the device");
    // Before the operations, which keep what they find.
    graph.set_device_properties(properties).set_sm_version(device.compute_capability);
    describe(graph, key);
    check(graph.validate(), "do this attention");
    check(graph.build_operation_graph(), "do this attention");
    check(graph.create_execution_plans({fe::HeurMode_t::A}), "plan this attention");
    check(graph.check_support(), "run this attention");
  });
}

struct Plan::Graph {
  fe::graph::Graph graph;
  Buffer lengths;  // i32 on the device: of the queries, then of the keys, of each batch row
  int64 batch = 0, workspace_bytes = 0;
};

Plan::Plan(const PlanKey& key) : graph_(std::make_unique<Graph>()) {
  require_library();
  in_words_of_cudnn([&] {
    describe(graph_->graph, key);
    check(graph_->graph.build(handle(), {fe::HeurMode_t::A}), "plan this attention");
    check(graph_->graph.get_workspace_size(graph_->workspace_bytes), "size this attention's workspace");
  });
  if (!key.padding) return;
  std::vector<int32> lengths(static_cast<size_t>(key.batch), static_cast<int32>(key.q_len));
  lengths.resize(static_cast<size_t>(2 * key.batch), static_cast<int32>(key.kv_len));
  graph_->batch = key.batch;
  graph_->lengths = Buffer(DType::i32, {2 * key.batch}, Device::cuda);
  device::copy(graph_->lengths.data(), lengths.data(), graph_->lengths.bytes());
}

Plan::~Plan() = default;

int64 Plan::workspace_bytes() const { return graph_->workspace_bytes; }

void Plan::run(void* stream, const std::array<void*, static_cast<size_t>(Place::count)>& operands,
               void* workspace) const {
  std::unordered_map<int64_t, void*> pack;
  for (size_t place = 0; place < operands.size(); ++place)
    if (operands[place]) pack[uid(static_cast<Place>(place))] = operands[place];
  if (graph_->batch > 0) {
    auto* lengths = reinterpret_cast<int32*>(graph_->lengths.data());
    pack[kQueryLengths] = lengths;
    pack[kKeyLengths] = lengths + graph_->batch;
  }
  try {
    if (fe::detail::set_stream(handle(), static_cast<cudaStream_t>(stream)) != CUDNN_STATUS_SUCCESS)
      fail_run("cuDNN does not take the stream");
    fe::error_t error = graph_->graph.execute(handle(), pack, workspace);
    if (!error.is_good()) fail_run("cuDNN's attention failed: {}", one_line(error.get_message()));
  } catch (const UserError&) {
    throw;
  } catch (const std::exception& error) {
    fail_run("cuDNN's attention failed: {}", one_line(error.what()));
  }
}

}  // namespace fovea::cudnn
