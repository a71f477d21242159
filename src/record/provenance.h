#pragma once

#include <string>
#include <vector>

#include "record/run_record.h"

namespace fovea {

/// This program and this machine. `threads`, `backend` and `command` are the caller's to say; `started` is
/// now.
Provenance collect_provenance(int64 threads, std::string backend, const std::vector<std::string>& command);

/// This machine's name in its network.
std::string host_name();
/// "2026-11-25T12:00:00Z"
std::string utc_now();
/// Seconds since 1970, for journals.
double seconds_now();

/// Peak resident bytes of this process since it started or the peak was reset (VmHWM), and now (VmRSS); 0
/// where /proc is not there.
int64 peak_resident_bytes();
int64 resident_bytes();
void reset_peak_resident_bytes();

}  // namespace fovea
