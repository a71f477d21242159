// The same model on every backend and in every precision, against double precision.

#include <gtest/gtest.h>

#include <cmath>

#include "tests/model/small_model.h"

namespace fovea {
namespace {

struct Setting {
  std::string name;
  Backend backend;
  Precision precision;
};

void PrintTo(const Setting& setting, std::ostream* out) { *out << setting.name; }

const Setting kSettings[] = {{"cpu_f32", Backend::cpu, kF32},
                             {"naive_f32", Backend::naive, kF32},
                             {"cpu_bf16", Backend::cpu, kBf16},
                             {"naive_bf16", Backend::naive, kBf16},
                             {"cpu_bf16_residual", Backend::cpu, kBf16Residual},
                             {"naive_bf16_residual", Backend::naive, kBf16Residual}};

double distance(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += (a[i] - b[i]) * (a[i] - b[i]);
  return std::sqrt(sum);
}
double norm_of(const std::vector<double>& a) { return distance(a, std::vector<double>(a.size(), 0.0)); }

// What a backend's own sums, which are in f32 whatever the storage, add to that of storage.
double rounding(const Precision& precision) { return precision.compute == DType::f32 ? 0x1p-20 : 0x1p-8; }

class ModelOnBackend : public testing::TestWithParam<std::tuple<ModelCase, Setting>> {};

// What rounding may do to a model is not known beforehand (attention is peaked on purpose), but the reference
// backend shows it: it stores in the same precision and computes in double precision. An honest backend is no
// more than a few times further from the truth.
TEST_P(ModelOnBackend, IsAsCloseToDoublePrecisionAsItsStorageAllows) {
  const auto& [model_case, setting] = GetParam();
  const Step exact = SmallModel(model_case, {}).train();
  const Step stored = SmallModel(model_case, {.precision = setting.precision}).train();
  const Step actual =
      SmallModel(model_case, {.backend = setting.backend, .precision = setting.precision}).train();
  const double epsilon = rounding(setting.precision);

  for (size_t i = 0; i < exact.losses.size(); ++i)
    if (exact.losses[i] == 0) {
      EXPECT_EQ(actual.losses[i], 0);
    }
  const double loss_bound = 4 * distance(stored.losses, exact.losses) + epsilon * norm_of(exact.losses);
  EXPECT_LE(distance(actual.losses, exact.losses), loss_bound);

  double whole = 0;
  for (const Gradient& gradient : exact.gradients) whole = std::hypot(whole, norm_of(gradient.values));
  for (size_t id = 0; id < exact.gradients.size(); ++id) {
    const std::vector<double>& e = exact.gradients[id].values;
    const double error = distance(actual.gradients[id].values, e);
    const double bound = 4 * distance(stored.gradients[id].values, e) + epsilon * (norm_of(e) + 0.1 * whole);
    EXPECT_LE(error, bound) << exact.gradients[id].name;
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, ModelOnBackend,
                         testing::Combine(testing::ValuesIn(model_cases()), testing::ValuesIn(kSettings)),
                         [](const auto& test) {
                           return std::get<0>(test.param).name + "_" + std::get<1>(test.param).name;
                         });

}  // namespace
}  // namespace fovea
