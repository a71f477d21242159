#include "experiments/attention_file.h"
#include "target.h"

using namespace fovea;  // NOLINT(google-build-using-namespace)

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::filesystem::path file = fuzz::folder().write("problem.h5", fuzz::text_of(data, size));
  fuzz::may_refuse([&] { run_attention_file(file, fuzz::folder().path() / "answer.h5", Backend::cpu, 1); });
  return 0;
}
