#include "core/view.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <numeric>
#include <vector>

#include "core/buffer.h"

namespace fovea {
namespace {

TEST(View, ADefaultViewIsAnAbsentOperand) {
  const View view;
  EXPECT_FALSE(view);
  EXPECT_EQ(view.elements(), 0);
  EXPECT_EQ(view.describe(), "nothing");
  expect_optional(view, "sink", {8});
}

TEST(View, ASliceOfAPackedBufferIsAView) {
  // (T, 3, H, D) as a QKV projection writes it; K is the middle of the second axis.
  constexpr int64 kT = 5, kH = 2, kD = 4;
  std::vector<float> qkv(kT * 3 * kH * kD);
  std::iota(qkv.begin(), qkv.end(), 0.0f);
  const View k(qkv.data() + kH * kD, DType::f32, {kT, kH, kD}, {3 * kH * kD, kD, 1});
  EXPECT_FALSE(k.contiguous());
  EXPECT_EQ(k.bytes(), kT * kH * kD * 4);
  for (int64 t = 0; t < kT; ++t)
    for (int64 h = 0; h < kH; ++h)
      for (int64 d = 0; d < kD; ++d)
        EXPECT_EQ(load(k, {t, h, d}), static_cast<double>(((t * 3 + 1) * kH + h) * kD + d));
  const View rows = k.slice({2, 4});
  EXPECT_TRUE(rows.has_shape({2, kH, kD}));
  EXPECT_EQ(load(rows, {0, 1, 3}), load(k, {2, 1, 3}));
  store(rows, {1, 0, 0}, -1);
  EXPECT_EQ(qkv[(3 * 3 + 1) * kH * kD], -1.0f);
}

RC_GTEST_PROP(ViewProperty, IndicesAreRowMajorAndReshapeKeepsThem, ()) {
  const auto a = *rc::gen::inRange<int64>(1, 5), b = *rc::gen::inRange<int64>(1, 5),
             c = *rc::gen::inRange<int64>(1, 5);
  std::vector<int32> data(static_cast<size_t>(a * b * c));
  std::iota(data.begin(), data.end(), 0);
  const View view(data.data(), DType::i32, {a, b, c});
  const View flat = view.reshape({a * b, c});
  RC_ASSERT(view.contiguous() && view.elements() == a * b * c);
  for (int64 i = 0; i < a; ++i)
    for (int64 j = 0; j < b; ++j)
      for (int64 k = 0; k < c; ++k) {
        RC_ASSERT(load(view, {i, j, k}) == static_cast<double>((i * b + j) * c + k));
        RC_ASSERT(flat.row<int32>(i * b + j)[k] == (i * b + j) * c + k);
      }
}

TEST(View, LoadAndStoreRoundToTheStorage) {
  for (DType dtype : {DType::f64, DType::f32, DType::bf16, DType::f16, DType::i32}) {
    const Buffer buffer(dtype, {2});
    store(buffer, {1}, 3);
    EXPECT_EQ(load(buffer, {1}), 3);
    EXPECT_EQ(load(buffer, {0}), 0);
    store(buffer, {1}, 1 + 0x1p-9);
    const bool wide = dtype == DType::f64 || dtype == DType::f32 || dtype == DType::f16;
    EXPECT_EQ(load(buffer, {1}), wide ? 1 + 0x1p-9 : 1) << name_of(dtype);
  }
}

TEST(View, OffsetsAre64Bit) {
  float first = 0;  // only addresses are computed
  const View view(&first, DType::f32, {3, int64{1} << 31}, {int64{1} << 33, 1});
  const auto offset = reinterpret_cast<std::intptr_t>(view.at({2, (int64{1} << 31) - 1})) -
                      reinterpret_cast<std::intptr_t>(&first);
  EXPECT_EQ(offset, ((int64{1} << 34) + (int64{1} << 31) - 1) * 4);
}

TEST(View, WhatIsZeroLongHasNoElements) {
  const View view(nullptr, DType::bf16, {4, 0, 8});
  EXPECT_TRUE(view);
  EXPECT_EQ(view.elements(), 0);
  EXPECT_EQ(view.bytes(), 0);
}

TEST(ViewDeath, MisuseIsABrokenInvariant) {
  const Buffer buffer(DType::f32, {4, 6});
  const View& view = buffer.view();
  const View strided(buffer.data(), DType::f32, {4, 3}, {6, 1});
  EXPECT_DEATH(view.data<bf16>(), "view of f32 read as bf16");
  EXPECT_DEATH((void)view.reshape({5, 5}), "f32 \\(4, 6\\) reshaped to f32 \\(5, 5\\)");
  EXPECT_DEATH((void)strided.reshape({12}), "only contiguous views can be reshaped");
  EXPECT_DEATH((void)view.slice({2, 5}), "rows \\[2, 5\\) of f32 \\(4, 6\\)");
  EXPECT_DEATH((void)view.at({1}), "1 indices for 2 axes");
  EXPECT_DEATH(View(buffer.data(), DType::f32, {4, 3}, {6, 2}), "the innermost stride is 2, not 1");
  EXPECT_DEATH(View(nullptr, DType::f32, {1, 1, 1, 1, 1}), "1 to 4 axes, not 5");
  EXPECT_DEATH(expect(view, "rms_norm: y", {4, 7}), "rms_norm: y is f32 \\(4, 6\\), wanted f32 \\(4, 7\\)");
  EXPECT_DEATH(expect(view, "y", {4, 6}, DType::f64), "y is f32, wanted f64");
}

TEST(Buffer, IsAlignedZeroAndOwned) {
  Buffer buffer(DType::bf16, {3, 5});
  EXPECT_EQ(buffer.bytes(), 30);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(buffer.data()) % 64, 0u);
  for (int64 i = 0; i < buffer.bytes(); ++i) ASSERT_EQ(buffer.data()[i], std::byte{0});
  std::byte* data = buffer.data();
  const Buffer moved = std::move(buffer);
  EXPECT_EQ(moved.data(), data);
  EXPECT_TRUE(moved.view().has_shape({3, 5}));
}

}  // namespace
}  // namespace fovea
