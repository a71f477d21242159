#pragma once

#include "core/ranges.h"
#include "core/stream.h"

namespace fovea {

/// sum of x^2 over a flat range x (n) f32 | bf16 | f64, in f64 by a tree whose shape depends on n alone.
/// Non-finite values show in the result. It is read by the host, or stays where the stream computes: total
/// (1) f64.
Readback<double> sum_of_squares(Stream& stream, const View& x);
void sum_of_squares(Stream& stream, const View& x, const Readback<double>& result);
void sum_of_squares(Stream& stream, const View& x, const View& total);

/// sum of x (n), likewise.
Readback<double> sum(Stream& stream, const View& x);
void sum(Stream& stream, const View& x, const Readback<double>& result);
void sum(Stream& stream, const View& x, const View& total);

/// y += x, flat ranges (n) of one dtype f32 | f64.
void add_into(Stream& stream, const View& y, const View& x);

/// y += rate (x - y), flat ranges (n) of one dtype f32 | f64: one step of a moving average of x, whose decay
/// is 1 - rate. Where y is x it stays so to the bit.
void move_towards(Stream& stream, const View& y, const View& x, double rate);

/// y = x rounded to y's dtype, flat ranges (n) of any float dtypes.
void convert(Stream& stream, const View& y, const View& x);

/// y = 0, any dtype, contiguous.
void fill_zero(Stream& stream, const View& y);
/// Zeroes these ranges of y (n), any dtype.
void fill_zero(Stream& stream, const View& y, const Ranges& ranges);

}  // namespace fovea
