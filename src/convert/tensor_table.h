#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/dtype.h"
#include "model/parameters.h"

namespace fovea {

/// How parameters of ours (out, in) lie in a file's tensor.
enum class Arrangement {
  same,
  transposed,    ///< GPT-2's Conv1D: (in, out)
  columns_of_3,  ///< GPT-2's c_attn: (in, 3 out), q k v side by side
  heads_of_3     ///< GPT-NeoX: (3 out, in), q k v of head 0, then of head 1, ...
};

/// A tensor of a model's file and the parameters that it is made of.
struct FileTensor {
  std::string name;
  std::vector<int64> shape;
  Arrangement arrangement = Arrangement::same;
  std::vector<ParameterId> parts;  ///< one, or q k v
};

/// The tensors of a Hugging Face model of this type (config.json's model_type, a type that is supported) for
/// these parameters, each with its name and shape there. The two-way table of import, export and gradients.
/// `bare`: as the model below the language-model head is saved, without the first part of its names.
std::vector<FileTensor> hugging_face_tensors(std::string_view model_type, const ParameterLayout& layout,
                                             bool bare = false);
/// Whether it is the head's matrix, which a tied model's files may hold besides.
bool is_head(std::string_view tensor);
/// Each parameter under its own name: fovea's files.
std::vector<FileTensor> own_tensors(const ParameterLayout& layout);

/// Where a parameter's element (h, r, c) lies in a tensor: at offset + h * head_stride + r * row_stride +
/// c * column_stride, in elements. In the parameter itself they follow one another.
struct Placement {
  int64 heads = 1, rows = 1, columns = 1;
  int64 offset = 0, head_stride = 0, row_stride = 0, column_stride = 1;

  bool contiguous() const;
};
Placement placement_of(const FileTensor& tensor, size_t part, const ParameterLayout& layout, int64 head_dim);

/// Moves elements of `element_bytes` out of a tensor into a parameter's order, and back.
void gather(const Placement& from, const std::byte* tensor, int64 element_bytes, std::byte* parameter);
void scatter(const Placement& to, const std::byte* parameter, int64 element_bytes, std::byte* tensor);

}  // namespace fovea
