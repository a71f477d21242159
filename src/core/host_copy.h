#pragma once

#include "core/buffer.h"

namespace fovea {

/// Contiguous memory as the host sees it: the view itself where it is the host's, else a copy that is fetched
/// now, once what was enqueued has run.
class HostCopy {
 public:
  enum class Fetch { now, never };  ///< never: all of it is going to be written

  explicit HostCopy(const View& view, Fetch fetch = Fetch::now);
  const View& view() const { return memory_.data() ? copy_ : view_; }
  operator const View&() const { return view(); }  // NOLINT(google-explicit-constructor)
  /// Puts what was written to view() where it belongs.
  void store() const;

 private:
  View view_, copy_;
  Buffer memory_;
};

/// The reverse: contiguous memory of the host as a stream of this device sees it, copied there now. An absent
/// view stays absent.
class DeviceCopy {
 public:
  DeviceCopy(const View& view, Device device);
  const View& view() const { return memory_.data() ? copy_ : view_; }
  operator const View&() const { return view(); }  // NOLINT(google-explicit-constructor)
  /// Brings back what the device wrote.
  void fetch() const;

 private:
  View view_, copy_;
  Buffer memory_;
};

/// The same elements in host memory, flat.
Buffer to_host(Buffer buffer);

}  // namespace fovea
