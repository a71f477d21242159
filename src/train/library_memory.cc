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

Libraries libraries_of(Backend backend, DType compute, int64 width) {
  // Materialised attention multiplies through the library, over sequences, whatever the width.
  if (compute == DType::bf16 && backend == Backend::naive) return {14000, 2300, 2700};
  // No product is the library's then: neither its code is touched nor kernels generated.
  if (compute == DType::bf16 && multiplies_pairs()) return {4600, 0, 2000};
  if (compute == DType::bf16)
    return width >= 384 ? Libraries{14000, 2300, 2700} : Libraries{14000, 100, 1200};
  return width >= 160 ? Libraries{12900, 2000, 3000} : Libraries{12900, 400, 1100};
}

}  // namespace

int64 library_bytes(Backend backend, DType compute, int64 width, int threads) {
  const Libraries libraries = libraries_of(backend, compute, width);
  return kKiB * (libraries.process + libraries.first_thread + (threads - 1) * libraries.other_thread);
}

}  // namespace fovea
