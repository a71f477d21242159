#pragma once

#include "kernels/attention/cpu/units.h"

namespace fovea::flash {

/// Hands out pieces of one block of memory, at multiples of 64 bytes from its begin; without a block it
/// counts what they take.
class Carver {
 public:
  explicit Carver(float* block = nullptr) : block_(block) {}
  float* floats(int64 n) {
    float* piece = block_ ? block_ + used_ : nullptr;
    used_ += round_up(n, 16);
    return piece;
  }
  int32* ints(int64 n) { return reinterpret_cast<int32*>(floats(n)); }
  SeenTile* seen(int64 n) {
    return reinterpret_cast<SeenTile*>(floats(n * static_cast<int64>(sizeof(SeenTile) / sizeof(float))));
  }
  int64 used() const { return used_; }

 private:
  float* block_;
  int64 used_ = 0;
};

/// Memory of one worker, forward, for one head. R rows of a unit, padded to kQueries; E elements of a row of
/// q or k and Ev of v, each `width` numbers wide; Dv padded.
struct ForwardMemory {
  float* k;             // (kKeys, E)
  float* v;             // (kKeys, Ev), or (kKeys / width, Dv)
  float* rows;          // (kQueries, E), on their way into q
  float* q;             // (R / kQueries, E, kQueries)
  float* out;           // (R, Dv)
  float* scores;        // (kKeys, kQueries)
  float *most, *sum;    // (R)
  float* rescale;       // (kQueries)
  int32 *first, *last;  // (R) visible keys [first, last)
  SeenTile* seen;       // (R / kQueries)
  ForwardMemory() = default;
  ForwardMemory(Carver& carver, const AttentionProblem& problem, const Units& units);
  /// What each head of a unit has for itself: q, out, most, sum, first, last, seen.
  void take_own(Carver& carver, const AttentionProblem& problem, const Units& units);
};
/// Of as many heads as a unit has; what they use one after the other is there once.
struct ForwardMemories {
  ForwardMemory heads[kMostHeads];
  ForwardMemories(Carver& carver, const AttentionProblem& problem, const Units& units);
};

/// Memory of one worker, backward. R rows of a group in one sequence, padded to kQueries; D and Dv padded, E
/// and Ev elements of their rows, each `width` numbers wide.
struct BackwardMemory {
  float *k, *v;               // (key_block, E or Ev)
  float* k_across;            // (key_block / width, D); k itself where width is 1
  float *dk, *dv;             // (key_block, D or Dv)
  float *q_rows, *dout_rows;  // (kQueries / width, D or Dv)
  float *q, *dout, *out;      // (E or Ev, kQueries)
  float* rows;                // (kQueries, E or Ev), on their way into the former
  float *s, *dp;              // (kKeys, kQueries), overwritten by the next two where width is 1
  float *p, *ds;              // (kKeys, kQueries / width)
  float* ds_across;           // (kKeys / width, kQueries); ds itself where width is 1
  float* slope;               // (kKeys, kQueries), where scores are capped
  float* lse;                 // (R), to base 2
  float* delta;               // (R) of tiles that were met
  int32* met;                 // (R / kQueries) whether delta and dq have been begun
  int32 *first, *last;        // (R)
  SeenTile* seen;             // (R / kQueries)
  float* dq;                  // (R, D)
  BackwardMemory(Carver& carver, const AttentionProblem& problem, const Units& units);
};

/// What units whose keys are one part of several have summed: for each part, out, most and sum of all rows.
struct Partials {
  float* base;  // (parts, rows * (Dv + 2))
  int64 rows, Dv;
  static int64 floats(int64 parts, int64 rows, int64 Dv) { return parts * rows * (Dv + 2); }
  float* out(int64 part, int64 row) const { return base + part * rows * (Dv + 2) + row * Dv; }
  float* most(int64 part, int64 row) const { return base + part * rows * (Dv + 2) + rows * Dv + row; }
  float* sum(int64 part, int64 row) const { return most(part, row) + rows; }
};

}  // namespace fovea::flash
