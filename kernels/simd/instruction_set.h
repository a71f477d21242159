#pragma once

#include <span>
#include <string_view>

namespace fovea {

/// What kernels may be made of, narrowest first. portable: Highway's baseline for the processor's family;
/// avx512_bf16: avx512 and dot products of pairs of bf16 (VDPBF16PS). AMX and NEON are not here: no kernel is
/// written for them, since there was no machine to test it on.
enum class InstructionSet { portable, avx2, avx512, avx512_bf16 };
std::string_view name_of(InstructionSet set);
/// What it adds, in a few words.
std::string_view describe(InstructionSet set);

/// Those that this machine has and the kernels are compiled for, narrowest first; never empty.
std::span<const InstructionSet> instruction_sets();
/// "auto" is the widest of those that are there. Throws UserError: usage for a word that names none,
/// unavailable for one that is not among `there`.
InstructionSet instruction_set_named(std::string_view name,
                                     std::span<const InstructionSet> there = instruction_sets());

/// The one in use: the widest at start.
InstructionSet instruction_set();
/// All kernels of the process use it from now on; aborts where the machine lacks it. Not while a kernel runs.
/// The library of matrix products has its own switch (kernels/matmul/library.h).
void use_instruction_set(InstructionSet set);
/// Whether kernels may use dot products of bf16 pairs.
bool has_bf16_dot();

}  // namespace fovea
