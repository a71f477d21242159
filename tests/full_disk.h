#pragma once

#include <sys/resource.h>

#include <csignal>

#include "core/error.h"

namespace fovea {

/// While it lives the system takes no file beyond so many bytes, as a full disk would: without root, and for
/// this process alone.
class FullDisk {
 public:
  explicit FullDisk(rlim_t bytes) : handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    FOVEA_CHECK(::getrlimit(RLIMIT_FSIZE, &before_) == 0, "no limit to read");
    const rlimit small{bytes, before_.rlim_max};
    FOVEA_CHECK(::setrlimit(RLIMIT_FSIZE, &small) == 0, "no limit to set");
  }
  FullDisk(const FullDisk&) = delete;
  FullDisk& operator=(const FullDisk&) = delete;
  ~FullDisk() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }

 private:
  rlimit before_{};
  void (*handler_)(int);
};

}  // namespace fovea
