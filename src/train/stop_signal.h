#pragma once

namespace fovea {

/// From now on SIGINT, SIGTERM and SIGUSR1 (Slurm's notice before a time limit) ask for a stop instead of
/// ending the process; a second SIGINT ends it at once.
void catch_stop_signals();
bool stop_requested();

}  // namespace fovea
