#pragma once

#include <iosfwd>

namespace fovea {

/// Times cases as they are asked for, so that two programs can be timed in turns. Each line of `in` is the
/// name of a case and for how many seconds to time it; the answer is a line of JSON: name, the median and the
/// least seconds of a call, the number of calls, useful FLOP/s and FLOP/s of the limit, bytes of workspace. A
/// line that is refused is answered with "error", a limit (limits.h) with "per_second". The operands of the
/// last case are kept.
void answer_lines(std::istream& in, std::ostream& out, int threads);

}  // namespace fovea
