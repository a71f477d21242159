// Instructions that the loop over instructions does (runner.cc), and those that change nothing here.

#include <string>

#include "machine/block_clock.h"
#include "machine/forms.h"
#include "machine/launch_order.h"
#include "machine/machine.h"

namespace softgpu {
namespace {

void nothing(Machine& /*m*/, const Op& /*op*/, uint32_t /*mask*/) {}

// Of device or system scope. Within a block, barriers say what warps see of each other.
void fence(Machine& m, const Op& /*op*/, uint32_t /*mask*/) {
  m.order->fence(m.warp->index);
  m.clock->tick();
}

void trap(Machine& m, const Op& op, uint32_t mask) {
  m.fault(op, __builtin_ctz(mask), "trap", "the kernel traps");
}

}  // namespace

void add_control_forms(Forms& forms) {
  auto add = [&](const std::string& name, const std::string& operands, Kind kind, Control control) {
    forms[name] = {nothing, operands, kind, control};
  };
  add("ret", ":", Kind::branch, Control::exit);
  add("ret.uni", ":", Kind::branch, Control::exit);
  add("exit", ":", Kind::branch, Control::exit);
  forms["trap"] = {trap, ":", Kind::special, Control::plain};
  add("nanosleep.u32", ":w", Kind::special, Control::plain);
  add("griddepcontrol.wait", ":", Kind::special, Control::plain);
  add("griddepcontrol.launch_dependents", ":", Kind::special, Control::plain);
  auto add_fence = [&](const std::string& name, Handler run) {
    forms[name] = {run, ":", Kind::barrier, Control::plain};
  };
  add_fence("membar.cta", nothing);
  add_fence("membar.gl", fence);
  add_fence("membar.sys", fence);
  for (const char* order : {"sc", "acq_rel", "acquire", "release"}) {
    add_fence(std::string("fence.") + order + ".cta", nothing);
    add_fence(std::string("fence.") + order + ".gpu", fence);
    add_fence(std::string("fence.") + order + ".sys", fence);
  }
}

}  // namespace softgpu
