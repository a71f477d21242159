// The self-test of the CUDA backend as a program by itself (README.md, "On a GPU").

#include "core/error.h"
#include "kernels/selftest/selftest.h"

int main(int argc, char**) {
  if (argc > 1) {
    fmt::print(stderr,
               "usage: fovea-selftest   (holds every operation on this machine's GPU to the fp64 oracle)\n");
    return static_cast<int>(fovea::ExitCode::usage);
  }
  try {
    return static_cast<int>(fovea::selftest("cuda", 1));
  } catch (const fovea::UserError& error) {
    fmt::print(stderr, "fovea-selftest: {}\n", error.what());
    return static_cast<int>(error.code());
  }
}
