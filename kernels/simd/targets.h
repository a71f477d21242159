// Include before <hwy/foreach_target.h>: few instruction sets, so that each file compiles in seconds. What
// has neither AVX2 nor AVX-512 runs Highway's baseline.
#ifndef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS (HWY_AVX3_DL | HWY_SSE4 | HWY_SSSE3)
#endif
