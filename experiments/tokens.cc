#include "experiments/tokens.h"

#include <algorithm>
#include <numeric>

#include "core/error.h"
#include "core/file.h"
#include "core/random.h"
#include "data/dataset.h"
#include "data/token_files.h"
#include "record/foreign_hdf5.h"
#include "record/hdf5.h"

namespace fovea {
namespace {

constexpr int64 kBytes = 256;
constexpr int64 kLongest = int64{1} << 24;
enum : uint32 { kPlainStream, kRepeatedStream };

void expect_positions(const std::filesystem::path& path, const DecoderShape& shape, int64 length) {
  const int64 most = shape.position == PositionKind::learned ? shape.context : kLongest;
  if (length > most)
    fail_input("{}: sequences of {} tokens, the model has positions for {}", path.string(), length, most);
}

void expect_in_vocabulary(const Tokens& tokens, const DecoderShape& shape) {
  for (const int32 token : tokens.values)
    if (token < 0 || token >= shape.vocab)
      fail_input("{}: token {} is not in the model's vocabulary of {}", tokens.source, token, shape.vocab);
}

// Of `count` tokens, in sequences of `length`; 0: of the model's context, or all in one.
Tokens windows_of(const std::filesystem::path& path, const DecoderShape& shape, int64 count, int64 length) {
  if (count < 2)
    fail_input("{}: holds {} tokens: there is none to predict from another", path.string(), count);
  if (length > count)
    fail_input("{}: holds {} tokens, fewer than a sequence of {}", path.string(), count, length);
  const int64 of = length > 0 ? length : std::min(count, shape.context);
  expect_positions(path, shape, of);
  return {count / of, of, {}, path.string(), 0, count % of};
}

}  // namespace

Tokens read_tokens(const std::filesystem::path& path, const DecoderShape& shape) {
  const auto read = [&] { return h5::open_file(path).read<int32>("tokens"); };
  h5::rehearse(path, [&] { read(); });
  const h5::Array<int32> tokens = read();
  if (tokens.shape.size() != 2 || tokens.shape[0] < 1 || tokens.shape[1] < 1)
    fail_input("{}: tokens must be (sequences, length), neither zero", path.string());
  expect_positions(path, shape, tokens.shape[1]);
  Tokens result{tokens.shape[0], tokens.shape[1], tokens.values, path.string()};
  expect_in_vocabulary(result, shape);
  return result;
}

Tokens token_file_windows(const std::filesystem::path& path, const DecoderShape& shape, int64 length) {
  const TokenFiles file({path.string()}, 0);
  Tokens tokens = windows_of(path, shape, file.tokens(), length);
  tokens.values.resize(static_cast<size_t>(tokens.sequences * tokens.length));
  file.read(0, tokens.sequences * tokens.length, tokens.values.data());
  expect_in_vocabulary(tokens, shape);
  return tokens;
}

Tokens text_windows(const std::filesystem::path& path, const Tokenizer& tokenizer, const DecoderShape& shape,
                    int64 length) {
  const std::string text = read_file(path);
  const Encoding encoding = tokenizer.encode(text);
  std::vector<int32> ids = tokenizer.before_text();
  std::vector<int64> ends(ids.size(), 0);
  ids.insert(ids.end(), encoding.ids.begin(), encoding.ids.end());
  for (size_t i = 1; i < encoding.begins.size(); ++i) ends.push_back(encoding.begins[i]);
  ends.push_back(static_cast<int64>(text.size()));
  Tokens tokens = windows_of(path, shape, static_cast<int64>(ids.size()), length);
  ids.resize(static_cast<size_t>(tokens.sequences * tokens.length));
  for (int64 n = 0; n < tokens.sequences; ++n) {
    const auto first = static_cast<size_t>(n * tokens.length);
    tokens.target_bytes += ends[first + static_cast<size_t>(tokens.length) - 1] - ends[first];
  }
  tokens.values = std::move(ids);
  expect_in_vocabulary(tokens, shape);
  return tokens;
}

Tokens text_tokens(const std::filesystem::path& path, const DecoderShape& shape, int64 sequences,
                   int64 length) {
  const std::string text = read_file(path);
  if (shape.vocab != kBytes)
    fail_usage("--text is read as bytes, and the model has {} tokens: give --tokens", shape.vocab);
  const auto bytes = static_cast<int64>(text.size());
  if (bytes < 2) fail_input("{}: {} bytes are too few to read", path.string(), bytes);
  Tokens tokens{0, std::min(length, bytes), {}, path.string()};
  tokens.sequences = std::min(sequences, bytes / tokens.length);
  for (int64 n = 0; n < tokens.sequences; ++n) {
    const int64 first = n * (bytes / tokens.sequences);
    for (int64 i = first; i < first + tokens.length; ++i)
      tokens.values.push_back(static_cast<unsigned char>(text[static_cast<size_t>(i)]));
  }
  return tokens;
}

Tokens held_out_tokens(const DataConfig& data, int64 sequences, int64 length) {
  const Dataset dataset = open_dataset(data, length);
  const int64 windows = dataset.evaluation_windows(length);
  Tokens tokens{std::min(sequences, windows), length, {}, "held out of " + data.corpus};
  Batch batch;
  for (int64 n = 0; n < tokens.sequences; ++n) {
    dataset.evaluation_batch(n * windows / tokens.sequences, 1, length, batch);
    tokens.values.insert(tokens.values.end(), batch.tokens.begin(), batch.tokens.end());
  }
  return tokens;
}

Tokens random_tokens(const DecoderShape& shape, int64 sequences, int64 length) {
  const RandomSequence random{0, RandomUse::synthetic, kPlainStream};
  Tokens tokens{sequences, length, {}, "random tokens"};
  for (int64 i = 0; i < sequences * length; ++i)
    tokens.values.push_back(
        static_cast<int32>(random.below(static_cast<uint64>(shape.vocab), static_cast<uint64>(i))));
  return tokens;
}

Tokens repeated_tokens(const DecoderShape& shape, int64 sequences, int64 repeated) {
  FOVEA_CHECK(repeated <= shape.vocab, "{} different tokens of {}", repeated, shape.vocab);
  const RandomSequence random{0, RandomUse::synthetic, kRepeatedStream};
  Tokens tokens{sequences, 2 * repeated, {}, "random tokens, laid down twice"};
  std::vector<int32> urn(static_cast<size_t>(shape.vocab));
  std::iota(urn.begin(), urn.end(), 0);
  for (int64 n = 0; n < sequences; ++n) {
    // The first places of a shuffle (Fisher and Yates).
    for (int64 i = 0; i < repeated; ++i) {
      const auto left = static_cast<uint64>(shape.vocab - i), at = static_cast<uint64>(n * repeated + i);
      std::swap(urn[static_cast<size_t>(i)],
                urn[static_cast<size_t>(i) + static_cast<size_t>(random.below(left, at))]);
    }
    for (int copy = 0; copy < 2; ++copy)
      tokens.values.insert(tokens.values.end(), urn.begin(), urn.begin() + repeated);
  }
  return tokens;
}

}  // namespace fovea
