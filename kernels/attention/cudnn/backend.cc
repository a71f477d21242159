#include <algorithm>
#include <deque>
#include <mutex>

#include "core/error.h"
#include "kernels/attention/backends.h"
#include "kernels/attention/cudnn/plan.h"

namespace fovea {
namespace {

using namespace cudnn;

// Plans of this process, made once each; those that cuDNN cannot make keep its reason.
class Plans {
 public:
  struct Entry {
    PlanKey key;
    std::unique_ptr<Plan> plan = nullptr;
    std::string why_not = {};
  };
  const Entry& of(const PlanKey& key) {
    const std::lock_guard lock(mutex_);
    for (const Entry& entry : entries_)
      if (entry.key == key) return entry;
    Entry& entry = entries_.emplace_back(Entry{key});
    try {
      entry.plan = std::make_unique<Plan>(key);
    } catch (const UserError& error) {
      entry.why_not = error.what();
    }
    return entry;
  }
  /// The largest of the problem's plans, which strides alone tell apart; 0 without any.
  int64 workspace_bytes(const AttentionProblem& p, Pass pass) {
    const std::lock_guard lock(mutex_);
    int64 bytes = 0;
    for (const Entry& entry : entries_)
      if (entry.plan && is_of(entry.key, p, pass)) bytes = std::max(bytes, entry.plan->workspace_bytes());
    return bytes;
  }
  void run(Execution& execution, const PlanKey& key,
           const std::array<void*, static_cast<size_t>(Place::count)>& operands) {
    const Entry& entry = of(key);
    FOVEA_CHECK(entry.plan, "attention without a plan: {}", entry.why_not);
    void* workspace = execution.scratch<std::byte>(entry.plan->workspace_bytes());
    const std::lock_guard lock(mutex_);  // one handle, whose stream is set for each call
    entry.plan->run(execution.queue().handle(), operands, workspace);
  }

 private:
  static bool is_of(const PlanKey& key, const AttentionProblem& p, Pass pass) {
    return key.pass == pass && key.batch == p.batch && key.q_len == p.q_len && key.kv_len == p.kv_len &&
           key.q_heads == p.q_heads && key.kv_heads == p.kv_heads && key.qk_dim == p.qk_dim &&
           key.v_dim == p.v_dim && key.dtype == p.dtype && key.scale == p.scale && key.band == band_of(p);
  }
  std::mutex mutex_;
  std::deque<Entry> entries_;  // few, and they stay where they are
};

// Never destroyed: cuDNN's own memory may be gone before ours.
Plans& plans() {
  static Plans& all = *new Plans;
  return all;
}

class CudnnAttention final : public AttentionBackend {
 public:
  std::string_view name() const override { return "cudnn"; }
  std::string description() const override {
    const LibrarySearch& library = find_library();
    if (!library.why_not.empty()) return "cuDNN's attention: " + library.why_not;
    return fmt::format(
        "cuDNN {}.{}'s attention in bf16 and f16, deterministic; dk and dv of a group's query heads are "
        "rounded before they are summed",
        library.version / 10000, library.version / 100 % 100);
  }

  // Without a device it answers for the best there is: a plan of memory needs none.
  Support supports(const AttentionProblem& p) const override {
    Capability capability;
    if (const std::optional<DeviceInfo>& device = find_device().device) {
      const LibrarySearch& library = find_library();
      if (!library.why_not.empty()) return {false, library.why_not};
      capability = {device->major, device->minor, library.version};
    }
    return cudnn::supports(p, capability);
  }
  Support takes(const AttentionForward& op) const override { return has_plan(op); }
  Support takes(const AttentionBackward& op) const override { return has_plan(op); }

  // Operands were asked about before: where there is a device, their plan is made.
  int64 workspace_bytes(const AttentionProblem& p, Pass pass, int) const override {
    if (find_device().device)
      if (const int64 bytes = plans().workspace_bytes(p, pass); bytes > 0) return round_up(bytes, 64);
    return round_up(most_workspace_bytes(p, pass), 64);
  }

  void forward(Execution& execution, const AttentionForward& op) const override {
    plans().run(execution, plan_key(op),
                {op.q.data(), op.k.data(), op.v.data(), op.out.data(), nullptr, nullptr, nullptr, nullptr,
                 op.lse.data()});
  }
  void backward(Execution& execution, const AttentionBackward& op) const override {
    plans().run(execution, plan_key(op),
                {op.q.data(), op.k.data(), op.v.data(), op.out.data(), op.dout.data(), op.dq.data(),
                 op.dk.data(), op.dv.data(), op.lse.data()});
  }

 private:
  template <class Op>
  static Support has_plan(const Op& op) {
    if (Support support = cudnn::takes(op); !support.yes || !find_device().device) return support;
    const Plans::Entry& entry = plans().of(plan_key(op));
    return {entry.plan != nullptr, entry.why_not};
  }
};

}  // namespace

const AttentionBackend& cudnn_attention_backend() {
  static const CudnnAttention backend;
  return backend;
}

}  // namespace fovea
