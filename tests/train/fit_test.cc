// train.fit: the cheapest plan within a bound.
#include "train/fit.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>

#include "helpers.h"

namespace fovea {
namespace {

using testing::HasSubstr;

// Four slots of two prices and several sizes in each of some blocks, and a model of the memory: what the
// blocks keep, and one block whole.
struct Scene {
  int64 layers;
  std::vector<SlotCost> costs;
  explicit Scene(int64 n) : layers(n) {
    for (int64 block = 0; block < layers; ++block) {
      costs.push_back({block, Slot::norm1, 100, 100});
      costs.push_back({block, Slot::q, 30000, 300});
      costs.push_back({block, Slot::gate, 20000, 200});
      costs.push_back({block, Slot::product, 800, 400});
    }
  }
  int64 memory(const RecomputePolicy& policy) const {
    int64 kept = 1000;
    for (const SlotCost& cost : costs)
      if (!policy.drops(cost.block).contains(cost.slot) || cost.block == layers - 1) kept += cost.bytes;
    return kept;
  }
  RecomputePolicy fit(int64 limit) const {
    return cheapest_fit(fmt::format("{} B", limit), costs, layers,
                        [&](const RecomputePolicy& policy) { return memory(policy); });
  }
};

TEST(Fit, IsTheCheapestOfAllPairsOfSetsAndEveryNumberOfBlocks) {
  for (const int64 layers : {1, 2, 5}) {
    const Scene scene(layers);
    const std::vector<SlotSet> sets = slots_by_cost(scene.costs);
    for (int64 limit = scene.memory({{SlotSet::all()}}); limit < scene.memory({}) + 100; limit += 70) {
      double least = std::numeric_limits<double>::infinity();
      for (const SlotSet front : sets)
        for (const SlotSet rest : sets)
          for (int64 n = 0; n <= layers; ++n) {
            RecomputePolicy policy{std::vector<SlotSet>(static_cast<size_t>(layers), rest)};
            std::fill_n(policy.cycle.begin(), n, front);
            if (scene.memory(policy) <= limit) least = std::min(least, cost_of(policy, scene.costs).total());
          }
      const RecomputePolicy policy = scene.fit(limit);
      EXPECT_LE(scene.memory(policy), limit);
      EXPECT_EQ(cost_of(policy, scene.costs).total(), least) << describe(policy, layers);
    }
  }
}

TEST(Fit, RecomputesNothingWhereAllFits) {
  const Scene scene(3);
  EXPECT_EQ(scene.fit(scene.memory({})), RecomputePolicy());
  EXPECT_NE(scene.fit(scene.memory({}) - 1), RecomputePolicy());
}

TEST(Fit, NamesTheSmallestSize) {
  const auto memory = [](const RecomputePolicy& policy) {
    return policy.drops(0).empty() ? int64{200} << 20 : (int64{100} << 20) + 1;
  };
  const Scene scene(2);
  const auto fit = [&](std::string_view limit) { return cheapest_fit(limit, scene.costs, 2, memory); };
  EXPECT_THAT(error_of([&] { fit("99.9 MiB"); }, ExitCode::usage),
              HasSubstr("set train.fit = \"100.1 MiB\""));
  EXPECT_NO_THROW(fit("100.1 MiB"));
  EXPECT_THAT(error_of([&] { fit("much"); }, ExitCode::usage), HasSubstr("size as \"512 MiB\""));
}

// Of a real plan: within the bound, as cheap as its neighbours allow, and the same bits.
TEST(Fit, HoldsARealRunToItsBoundAndToItsBits) {
  SmallRun run;
  run.config.model.layers = 5;
  run.config.model.width = 64;
  const Dataset dataset = run.dataset();
  const Trajectory kept = train(run.config, dataset, 2);
  const auto plan = [&] { return Trainer(run.config, dataset, Backend::cpu, 1).plan(); };
  const int64 most = plan().predicted_bytes();
  run.config.train.recompute = "block";
  const int64 least = plan().predicted_bytes();
  ASSERT_LT(least, most);
  double flops = std::numeric_limits<double>::infinity();
  for (int64 part = 0; part <= 4; ++part) {
    const int64 limit = least + (most - least) * part / 4;
    run.config.train.fit = fmt::format("{} B", limit);
    const TrainingPlan fitted = plan();
    EXPECT_LE(fitted.predicted_bytes(), limit);
    EXPECT_LE(fitted.train_flops, flops) << "more memory, and more work";
    EXPECT_EQ(fitted.recompute == RecomputePolicy(), part == 4);
    flops = fitted.train_flops;
    EXPECT_TRUE(train(run.config, dataset, 2) == kept) << run.config.train.fit;
  }
  run.config.train.fit = "1 KiB";
  const std::string refused = error_of(plan, ExitCode::usage);
  const size_t at = refused.find("set train.fit = \"") + 17;
  run.config.train.fit = refused.substr(at, refused.find('"', at) - at);
  EXPECT_NO_THROW(plan()) << run.config.train.fit;
}

}  // namespace
}  // namespace fovea
