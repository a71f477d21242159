// The self-test by itself, to be linked with kernels that make a mistake: it must then say so.
#include "experiments/selftest.h"

int main() { return static_cast<int>(fovea::selftest("cpu", 1)); }
