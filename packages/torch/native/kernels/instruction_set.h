// Loops are compiled once per instruction set, each into a namespace of that name; the processor decides at run time.
#pragma once

namespace addon {

// The last has products of bytes besides.
enum class InstructionSet { baseline, avx2, avx512, avx512vnni };

inline InstructionSet instructionSet() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool has512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
  if (has512) return __builtin_cpu_supports("avx512vnni") ? InstructionSet::avx512vnni : InstructionSet::avx512;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return InstructionSet::avx2;
#endif
  return InstructionSet::baseline;
}

}  // namespace addon

// The result of calling the function of this name in the namespace of this processor's instruction set.
#if defined(__x86_64__)
#define FOR_THIS_PROCESSOR(function)                                                        \
  (::addon::instructionSet() == ::addon::InstructionSet::avx512vnni ? avx512vnni::function() \
   : ::addon::instructionSet() == ::addon::InstructionSet::avx512   ? avx512::function()     \
   : ::addon::instructionSet() == ::addon::InstructionSet::avx2     ? avx2::function()       \
                                                                    : baseline::function())
#else
#define FOR_THIS_PROCESSOR(function) (baseline::function())
#endif
