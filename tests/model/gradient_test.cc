// Gradients of whole models in double precision against central differences of their losses.

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "core/random.h"
#include "tests/model/small_model.h"

namespace fovea {
namespace {

class ModelGradient : public testing::TestWithParam<ModelCase> {};

double norm_of(const std::vector<double>& x) {
  return std::sqrt(std::inner_product(x.begin(), x.end(), x.begin(), 0.0));
}

// The slope of the scaled loss along a direction (unit) of one parameter, of fourth order in h.
double slope_along(SmallModel& model, ParameterId id, const std::vector<double>& direction) {
  const View values = model.parameter(id).reshape({static_cast<int64>(direction.size())});
  std::vector<double> at(direction.size());
  for (size_t i = 0; i < at.size(); ++i) at[i] = load(values, {static_cast<int64>(i)});
  const auto loss = [&](double t) {
    for (size_t i = 0; i < at.size(); ++i) store(values, {static_cast<int64>(i)}, at[i] + t * direction[i]);
    const std::vector<double> losses = model.losses();
    return SmallModel::kGradientScale * std::accumulate(losses.begin(), losses.end(), 0.0);
  };
  const double h = 1e-3;
  const double slope = (8 * (loss(h) - loss(-h)) - (loss(2 * h) - loss(-2 * h))) / (12 * h);
  loss(0);
  return slope;
}

TEST_P(ModelGradient, EqualsFiniteDifferences) {
  SmallModel model(GetParam(), {});
  const Step step = model.train();
  double whole = 0;
  for (const Gradient& gradient : step.gradients) whole = std::hypot(whole, norm_of(gradient.values));
  ASSERT_GT(whole, 0.1);
  for (size_t id = 0; id < step.gradients.size(); ++id) {
    const Gradient& gradient = step.gradients[id];
    std::vector<double> direction(gradient.values.size());
    const RandomSequence random{11, RandomUse::synthetic, static_cast<uint32>(id)};
    for (size_t i = 0; i < direction.size(); ++i) direction[i] = random.normal(i);
    const double length = norm_of(direction);
    for (double& d : direction) d /= length;
    const double expected =
        std::inner_product(direction.begin(), direction.end(), gradient.values.begin(), 0.0);
    const double actual = slope_along(model, static_cast<ParameterId>(id), direction);
    // A random direction may happen to be level, and the bias of keys always is where nothing is rotated:
    // what is relative then is the tensor's gradient, or a hundred-thousandth of the whole.
    const double typical = norm_of(gradient.values) / std::sqrt(static_cast<double>(direction.size()));
    const double scale = std::max({std::abs(expected), typical, 1e-5 * whole});
    EXPECT_NEAR(actual, expected, 1e-7 * scale) << gradient.name;
  }
}

TEST_P(ModelGradient, ForwardAloneGivesTheSameLosses) {
  SmallModel model(GetParam(), {});
  EXPECT_EQ(model.losses(), model.train().losses);
}

INSTANTIATE_TEST_SUITE_P(Cases, ModelGradient, testing::ValuesIn(model_cases()),
                         [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace fovea
