#pragma once

#include "kernels/attention/attention.h"
#include "kernels/attention/cudnn/band.h"

// What cuDNN can do, as far as documentation and bug reports tell: known without the library or a device.

namespace fovea::cudnn {

/// As cudnnGetVersion() counts: 91800 is 9.18.0.
constexpr int64 kOldestVersion = 91800;

/// What computes.
struct Capability {
  int major = 9, minor = 0;  ///< compute capability
  int64 version = kOldestVersion;
};

/// Both passes: what cannot be trained is not taken.
Support supports(const AttentionProblem& problem, const Capability& capability);
/// The band of a problem that is supported.
Band band_of(const AttentionProblem& problem);

/// cuDNN's kernels move 16 bytes at a time and read statistics without gaps.
Support takes(const AttentionForward& op);
Support takes(const AttentionBackward& op);

/// Whether the backward pass needs cuDNN's padding mask, with lengths that pad nothing: without it what lies
/// behind the last row of a tile scores 0, and exp(0 - lse) overflows where every score is far below 0.
/// Tiles are of up to 128 rows.
bool ends_within_a_tile(const AttentionProblem& problem);

/// At least what a plan asks for, on any device: dS in 16 bits for a deterministic dq, delta, and the
/// gradients of keys and values of every query head.
int64 most_workspace_bytes(const AttentionProblem& problem, Pass pass);

}  // namespace fovea::cudnn
