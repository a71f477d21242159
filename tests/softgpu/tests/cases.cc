#include "tests/cases.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <optional>
#include <random>

#include "tests/numbers.h"

namespace softgpu {

namespace {

constexpr size_t kRandom = 1500;

using Random = std::mt19937_64;

std::optional<Format> format_of(Meaning meaning) {
  switch (meaning) {
    case Meaning::f16:
    case Meaning::f16x2:
      return kF16;
    case Meaning::bf16:
    case Meaning::bf16x2:
      return kBf16;
    case Meaning::f32:
      return kF32;
    default:
      return std::nullopt;
  }
}

int width(Meaning meaning) {
  switch (form(meaning)) {
    case Form::pred:
      return 1;
    case Form::b8:
      return 8;
    case Form::b16:
      return 16;
    case Form::b32:
      return 32;
    case Form::b64:
      return 64;
  }
  return 0;
}

uint64_t masked(uint64_t bits, int width) { return width == 64 ? bits : bits & ((uint64_t{1} << width) - 1); }

Words integer_edges(int width) {
  Words edges{0, 1, 2, 3, 7, 31, 32, 33, 0x55, 0xAAAAAAAAAAAAAAAA, 0x0123456789ABCDEF};
  for (const uint64_t bits :
       {~uint64_t{0}, ~uint64_t{1}, uint64_t{1} << (width - 1), (uint64_t{1} << (width - 1)) - 1,
        (uint64_t{1} << (width - 1)) + 1, uint64_t{1} << (width / 2)}) {
    edges.push_back(bits);
  }
  for (uint64_t& edge : edges) edge = masked(edge, width);
  return edges;
}

Words float_edges(Format format) {
  const int m = format.mantissa_bits;
  const uint64_t infinity = ((uint64_t{1} << format.exponent_bits) - 1) << m;
  const uint64_t one = ((uint64_t{1} << (format.exponent_bits - 1)) - 1) << m;
  Words edges{0,
              1,
              (uint64_t{1} << m) - 1,
              uint64_t{1} << m,
              one,
              one + 1,
              one - 1,
              one + (uint64_t{1} << m),
              one + (uint64_t{1} << (m - 1)),
              one - (uint64_t{1} << m),
              infinity - 1,
              infinity,
              infinity | 1,
              infinity | (uint64_t{1} << (m - 1))};
  const size_t positive = edges.size();
  for (size_t i = 0; i < positive; ++i) edges.push_back(edges[i] | (uint64_t{1} << (format.width() - 1)));
  return edges;
}

Words f64_edges() {
  Words edges;
  for (const double value :
       {0.0, 1.0, 1.5,          2.0,          0.1,    1e300,  1e-300,  4.9e-324, 2.3e-308, HUGE_VAL, 0.5,
        2.5, 3.5, 2147483647.5, 4294967296.0, 9.3e18, 1.9e19, 65504.0, 65520.0,  3.5e38,   1e-46}) {
    edges.push_back(from_double(value));
    edges.push_back(from_double(-value));
  }
  edges.push_back(from_double(std::nan("")));
  return edges;
}

// Numbers that programs have, beside any bits at all.
uint64_t random_float(Random& random, Format format) {
  if (random() % 4 == 0) return masked(random(), format.width());
  std::normal_distribution<double> exponent(0, format.exponent_bits == 5 ? 4 : 12);
  const double size = std::exp2(exponent(random)) * (1 + static_cast<double>(random() % 1000) / 1000);
  const double whole = random() % 8 == 0 ? std::round(size) + 0.5 * static_cast<double>(random() % 2) : size;
  return narrow(random() % 2 == 0 ? whole : -whole, format);
}

Words edges_of(Meaning meaning) {
  if (meaning == Meaning::pred) return {0, 1};
  if (meaning == Meaning::f64) return f64_edges();
  if (meaning == Meaning::amount) return {0, 1, 4, 15, 16, 31, 32, 33, 63, 64, 255, 256, 257, 0xFFFFFFFF};
  if (const auto format = format_of(meaning)) {
    Words edges = float_edges(*format);
    // Packed: each edge beside another one.
    if (width(meaning) == 2 * format->width()) {
      for (size_t i = 0; i < edges.size(); ++i)
        edges[i] |= (edges[(i * 7 + 3) % edges.size()] & 0xFFFF) << 16;
    }
    return edges;
  }
  return integer_edges(width(meaning));
}

uint64_t random_of(Meaning meaning, Random& random) {
  if (meaning == Meaning::amount) return random() % 8 == 0 ? masked(random(), 32) : random() % 40;
  if (meaning == Meaning::f64) {
    return random() % 4 == 0 ? random()
                             : from_double(std::ldexp(static_cast<double>(random()) - 9.2e18,
                                                      static_cast<int>(random() % 120) - 90));
  }
  if (const auto format = format_of(meaning)) {
    const uint64_t low = random_float(random, *format);
    return width(meaning) == 2 * format->width() ? low | random_float(random, *format) << 16 : low;
  }
  const uint64_t bits = random() >> (random() % 4 == 0 ? random() % 64 : 0);
  return masked(bits, width(meaning));
}

std::vector<Words> operands_of(const OpcodeCase& test) {
  Random random(std::hash<std::string>{}(test.text));
  std::vector<Words> edges;
  for (const Meaning meaning : test.inputs) edges.push_back(edges_of(meaning));
  std::vector<Words> operands;
  if (test.inputs.size() == 1) {
    for (const uint64_t edge : edges[0]) operands.push_back({edge});
  } else if (test.inputs.size() >= 2) {
    // All pairs of the first two, and something for the others.
    for (const uint64_t first : edges[0]) {
      for (const uint64_t second : edges[1]) {
        Words words{first, second};
        for (size_t i = 2; i < edges.size(); ++i) words.push_back(edges[i][random() % edges[i].size()]);
        operands.push_back(words);
      }
    }
  }
  for (size_t n = 0; n < kRandom; ++n) {
    Words words;
    for (size_t i = 0; i < edges.size(); ++i) {
      words.push_back(random() % 8 == 0 ? edges[i][random() % edges[i].size()]
                                        : random_of(test.inputs[i], random));
    }
    operands.push_back(words);
  }
  return operands;
}

bool close(double expected, double got, const OpcodeCase& test) {
  if (std::isnan(expected) || std::isnan(got)) return std::isnan(expected) && std::isnan(got);
  if (std::isinf(expected) || std::isinf(got)) {
    // A result that overflows within the error may be either.
    return expected == got || (test.relative > 0 && std::fabs(expected) >= 3.40282e38 &&
                               std::fabs(got) >= 3.40282e38 && std::signbit(expected) == std::signbit(got));
  }
  if (test.relative == 0 && test.absolute == 0)
    return expected == got && std::signbit(expected) == std::signbit(got);
  const double smallest = 0x1p-149;  // one unit of a subnormal
  return std::fabs(expected - got) <=
         std::max({test.relative * std::fabs(expected), test.absolute, smallest});
}

bool same(uint64_t expected, uint64_t got, Meaning meaning, const OpcodeCase& test) {
  if (meaning == Meaning::f64) return close(to_double(expected), to_double(got), test);
  const auto format = format_of(meaning);
  if (!format) return masked(expected, width(meaning)) == masked(got, width(meaning));
  for (int part = 0; part < width(meaning); part += format->width()) {
    const auto half = [&](uint64_t bits) { return widen(masked(bits >> part, format->width()), *format); };
    if (!close(half(expected), half(got), test)) return false;
  }
  return true;
}

std::string hex(const Words& words) {
  std::string text;
  for (const uint64_t word : words) {
    char digits[24];
    std::snprintf(digits, sizeof digits, " %#llx", static_cast<unsigned long long>(word));
    text += digits;
  }
  return text;
}

}  // namespace

Form form(Meaning meaning) {
  switch (meaning) {
    case Meaning::pred:
      return Form::pred;
    case Meaning::byte:
      return Form::b8;
    case Meaning::word16:
    case Meaning::f16:
    case Meaning::bf16:
      return Form::b16;
    case Meaning::word64:
    case Meaning::f64:
      return Form::b64;
    case Meaning::word32:
    case Meaning::amount:
    case Meaning::f32:
    case Meaning::f16x2:
    case Meaning::bf16x2:
      break;
  }
  return Form::b32;
}

void check_case(const OpcodeCase& test) {
  Snippet snippet{test.text, {}, {}};
  for (const Meaning meaning : test.inputs) snippet.inputs.push_back(form(meaning));
  for (const Meaning meaning : test.outputs) snippet.outputs.push_back(form(meaning));
  const std::vector<Words> operands = operands_of(test);
  const std::vector<Words> results = run_probe(snippet, operands);
  int told = 0;
  for (size_t i = 0; i < operands.size() && told < 5; ++i) {
    const Words expected = test.oracle(operands[i]);
    for (size_t j = 0; j < test.outputs.size(); ++j) {
      if (same(expected[j], results[i][j], test.outputs[j], test)) continue;
      ADD_FAILURE() << test.text << " of" << hex(operands[i]) << " is" << hex(results[i]) << ", not"
                    << hex(expected);
      ++told;
      break;
    }
  }
}

std::string name_of(const OpcodeCase& test) {
  std::string name = test.text.substr(0, test.text.find(' '));
  std::replace_if(
      name.begin(), name.end(), [](unsigned char c) { return std::isalnum(c) == 0; }, '_');
  return name;
}

}  // namespace softgpu
