// Writes a synthetic study and its report, to be looked at: make_study gqa|train DIRECTORY SEEDS
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "core/error.h"
#include "record/report/report.h"
#include "synthetic.h"

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  const int seeds = std::atoi(argv[3]);
  std::filesystem::create_directories(argv[2]);
  if (std::strcmp(argv[1], "gqa") == 0)
    fovea::test::write_gqa_study(argv[2], seeds);
  else
    fovea::test::write_train_study(argv[2], seeds);
  try {
    fovea::write_report(argv[2]);
  } catch (const fovea::UserError& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return static_cast<int>(e.code());
  }
  return 0;
}
