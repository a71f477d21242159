// The self-test by itself, to be linked with kernels that make a mistake: it must then say so.
#include "kernels/selftest/selftest.h"

int main() { return static_cast<int>(fovea::selftest("cpu", 1)); }
