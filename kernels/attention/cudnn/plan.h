#pragma once

#include <array>
#include <memory>
#include <string>

#include "core/device.h"
#include "kernels/attention/cudnn/support.h"

// cuDNN's graphs, behind which its frontend's headers stay.

namespace fovea::cudnn {

/// libcudnn as the dynamic loader finds it. Asked once.
struct LibrarySearch {
  int64 version = 0;  ///< 91900 is 9.19.0; 0: there is none
  std::string why_not;
};
const LibrarySearch& find_library();

/// Operands by their place in a plan.
enum class Place : int { q, k, v, out, dout, dq, dk, dv, lse, count };
constexpr size_t kRows = static_cast<size_t>(Place::lse);  // those that are (B, S, H, D)

/// Everything that a plan depends on: equal values share one.
struct PlanKey {
  Pass pass = Pass::forward;
  int64 batch = 0, q_len = 0, kv_len = 0, q_heads = 0, kv_heads = 0, qk_dim = 0, v_dim = 0;
  DType dtype = DType::bf16;
  float scale = 1;
  Band band;
  bool padding = false;
  std::array<std::array<int64, 3>, kRows>
      strides{};  ///< of (B, S, H), in elements; operands of the pass alone

  bool operator==(const PlanKey&) const = default;
};
PlanKey plan_key(const AttentionForward& op);
PlanKey plan_key(const AttentionBackward& op);

/// A device that need not be there: whether cuDNN has an engine for it can be asked without one.
struct DescribedDevice {
  std::string properties;  ///< JSON of CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION
  int compute_capability;  ///< 90
};

/// Throws UserError (unavailable) in cuDNN's words unless it has an engine on this device.
void require_engine(const PlanKey& key, const DescribedDevice& device);

class Plan {
 public:
  /// For this process's device. Throws UserError (unavailable) in cuDNN's words.
  explicit Plan(const PlanKey& key);
  ~Plan();
  Plan(const Plan&) = delete;
  Plan& operator=(const Plan&) = delete;

  int64 workspace_bytes() const;
  /// Launches on a cudaStream_t. One call at a time.
  void run(void* stream, const std::array<void*, static_cast<size_t>(Place::count)>& operands,
           void* workspace) const;

 private:
  struct Graph;
  std::unique_ptr<Graph> graph_;
};

}  // namespace fovea::cudnn
