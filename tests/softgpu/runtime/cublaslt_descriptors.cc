#include "runtime/cublaslt_descriptors.h"

#include <fmt/format.h>

#include <cstdio>

namespace softgpu::cublaslt {

namespace {

std::optional<ElementType> element_type(uint32_t type) {
  switch (type) {
    case CUDA_R_32F:
      return ElementType::f32;
    case CUDA_R_16BF:
      return ElementType::bf16;
    case CUDA_R_16F:
      return ElementType::f16;
    default:
      return std::nullopt;
  }
}

std::optional<Epilogue> epilogue_of(uint32_t epilogue) {
  switch (epilogue) {
    case CUBLASLT_EPILOGUE_DEFAULT:
      return Epilogue::none;
    case CUBLASLT_EPILOGUE_BIAS:
      return Epilogue::bias;
    case CUBLASLT_EPILOGUE_BGRADA:
      return Epilogue::bias_gradient_a;
    case CUBLASLT_EPILOGUE_BGRADB:
      return Epilogue::bias_gradient_b;
    default:
      return std::nullopt;
  }
}

// Why the layout is none; empty if it is one.
std::string judge(const std::string& role, const Layout& layout, int32_t batches) {
  if (!element_type(layout.type)) return fmt::format("{}: data type {} is not supported", role, layout.type);
  if (layout.order != CUBLASLT_ORDER_COL && layout.order != CUBLASLT_ORDER_ROW) {
    return fmt::format("{}: order {} is not supported", role, layout.order);
  }
  const uint64_t least = layout.order == CUBLASLT_ORDER_COL ? layout.rows : layout.cols;
  if (layout.ld < static_cast<int64_t>(least)) {
    return fmt::format("{}: leading dimension {} for {} x {}", role, layout.ld, layout.rows, layout.cols);
  }
  if (layout.batch_mode != 0) return fmt::format("{}: batches by arrays of pointers are not supported", role);
  if (layout.batch_count != batches)
    return fmt::format("{}: {} batches, D has {}", role, layout.batch_count, batches);
  return {};
}

Matrix matrix_of(const std::string& role, const Layout& layout) {
  return {role,        *element_type(layout.type),         0,         layout.rows,
          layout.cols, layout.order == CUBLASLT_ORDER_ROW, layout.ld, layout.strided_batch_offset};
}

// Types that go together with sums in f32 (cuBLAS documentation, table of cublasLtMatmul): A and B of one
// type; C and D of one type, theirs or f32.
std::string judge_types(const Product& product) {
  if (product.a.type != product.b.type || product.c.type != product.d.type ||
      (product.d.type != product.a.type && product.d.type != ElementType::f32)) {
    return fmt::format("A {}, B {}, C {}, D {} do not go together", name(product.a.type),
                       name(product.b.type), name(product.c.type), name(product.d.type));
  }
  if (product.epilogue != Epilogue::none && product.vector.type != product.d.type) {
    return fmt::format("a bias of {} for D of {}", name(product.vector.type), name(product.d.type));
  }
  return {};
}

std::string judge_description(const Description& description) {
  if (description.compute_type != CUBLAS_COMPUTE_32F &&
      description.compute_type != CUBLAS_COMPUTE_32F_PEDANTIC &&
      description.compute_type != CUBLAS_COMPUTE_32F_FAST_TF32) {
    return fmt::format("compute type {} is not supported", description.compute_type);
  }
  if (description.scale_type != CUDA_R_32F)
    return fmt::format("scale type {} is not supported", description.scale_type);
  if (description.pointer_mode != CUBLASLT_POINTER_MODE_HOST &&
      description.pointer_mode != CUBLASLT_POINTER_MODE_DEVICE) {
    return fmt::format("pointer mode {} is not supported", description.pointer_mode);
  }
  if (!epilogue_of(description.epilogue))
    return fmt::format("epilogue {} is not supported", description.epilogue);
  const auto known = [](int32_t operation) { return operation == CUBLAS_OP_N || operation == CUBLAS_OP_T; };
  if (!known(description.transa) || !known(description.transb))
    return "operations other than N and T are not supported";
  if (description.bias_data_type != -1 && !element_type(static_cast<uint32_t>(description.bias_data_type))) {
    return fmt::format("bias data type {} is not supported", description.bias_data_type);
  }
  return {};
}

std::string judge_sizes(const Product& product) {
  const uint64_t rows_a = product.transpose_a ? product.a.columns : product.a.rows;
  const uint64_t depth_b = product.transpose_b ? product.b.columns : product.b.rows;
  const uint64_t columns_b = product.transpose_b ? product.b.rows : product.b.columns;
  const bool fits = rows_a == product.d.rows && columns_b == product.d.columns && depth_b == product.k() &&
                    product.c.rows == product.d.rows && product.c.columns == product.d.columns;
  return fits ? std::string{}
              : fmt::format("op(A) {} x {}, op(B) {} x {}, C {} x {}, D {} x {} do not fit", rows_a,
                            product.k(), depth_b, columns_b, product.c.rows, product.c.columns,
                            product.d.rows, product.d.columns);
}

}  // namespace

cublasStatus_t refuse(cublasStatus_t status, const std::string& why) {
  fmt::print(stderr, "softgpu: cublasLt: {}\n", why);
  return status;
}

std::optional<Product> product_of(const Request& request, cublasStatus_t& status) {
  const Description& description = request.description;
  const auto no = [&](cublasStatus_t which, const std::string& why) {
    status = refuse(which, why);
    return std::nullopt;
  };
  if (const auto why = judge_description(description); !why.empty())
    return no(CUBLAS_STATUS_NOT_SUPPORTED, why);
  for (const auto& [role, layout] : {std::pair{"A", &request.a}, std::pair{"B", &request.b},
                                     std::pair{"C", &request.c}, std::pair{"D", &request.d}}) {
    const auto why = judge(role, *layout, request.d.batch_count);
    if (!why.empty()) return no(CUBLAS_STATUS_INVALID_VALUE, why);
  }
  Product product;
  product.a = matrix_of("A", request.a);
  product.b = matrix_of("B", request.b);
  product.c = matrix_of("C", request.c);
  product.d = matrix_of("D", request.d);
  product.transpose_a = description.transa == CUBLAS_OP_T;
  product.transpose_b = description.transb == CUBLAS_OP_T;
  product.round_to_tf32 =
      description.compute_type == CUBLAS_COMPUTE_32F_FAST_TF32 && product.a.type == ElementType::f32;
  product.epilogue = *epilogue_of(description.epilogue);
  product.vector = {description.bias_data_type == -1
                        ? product.d.type
                        : *element_type(static_cast<uint32_t>(description.bias_data_type)),
                    description.bias_pointer, description.bias_batch_stride};
  product.batches = static_cast<uint64_t>(request.d.batch_count);
  if (const auto why = judge_types(product); !why.empty()) return no(CUBLAS_STATUS_NOT_SUPPORTED, why);
  if (const auto why = judge_sizes(product); !why.empty()) return no(CUBLAS_STATUS_INVALID_VALUE, why);
  return product;
}

uint64_t problem_of(const Request& request) {
  uint64_t hash = 0xCBF29CE484222325;  // FNV-1a over what counts
  const auto add = [&](uint64_t value) { hash = (hash ^ value) * 0x100000001B3; };
  const Description& description = request.description;
  for (const int32_t word :
       {description.compute_type, description.pointer_mode, description.transa, description.transb,
        static_cast<int32_t>(description.epilogue), description.bias_data_type}) {
    add(static_cast<uint64_t>(word));
  }
  for (const Layout* layout : {&request.a, &request.b, &request.c, &request.d}) {
    add(layout->type);
    add(static_cast<uint64_t>(layout->order));
    add(layout->rows);
    add(layout->cols);
    add(static_cast<uint64_t>(layout->ld));
    add(static_cast<uint64_t>(layout->batch_count));
    add(static_cast<uint64_t>(layout->strided_batch_offset));
  }
  return hash;
}

}  // namespace softgpu::cublaslt
