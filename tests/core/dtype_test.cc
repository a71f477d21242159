#include "core/dtype.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <bit>
#include <cmath>
#include <limits>

namespace fovea {
namespace {

/// The properties of a binary format, from which its values follow by arithmetic alone.
struct Format {
  int mantissa_bits, lowest_exponent, highest_exponent;  // of normal numbers 1.m * 2^e
};
constexpr Format kBf16{7, -126, 127}, kF16{10, -14, 15};

/// x rounded to the nearest number of the format, ties to even, in double: scaling by a power of two is
/// exact, and nearbyint() rounds ties to even.
double rounded(double x, const Format& format) {
  if (!std::isfinite(x) || x == 0) return x;
  const int exponent = std::max(std::ilogb(x), format.lowest_exponent);
  const double quantum = std::ldexp(1.0, exponent - format.mantissa_bits);
  const double y = std::nearbyint(x / quantum) * quantum;
  if (std::abs(y) >= std::ldexp(1.0, format.highest_exponent + 1))
    return std::copysign(std::numeric_limits<double>::infinity(), x);
  return y;
}

/// What these 16 bits mean.
double decoded(uint16 bits, const Format& format) {
  const int exponent_mask = (1 << (15 - format.mantissa_bits)) - 1;
  const int exponent = (bits >> format.mantissa_bits) & exponent_mask;
  const double mantissa = bits & ((1 << format.mantissa_bits) - 1);
  const double sign = (bits & 0x8000) ? -1 : 1;
  if (exponent == exponent_mask)
    return mantissa != 0 ? std::numeric_limits<double>::quiet_NaN()
                         : sign * std::numeric_limits<double>::infinity();
  if (exponent == 0) return sign * std::ldexp(mantissa, format.lowest_exponent - format.mantissa_bits);
  return sign * std::ldexp(mantissa + (1 << format.mantissa_bits),
                           exponent - 1 + format.lowest_exponent - format.mantissa_bits);
}

/// Equal numbers, the sign of zero included; any NaN equals any other.
bool same(double a, double b) {
  if (std::isnan(a) || std::isnan(b)) return std::isnan(a) && std::isnan(b);
  return a == b && std::signbit(a) == std::signbit(b);
}

template <class T>
struct Storage;
template <>
struct Storage<bf16> {
  static constexpr Format format = kBf16;
};
template <>
struct Storage<f16> {
  static constexpr Format format = kF16;
};

template <class T>
void expect_rounded(float x) {
  const double got = static_cast<double>(to_f32(T(x)));
  EXPECT_TRUE(same(got, rounded(static_cast<double>(x), Storage<T>::format))) << x << " became " << got;
}

template <class T>
class Half : public testing::Test {};
using Halves = testing::Types<bf16, f16>;
TYPED_TEST_SUITE(Half, Halves);

TYPED_TEST(Half, EveryBitPatternReadsAsItsNumberAndWritesBack) {
  for (uint32 bits = 0; bits < 0x10000; ++bits) {
    TypeParam value;
    value.bits = static_cast<uint16>(bits);
    const double expected = decoded(value.bits, Storage<TypeParam>::format);
    ASSERT_TRUE(same(static_cast<double>(to_f32(value)), expected)) << bits;
    const TypeParam again(to_f32(value));
    if (std::isnan(expected))
      ASSERT_TRUE(std::isnan(to_f32(again))) << bits;
    else
      ASSERT_EQ(again.bits, value.bits);
  }
}

TYPED_TEST(Half, TiesGoToEvenAndTheirNeighboursToTheNearest) {
  const uint16 infinity = TypeParam(std::numeric_limits<float>::infinity()).bits;
  for (uint16 bits = 0; bits + 1 < infinity; ++bits) {
    TypeParam low, high;
    low.bits = bits;
    high.bits = static_cast<uint16>(bits + 1);
    const float tie = (to_f32(low) + to_f32(high)) / 2;
    for (float x : {tie, std::nextafter(tie, 0.0f), std::nextafter(tie, 1e38f)}) {
      expect_rounded<TypeParam>(x);
      expect_rounded<TypeParam>(-x);
    }
    if (testing::Test::HasFailure()) return;  // one message, not thousands
  }
}

TYPED_TEST(Half, LargestFiniteAndBeyond) {
  const Format format = Storage<TypeParam>::format;
  const double unit = std::ldexp(1.0, format.highest_exponent - format.mantissa_bits);
  const double largest = std::ldexp(1.0, format.highest_exponent + 1) - unit;
  const auto round_trip = [](double x) {
    return static_cast<double>(to_f32(TypeParam(static_cast<float>(x))));
  };
  EXPECT_EQ(round_trip(largest), largest);
  EXPECT_EQ(round_trip(largest + unit * 0.499), largest);
  EXPECT_EQ(round_trip(largest + unit * 0.5), std::numeric_limits<double>::infinity());
  EXPECT_EQ(round_trip(-largest - unit * 0.5), -std::numeric_limits<double>::infinity());
}

TYPED_TEST(Half, NanStaysNanWhateverItsPayload) {
  for (uint32 bits : {0x7f800001u, 0x7fc00000u, 0x7fffffffu, 0xff800001u, 0xffffffffu})
    EXPECT_TRUE(std::isnan(to_f32(TypeParam(std::bit_cast<float>(bits))))) << bits;
}

RC_GTEST_PROP(DTypeProperty, Bf16RoundsAnyFloatToNearestEven, (uint32 bits)) {
  const float x = std::bit_cast<float>(bits);
  RC_ASSERT(same(static_cast<double>(to_f32(bf16(x))), rounded(static_cast<double>(x), kBf16)));
}

RC_GTEST_PROP(DTypeProperty, F16RoundsAnyFloatToNearestEven, (uint32 bits)) {
  const float x = std::bit_cast<float>(bits);
  RC_ASSERT(same(static_cast<double>(to_f32(f16(x))), rounded(static_cast<double>(x), kF16)));
}

// Floats drawn by their bits are mostly outside of the range of f16: these are inside.
RC_GTEST_PROP(DTypeProperty, F16RoundsFloatsOfItsRange, (uint32 bits)) {
  const uint32 exponent = 127 - 26 + (bits >> 23) % 43;
  const float x = std::bit_cast<float>((bits & 0x807fffffu) | (exponent << 23));
  RC_ASSERT(same(static_cast<double>(to_f32(f16(x))), rounded(static_cast<double>(x), kF16)));
}

TEST(DType, NamesAndSizes) {
  for (DType dtype : {DType::f32, DType::bf16, DType::f16, DType::f64})
    EXPECT_EQ(dtype_named(name_of(dtype)), dtype);
  EXPECT_EQ(size_of(DType::f64), 8);
  EXPECT_EQ(size_of(DType::f32), 4);
  EXPECT_EQ(size_of(DType::i32), 4);
  EXPECT_EQ(size_of(DType::bf16), 2);
  EXPECT_EQ(size_of(DType::f16), 2);
  try {
    dtype_named("fp8");
    FAIL() << "accepted";
  } catch (const UserError& error) {
    EXPECT_EQ(error.code(), ExitCode::usage);
    EXPECT_THAT(error.what(), testing::HasSubstr("\"fp8\": choose f32, bf16, f16 or f64"));
  }
}

TEST(DType, DispatchPassesTheStorageType) {
  int64 bytes = 0;
  for (DType dtype : {DType::f32, DType::bf16, DType::f16}) {
    dispatch(dtype, [&]<class T>() { bytes = int64{sizeof(T)}; });
    EXPECT_EQ(bytes, size_of(dtype));
  }
  EXPECT_DEATH(dispatch(DType::i32, []<class T>() {}), "no kernel for dtype i32");
}

}  // namespace
}  // namespace fovea
