#pragma once

// Tiny decoders of every kind, and one step of them on any backend: what the tests of the model share.

#include <ostream>
#include <string>
#include <vector>

#include "core/buffer.h"
#include "model/decoder.h"

namespace fovea {

struct ModelCase {
  std::string name;
  ModelConfig config;
  int64 vocabulary = 11, sequences = 2, length = 7;
  std::vector<int64> documents = {};  ///< their bounds over all rows; empty: each sequence is one
  int64 first_sequence = 0;           ///< of the data: a batch may be a part of another
};

inline void PrintTo(const ModelCase& c, std::ostream* out) { *out << c.name; }

/// Every family, and every choice that a family may be overridden in.
const std::vector<ModelCase>& model_cases();
const ModelCase& case_named(const std::string& name);
/// Of four layers and larger than one tile, panel or chunk of any kernel.
ModelCase larger_case(const std::string& name);

constexpr Precision kF64{DType::f64, DType::f64, DType::f64};
constexpr Precision kF32{DType::f32, DType::f32, DType::f32};
constexpr Precision kBf16{DType::bf16, DType::f32, DType::f32};
constexpr Precision kBf16Residual{DType::bf16, DType::bf16, DType::f32};

/// How a step is computed; nothing here may change what it computes by more than rounding.
struct How {
  Backend backend = Backend::reference;
  Precision precision = kF64;
  int threads = 1;
  Stream::Mode mode = Stream::Mode::immediate;
  RecomputePolicy policy = {};
  bool poison = true;  ///< of arena and scratch memory
};

struct Gradient {
  std::string name;
  std::vector<double> values;
};

struct Step {
  std::vector<double> losses;  // (N)
  std::vector<Gradient> gradients;
  std::vector<std::byte> bits;  ///< of losses and the flat gradients
  double total = 0;             ///< of the losses
};

/// A decoder with weights under which features show (norms off 1, biases off 0, attention peaked), all of
/// them exact in bf16, so that every backend and precision computes the same function.
class SmallModel {
 public:
  static constexpr double kGradientScale = 0.25;
  static constexpr uint64 kSeed = 5;
  static constexpr int64 kFirstRow = 21;  ///< of the data's first sequence

  SmallModel(ModelCase model, const How& how);

  const ModelConfig& config() const { return case_.config; }
  const Decoder& decoder() const { return decoder_; }
  const MemoryPlan& plan() const { return plan_; }
  View parameter(ParameterId id) const { return decoder_.layout().view(weights_, id); }
  const ModelCase& model_case() const { return case_; }
  const View& tokens() const { return tokens_; }
  const View& targets() const { return targets_; }
  const View& positions() const { return positions_; }
  const Stream& stream() const { return stream_; }
  const Stream& planning() const { return planning_; }
  std::vector<SlotCost> slot_costs() const;

  /// Forward and backward, of the first gradients or on top of what is there.
  Step train(bool first = true, Probe* probe = nullptr, const Decoder::BlockVisitor& visit = {});
  /// The losses of the forward alone, with the same dropout.
  std::vector<double> losses();

 private:
  StepContext context(Stream& stream, Arena& arena, Probe* probe = nullptr) const;
  std::vector<double> losses_now() const;

  ModelCase case_;
  How how_;
  Decoder decoder_;
  Stream stream_, planning_;
  Buffer weights_, compute_weights_, gradients_, losses_, tokens_, targets_, positions_;
  std::shared_ptr<const DocumentBounds> documents_;
  MemoryPlan plan_, forward_plan_;
  Buffer memory_, forward_memory_;
  Arena arena_, forward_arena_;
};

}  // namespace fovea
