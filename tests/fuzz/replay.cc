// Gives every file of the folders on the command line to a target, in builds that have no libFuzzer.

#include <algorithm>
#include <cstdio>
#include <vector>

#include "core/file.h"
#include "target.h"

int main(int argc, char** argv) {
  size_t inputs = 0;
  for (int i = 1; i < argc; ++i) {
    std::vector<std::filesystem::path> files;
    for (const auto& entry : std::filesystem::directory_iterator(argv[i])) files.push_back(entry.path());
    std::sort(files.begin(), files.end());
    for (const std::filesystem::path& file : files) {
      const std::string bytes = fovea::read_file(file);
      std::printf("%s\n", file.c_str());
      std::fflush(stdout);  // the last line names what crashed
      LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
      ++inputs;
    }
  }
  std::printf("%zu inputs\n", inputs);
  return inputs > 0 ? 0 : 1;
}
