#include "train/library_memory.h"

#include "kernels/matmul/pairs.h"

namespace fovea {
namespace {

constexpr int64 kKiB = 1024;

/// In KiB. The first thread packs on the process's heap, which is trimmed; the others on heaps of their own,
/// which keep about twice what was packed last. Products over few columns are not packed.
struct Libraries {
  int64 process, first_thread, other_thread;
};

Libraries libraries_of(DType compute, int64 width) {
  // No product is the library's then: neither its code is touched nor kernels generated.
  if (compute == DType::bf16 && multiplies_pairs()) return {3400, 0, 2300};
  if (compute == DType::bf16)
    return width >= 384 ? Libraries{14000, 2300, 2700} : Libraries{14000, 100, 1200};
  return width >= 160 ? Libraries{11200, 1700, 4200} : Libraries{11200, 400, 500};
}

}  // namespace

int64 library_bytes(DType compute, int64 width, int threads) {
  const Libraries libraries = libraries_of(compute, width);
  return kKiB * (libraries.process + libraries.first_thread + (threads - 1) * libraries.other_thread);
}

}  // namespace fovea
