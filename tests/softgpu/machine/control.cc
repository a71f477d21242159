// Instructions that the loop over instructions does (runner.cc), and those that change nothing here.

#include <string>

#include "machine/forms.h"
#include "machine/machine.h"

namespace softgpu {
namespace {

void nothing(Machine& /*m*/, const Op& /*op*/, uint32_t /*mask*/) {}

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
  for (const char* scope : {"cta", "gl", "sys"}) {
    add(std::string("membar.") + scope, ":", Kind::barrier, Control::plain);
  }
  for (const char* scope : {"cta", "gpu", "sys"}) {
    for (const char* order : {"sc", "acq_rel", "acquire", "release"}) {
      add(std::string("fence.") + order + "." + scope, ":", Kind::barrier, Control::plain);
    }
  }
}

}  // namespace softgpu
