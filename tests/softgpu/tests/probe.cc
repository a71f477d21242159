#include "tests/probe.h"

#include <fmt/format.h>

#include <memory>

#include "ptx/parser.h"

namespace softgpu {

namespace {

constexpr uint32_t kThreads = 64;

const char* register_type(Form form) {
  switch (form) {
    case Form::pred:
      return ".pred";
    case Form::b8:
    case Form::b16:
      return ".b16";
    case Form::b32:
      return ".b32";
    case Form::b64:
      return ".b64";
  }
  return "";
}

const char* memory_type(Form form) {
  switch (form) {
    case Form::pred:
    case Form::b32:
      return "b32";
    case Form::b8:
      return "b8";
    case Form::b16:
      return "b16";
    case Form::b64:
      return "b64";
  }
  return "";
}

std::string kernel_text(const Snippet& snippet) {
  std::string text = ".visible .entry probe(.param .u64 operands, .param .u64 results)\n{\n";
  const auto declare = [&](const char* type, const std::string& name) {
    text += fmt::format("  .reg {} {};\n", type, name);
  };
  text +=
      "  .shared .align 16 .b8 pool[4096];\n  .reg .pred %p<4>;\n  .reg .b32 %r<8>;\n  .reg .b64 %q<8>;\n";
  text += "  .reg .b32 %lane, %thread, %index, %block, %flag;\n  .reg .b64 %in, %out, %offset;\n";
  for (size_t i = 0; i < snippet.inputs.size(); ++i)
    declare(register_type(snippet.inputs[i]), fmt::format("%a{}", i));
  for (size_t i = 0; i < snippet.outputs.size(); ++i)
    declare(register_type(snippet.outputs[i]), fmt::format("%d{}", i));
  text += "  ld.param.u64 %in, [operands];\n  ld.param.u64 %out, [results];\n";
  text += fmt::format(
      "  mov.u32 %thread, %tid.x;\n  mov.u32 %lane, %laneid;\n  mov.u32 %block, %ctaid.x;\n"
      "  mad.lo.u32 %index, %block, {}, %thread;\n",
      kThreads);
  const auto advance = [&](const char* pointer, size_t words) {
    text += fmt::format("  mul.wide.u32 %offset, %index, {};\n  add.s64 {}, {}, %offset;\n", words * 8,
                        pointer, pointer);
  };
  advance("%in", snippet.inputs.size());
  advance("%out", snippet.outputs.size());
  for (size_t i = 0; i < snippet.inputs.size(); ++i) {
    if (snippet.inputs[i] == Form::pred) {
      text += fmt::format("  ld.global.b32 %flag, [%in+{}];\n  setp.ne.u32 %a{}, %flag, 0;\n", 8 * i, i);
    } else {
      text += fmt::format("  ld.global.{} %a{}, [%in+{}];\n", memory_type(snippet.inputs[i]), i, 8 * i);
    }
  }
  text += "  " + snippet.text + "\n";
  for (size_t i = 0; i < snippet.outputs.size(); ++i) {
    if (snippet.outputs[i] == Form::pred) {
      text += fmt::format("  selp.u32 %flag, 1, 0, %d{};\n  st.global.b32 [%out+{}], %flag;\n", i, 8 * i);
    } else {
      text += fmt::format("  st.global.{} [%out+{}], %d{};\n", memory_type(snippet.outputs[i]), 8 * i, i);
    }
  }
  return text + "  ret;\n}\n";
}

std::vector<uint64_t> flatten(const std::vector<Words>& operands, size_t width) {
  std::vector<uint64_t> flat;
  flat.reserve((operands.size() + kThreads) * width);
  for (const Words& words : operands) flat.insert(flat.end(), words.begin(), words.end());
  while (flat.size() % (kThreads * width) != 0)
    flat.insert(flat.end(), operands.back().begin(), operands.back().end());
  return flat;
}

}  // namespace

std::string module_text(const std::string& body) {
  return ".version 9.0\n.target sm_80\n.address_size 64\n" + body;
}

Counters run_module(const ModuleRun& run, GlobalMemory& memory) {
  // Kept: what is decoded is remembered by the kernel's address.
  static auto& modules = *new std::vector<std::unique_ptr<ptx::Module>>;
  modules.push_back(std::make_unique<ptx::Module>(ptx::parse(run.text)));
  const ptx::Module& module = *modules.back();
  const ptx::Kernel* const kernel = module.kernel(run.kernel);
  if (kernel == nullptr) throw Fault("syntax", "no kernel " + run.kernel);
  std::vector<std::byte> parameters(run.parameters.size() * 8);
  std::copy_n(reinterpret_cast<const std::byte*>(run.parameters.data()), parameters.size(),
              parameters.begin());
  Counters counters;
  run_grid({&module, kernel, run.grid, run.block, run.dynamic_shared_bytes, parameters}, memory, counters);
  return counters;
}

std::vector<Words> run_probe(const Snippet& snippet, const std::vector<Words>& operands) {
  // One for all probes: memory that is reserved and never used costs nothing.
  static auto& memory = *new GlobalMemory(uint64_t{1} << 32);
  const size_t width = snippet.inputs.size(), results_width = snippet.outputs.size();
  const std::vector<uint64_t> flat = flatten(operands, width);
  const size_t threads = flat.size() / width;
  const uint64_t in = upload(memory, flat);
  const uint64_t out = upload(memory, std::vector<uint64_t>(threads * results_width, 0));
  ModuleRun run{
      module_text(kernel_text(snippet)), "probe", {static_cast<uint32_t>(threads / kThreads), 1, 1}};
  run.parameters = {in, out};
  run_module(run, memory);
  const auto values = download<uint64_t>(memory, out, operands.size() * results_width);
  memory.free(in);
  memory.free(out);
  std::vector<Words> results;
  for (size_t i = 0; i < operands.size(); ++i) {
    const auto start = values.begin() + static_cast<ptrdiff_t>(i * results_width);
    results.emplace_back(start, start + static_cast<ptrdiff_t>(results_width));
  }
  return results;
}

}  // namespace softgpu
