// Encodes a text on one thread, for the comparison with PyPI's tokenizers
// (tests/peers/tokenizers_compare.py):
//   fovea-bench-encode TOKENIZER TEXT --ids FILE   ids, then the beginnings of the tokens, all int32
//   fovea-bench-encode TOKENIZER TEXT              for each line of input: encodes anew, prints CPU seconds
#include <ctime>
#include <iostream>

#include "core/error.h"
#include "core/file.h"
#include "tokenizer/tokenizer.h"

namespace fovea {
namespace {

double cpu_seconds() {
  timespec now{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

int run(const std::vector<std::string>& arguments) {
  if (arguments.size() != 2 && arguments.size() != 4)
    fail_usage("fovea-bench-encode TOKENIZER TEXT [--ids FILE]");
  const Tokenizer tokenizer = open_tokenizer(arguments[0]);
  const std::string text = read_file(arguments[1]);
  if (arguments.size() == 4) {
    Encoding encoding = tokenizer.encode(text);
    for (const int64 begin : encoding.begins) encoding.ids.push_back(static_cast<int32>(begin));
    write_file_atomically(arguments[3], std::as_bytes(std::span(encoding.ids)));
    return 0;
  }
  for (std::string line; std::getline(std::cin, line);) {
    const double begin = cpu_seconds();
    const size_t tokens = tokenizer.encode(text).ids.size();
    fmt::print("{{\"seconds\": {}, \"tokens\": {}}}\n", cpu_seconds() - begin, tokens);
    std::fflush(stdout);
  }
  return 0;
}

}  // namespace
}  // namespace fovea

int main(int argc, char** argv) {
  try {
    return fovea::run({argv + 1, argv + argc});
  } catch (const fovea::UserError& error) {
    fmt::print(stderr, "fovea-bench-encode: {}\n", error.what());
    return static_cast<int>(error.code());
  }
}
