#include "train/plan.h"

#include <algorithm>

#include "core/error.h"
#include "train/gradient_tree.h"
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

TrainingPlan plan_training(const Decoder& decoder, const Config& config, Backend backend, int threads) {
  TrainingPlan plan;
  plan.shape = step_shape(config);
  plan.precision = precision_of(config.train, backend);
  plan.parameters = decoder.layout().count();
  const int64 n = plan.shape.grain_rows(), elements = decoder.layout().elements();
  const DType wide = plan.precision.wide, compute = plan.precision.compute;
  plan.state_bytes = OptimizerState::bytes(decoder.layout(), wide, compute, config.train.ema > 0) +
                     GradientTree::buffers(plan.shape.grains()) * elements * size_of(wide);
  plan.batch_bytes = n * (3 * size_of(DType::i32) + size_of(wide));

  const auto walk = [&](MemoryPlan& memory, double& flops, auto run) {
    Stream stream(backend, threads, Stream::Mode::plan);
    Arena arena;
    const View indices = nowhere(DType::i32, n);
    const StepContext context{
        .stream = stream,
        .arena = arena,
        .layout = decoder.layout(),
        .precision = plan.precision,
        .weights = nowhere(wide, elements),
        .compute_weights = nowhere(compute, elements),
        .gradients = nowhere(wide, elements),
        .batch = {plan.shape.grain, plan.shape.length, indices, indices, indices, nullptr},
        .dropout = decoder.shape().dropout};
    run(context, nowhere(wide, n));
    memory = arena.plan();
    flops = stream.flops();
    plan.scratch_bytes = std::max(plan.scratch_bytes, stream.peak_scratch_bytes());
  };
  const RecomputePolicy policy = recompute_policy_named(config.train.recompute);
  walk(plan.train, plan.train_flops,
       [&](const StepContext& context, const View& losses) { decoder.train(context, losses, 1, policy); });
  walk(plan.evaluate, plan.evaluate_flops,
       [&](const StepContext& context, const View& losses) { decoder.losses(context, losses); });
  return plan;
}

}  // namespace fovea
