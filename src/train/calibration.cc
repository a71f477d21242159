#include "train/calibration.h"

#include <algorithm>
#include <cstring>

#include "kernels/reduce/reduce.h"

namespace fovea {
namespace {

using Eigen::MatrixXd;

constexpr Precision kPrecision{DType::f32, DType::f32, DType::f32};

// Forwards of one model over the sequences. Blocks are seen by `visit` after each; the losses (T) are there
// when a sequence is through.
class CalibrationPass {
 public:
  CalibrationPass(const CalibrationData& data, const DecoderShape& shape, const CalibrationEngine& engine,
                  std::span<const float> parameters)
      : data_(data),
        decoder_(shape, data.length),
        stream_(engine.backend, engine.threads),
        weights_(DType::f32, {decoder_.layout().elements()}),
        losses_(DType::f32, {data.length}) {
    FOVEA_CHECK(static_cast<int64>(parameters.size()) == decoder_.layout().elements(),
                "{} parameters for a layout of {}", parameters.size(), decoder_.layout().elements());
    std::memcpy(weights_.data(), parameters.data(), parameters.size_bytes());
    read(0);
    Stream planning(engine.backend, engine.threads, Stream::Mode::plan);
    Arena recording;
    decoder_.losses(context(planning, recording), losses_);
    plan_ = recording.plan();
    memory_ = Buffer(plan_.bytes);
    arena_.replay(plan_, memory_);
  }

  /// Returns the mean loss over all tokens that are scored, nat/token.
  double run(const Decoder::BlockVisitor& visit = {}) {
    double total = 0;
    int64 scored = 0;
    for (int64 sequence = 0; sequence < data_.sequences; ++sequence) {
      read(sequence);
      arena_.rewind();
      decoder_.losses(context(stream_, arena_), losses_, visit);
      const Readback<double> sum_of_losses = sum(stream_, losses_);
      stream_.synchronize();
      total += sum_of_losses.get();
      scored += batch_.scored;
    }
    return total / static_cast<double>(std::max<int64>(1, scored));
  }

 private:
  void read(int64 sequence) {
    data_.dataset.train_batch(data_.seed, data_.first_sample + sequence, 1, data_.length, batch_);
    documents_.reset();
    if (!batch_.documents.empty())
      documents_ = std::make_shared<const DocumentBounds>(DocumentBounds{batch_.documents, batch_.documents});
  }
  StepContext context(Stream& stream, Arena& arena) {
    const auto rows = [&](std::vector<int32>& values) {
      return View(values.data(), DType::i32, {data_.length});
    };
    return {.stream = stream,
            .arena = arena,
            .layout = decoder_.layout(),
            .precision = kPrecision,
            .weights = weights_,
            .compute_weights = weights_,
            .gradients = {},
            .batch = {1, data_.length, rows(batch_.tokens), rows(batch_.targets), rows(batch_.positions),
                      documents_}};
  }

  CalibrationData data_;
  Decoder decoder_;
  Stream stream_;
  Buffer weights_, losses_, memory_;
  MemoryPlan plan_;
  Arena arena_;
  Batch batch_;
  std::shared_ptr<const DocumentBounds> documents_;
};

// Adds the rows n (N, C) of a view to the sum of [n 1]^T [n 1].
void add_rows(const View& n, MatrixXd& sum) {
  using Rows = Eigen::Map<const Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>>;
  MatrixXd rows(n.size(0), n.size(1) + 1);
  rows.leftCols(n.size(1)) = Rows(n.data<float>(), n.size(0), n.size(1)).cast<double>();
  rows.rightCols(1).setOnes();
  sum.noalias() += rows.transpose() * rows;
}

}  // namespace

Calibration calibration_on(const CalibrationData& data, const DecoderShape& source,
                           const DecoderShape& target, const CalibrationEngine& engine) {
  Calibration calibration;
  calibration.second_moments = [=](std::span<const float> parameters) {
    Eigen::setNbThreads(1);  // bits must not depend on how many there are
    std::vector<MatrixXd> moments(static_cast<size_t>(source.layers),
                                  MatrixXd::Zero(source.width + 1, source.width + 1));
    CalibrationPass pass(data, source, engine, parameters);
    pass.run([&](int64 layer, const Saved& saved) {
      add_rows(saved(Slot::norm1), moments[static_cast<size_t>(layer)]);
    });
    for (MatrixXd& moment : moments) moment /= static_cast<double>(data.sequences * data.length);
    return moments;
  };
  calibration.loss = [=](std::span<const float> parameters) {
    return CalibrationPass(data, target, engine, parameters).run();
  };
  return calibration;
}

}  // namespace fovea
