#include "kernels/reduce/backends.h"

namespace fovea::reference {

void run(Execution&, const Sum& op) {
  double sum = 0;
  for (int64 i = 0; i < op.x.size(0); ++i) {
    const double x = load(op.x, {i});
    sum += op.squares ? x * x : x;
  }
  op.finish(sum);
}

void run(Execution&, const AddInto& op) {
  for (int64 i = 0; i < op.y.size(0); ++i) store(op.y, {i}, load(op.y, {i}) + load(op.x, {i}));
}

void run(Execution&, const MoveTowards& op) {
  for (int64 i = 0; i < op.y.size(0); ++i) {
    const double y = load(op.y, {i});
    store(op.y, {i}, y + op.rate * (load(op.x, {i}) - y));
  }
}

void run(Execution&, const Convert& op) {
  for (int64 i = 0; i < op.y.size(0); ++i) store(op.y, {i}, load(op.x, {i}));
}

}  // namespace fovea::reference
