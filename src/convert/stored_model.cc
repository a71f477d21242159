#include "convert/stored_model.h"

#include <utility>

#include "core/error.h"
#include "model/decoder.h"
#include "model/families.h"

namespace fovea {
namespace {

/// Where a parameter lies.
struct Place {
  std::span<const std::byte> bytes;  // of the whole tensor
  DType dtype = DType::f32;
  Placement placement;
};

void read_place(const Place& place, const View& to) {
  const Placement& p = place.placement;
  const int64 element = size_of(place.dtype), n = p.heads * p.rows * p.columns;
  FOVEA_CHECK(to.elements() == n, "{} elements are read into {}", n, to.describe());
  expect_pages(place.bytes);
  if (p.contiguous()) {
    convert_elements(place.bytes.data() + p.offset * element, place.dtype, to);
  } else {
    std::vector<std::byte> ours(static_cast<size_t>(n * element));
    gather(p, place.bytes.data(), element, ours.data());
    convert_elements(ours.data(), place.dtype, to);
  }
  release_pages(place.bytes);
}

// The parameter's own bytes, where they follow one another.
std::span<const std::byte> bytes_there(const Place& place) {
  const Placement& p = place.placement;
  if (!p.contiguous()) return {};
  const auto element = static_cast<size_t>(size_of(place.dtype));
  return place.bytes.subspan(static_cast<size_t>(p.offset) * element,
                             static_cast<size_t>(p.heads * p.rows * p.columns) * element);
}

}  // namespace

DecoderShape StoredModel::shape() const { return decoder_shape(config, vocabulary); }

StoredModel model_of(const ModelConfig& config, int64 vocabulary, std::span<const float> parameters) {
  StoredModel model;
  model.config = config;
  model.vocabulary = vocabulary;
  model.layout = layout_of(model.shape());
  FOVEA_CHECK(std::cmp_equal(parameters.size(), model.layout.elements()), "{} parameters for a layout of {}",
              parameters.size(), model.layout.elements());
  model.tensors = own_tensors(model.layout);
  const auto layout = std::make_shared<const ParameterLayout>(model.layout);
  model.parameters = source_of(*layout, parameters);
  model.parameters.read = [layout, read = model.parameters.read](ParameterId id, const View& to) {
    read(id, to);
  };
  return model;
}

DecoderShape without_tables(DecoderShape shape) {
  if (shape.position != PositionKind::learned) shape.context = 1;
  return shape;
}

ParameterLayout layout_of(const DecoderShape& shape) { return Decoder(without_tables(shape)).layout(); }

ParameterSource stored_parameters(const std::shared_ptr<const TensorFiles>& files,
                                  const std::vector<FileTensor>& tensors, const ParameterLayout& layout,
                                  int64 head_dim) {
  const auto places = std::make_shared<std::vector<Place>>(layout.parameters().size());
  for (const FileTensor& tensor : tensors) {
    const SafeTensors::Tensor& found = files->tensor(tensor.name);
    if (found.shape != tensor.shape)
      fail_input("{}: tensor {} has the shape ({}), this model wants ({})", files->path().string(),
                 tensor.name, shape_text(found.shape), shape_text(tensor.shape));
    if (found.dtype == DType::i32)
      fail_input("{}: tensor {} holds integers", files->path().string(), tensor.name);
    for (size_t part = 0; part < tensor.parts.size(); ++part)
      (*places)[static_cast<size_t>(tensor.parts[part])] = {files->bytes(tensor.name), found.dtype,
                                                            placement_of(tensor, part, layout, head_dim)};
  }
  const auto place = [places, files](ParameterId id) -> const Place& {
    return (*places)[static_cast<size_t>(id)];
  };
  return {[place](ParameterId id) { return place(id).dtype; },
          [place](ParameterId id, const View& to) { read_place(place(id), to); },
          [place](ParameterId id) { return bytes_there(place(id)); }};
}

}  // namespace fovea
