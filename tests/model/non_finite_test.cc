// What is not finite in any buffer that a block saved (activations, lse, statistics of norms) shows in the
// losses or the gradients, and first in that block.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "tests/model/small_model.h"

namespace fovea {
namespace {

struct Place {
  int64 layer = 0;
  Slot slot = Slot::norm1;
  size_t part = 0;
};

std::vector<Place> places_of(SmallModel& model) {
  std::vector<Place> places;
  model.train(true, nullptr, [&](int64 layer, const Saved& saved) {
    for (size_t slot = 0; slot < kSlots; ++slot)
      for (size_t part = 0; part < 3; ++part)
        if (saved(static_cast<Slot>(slot), part)) places.push_back({layer, static_cast<Slot>(slot), part});
  });
  return places;
}

// One number in the middle; the loss of each row is scored and each row is seen by itself, so that all count.
void plant(const View& x, double value) {
  const View flat = x.reshape({x.elements()});
  store(flat, {flat.elements() / 2}, value);
}

bool is_finite(const Gradient& gradient) {
  return std::all_of(gradient.values.begin(), gradient.values.end(),
                     [](double x) { return std::isfinite(x); });
}

// Where the trainer would say that it began: the first probe, else the first gradient.
std::string first_place(const Probe& probe, const Step& step) {
  for (const auto& [name, sum] : probe.sums)
    if (!std::isfinite(sum.get())) return name;
  for (const Gradient& gradient : step.gradients)
    if (!is_finite(gradient)) return gradient.name;
  return "nowhere";
}

// Naive attention's backward makes its softmax anew, without lse. The statistics of a norm after the MLP are
// made again where the branch is added; RMSNorm has one statistic.
bool is_read(const Place& place, Backend backend, NormKind norm) {
  if (place.slot == Slot::attended && place.part == 1) return backend != Backend::naive;
  if (place.slot == Slot::mlp_branch) return place.part == 0;
  return place.slot != Slot::attention_branch || place.part < 2 || norm == NormKind::layer_norm;
}

class NonFiniteSlots : public testing::TestWithParam<ModelCase> {};

TEST_P(NonFiniteSlots, ShowAndAreNamedByTheirBlock) {
  const How hows[] = {{},
                      {.backend = Backend::cpu, .precision = kF32},
                      {.backend = Backend::naive, .precision = kF32},
                      {.backend = Backend::cpu, .precision = kBf16}};
  for (const How& how : hows) {
    SmallModel model(GetParam(), how);
    const Step calm = model.train();
    const std::vector<Place> places = places_of(model);
    ASSERT_GE(places.size(), 18u);
    for (const Place& place : places) {
      Probe probe;
      const Step step = model.train(true, &probe, [&](int64 layer, const Saved& saved) {
        if (layer == place.layer)
          plant(saved(place.slot, place.part), std::numeric_limits<double>::quiet_NaN());
      });
      const std::string where =
          fmt::format("{} part {} of block {}, {} in {}", name_of(place.slot), place.part, place.layer,
                      name_of(how.backend), name_of(how.precision.compute));
      if (is_read(place, how.backend, model.decoder().shape().norm.kind))
        EXPECT_THAT(first_place(probe, step), testing::StartsWith(fmt::format("blocks.{}", place.layer)))
            << where;
      else
        EXPECT_TRUE(step.bits == calm.bits) << where << " was read after all";
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Model, NonFiniteSlots, testing::ValuesIn(model_cases()),
                         [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace fovea
