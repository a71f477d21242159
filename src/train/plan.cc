#include "train/plan.h"

#include <algorithm>

#include "core/error.h"
#include "train/fit.h"
#include "train/gradient_tree.h"
#include "train/library_memory.h"
#include "train/optimizer.h"

namespace fovea {
namespace {

// Where no memory is yet: never read, but not null, so that slices may be taken of it.
View nowhere(DType dtype, int64 n) { return View(reinterpret_cast<void*>(uintptr_t{4096}), dtype, {n}); }

}  // namespace

Precision precision_of(const TrainConfig& config, Backend backend) {
  const DType compute = dtype_named(config.precision);
  if (compute == DType::f64) {
    if (backend != Backend::reference)
      fail_usage(
          "train.precision = \"f64\" is computed by the reference backend alone: add run.backend = "
          "\"reference\"");
    return {DType::f64, DType::f64, DType::f64};
  }
  return {compute, dtype_named(config.residual_dtype), DType::f32};
}

StepShape step_shape(const Config& config) {
  StepShape shape;
  shape.sequences = config.train.batch;
  shape.length = config.train.sequence ? config.train.sequence : config.model.context;
  shape.grain = config.train.grain ? config.train.grain : std::min<int64>(config.train.batch, 16);
  return shape;
}

namespace {

struct Walk {
  MemoryPlan memory;
  double flops = 0;
  int64 scratch_bytes = 0;
};

// Plans one grain of a decoder, in whatever is to be done with it.
class Planner {
 public:
  Planner(const Decoder& decoder, const StepShape& shape, const Precision& precision, Backend backend,
          int threads)
      : decoder_(decoder), shape_(shape), precision_(precision), backend_(backend), threads_(threads) {}

  Walk train(const RecomputePolicy& policy) const {
    return walk([&](const StepContext& context) { decoder_.train(context, losses(), 1, policy); });
  }
  Walk evaluate() const {
    return walk([&](const StepContext& context) { decoder_.losses(context, losses()); });
  }
  std::vector<SlotCost> slot_costs() const {
    std::vector<SlotCost> costs;
    walk([&](const StepContext& context) { costs = decoder_.slot_costs(context); });
    return costs;
  }

 private:
  View losses() const { return nowhere(precision_.wide, shape_.grain_rows()); }
  Walk walk(FunctionRef<void(const StepContext&)> run) const {
    const int64 elements = decoder_.layout().elements();
    Stream stream(backend_, threads_, Stream::Mode::plan);
    Arena arena;
    const View indices = nowhere(DType::i32, shape_.grain_rows());
    run({.stream = stream,
         .arena = arena,
         .layout = decoder_.layout(),
         .precision = precision_,
         .weights = nowhere(precision_.wide, elements),
         .compute_weights = nowhere(precision_.compute, elements),
         .gradients = nowhere(precision_.wide, elements),
         .batch = {shape_.grain, shape_.length, indices, indices, indices, nullptr},
         .dropout = decoder_.shape().dropout});
    return {arena.plan(), stream.flops(), stream.peak_scratch_bytes()};
  }

  const Decoder& decoder_;
  StepShape shape_;
  Precision precision_;
  Backend backend_;
  int threads_;
};

}  // namespace

TrainingPlan plan_training(const Decoder& decoder, const Config& config, Backend backend, int threads) {
  TrainingPlan plan;
  plan.shape = step_shape(config);
  plan.precision = precision_of(config.train, backend);
  plan.parameters = decoder.layout().count();
  const int64 n = plan.shape.grain_rows(), elements = decoder.layout().elements();
  const DType wide = plan.precision.wide, compute = plan.precision.compute;
  plan.state_bytes = OptimizerState::bytes(decoder.layout(), wide, compute, config.train.ema > 0) +
                     GradientTree::buffers(plan.shape.grains()) * elements * size_of(wide);
  const int64 read_bytes = n * 3 * size_of(DType::i32);
  plan.host_bytes = device_of(backend) == Device::cpu ? read_bytes : 0;
  plan.batch_bytes = read_bytes + n * size_of(wide);
  plan.table_bytes = decoder.table_bytes();
  if (device_of(backend) == Device::cpu)
    plan.overhead_bytes = library_bytes(backend, compute, decoder.shape().width, threads);

  const Planner planner(decoder, plan.shape, plan.precision, backend, threads);
  const Walk evaluation = planner.evaluate();
  plan.evaluate = evaluation.memory;
  plan.evaluate_flops = evaluation.flops;
  const auto use = [&](const RecomputePolicy& policy) {
    Walk training = planner.train(policy);
    plan.recompute = policy;
    plan.train = std::move(training.memory);
    plan.train_flops = training.flops;
    plan.scratch_bytes = std::max(training.scratch_bytes, evaluation.scratch_bytes);
  };
  const std::vector<SlotCost> costs = planner.slot_costs();
  if (config.train.fit.empty())
    use(recompute_policy_named(config.train.recompute, costs));
  else
    use(cheapest_fit(config.train.fit, costs, decoder.shape().layers, [&](const RecomputePolicy& policy) {
      use(policy);
      return plan.predicted_bytes();
    }));
  plan.recomputed = cost_of(plan.recompute, costs);
  return plan;
}

}  // namespace fovea
