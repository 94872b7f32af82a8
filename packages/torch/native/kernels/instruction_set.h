// Loops are compiled once per instruction set, each into a namespace of that name; the processor decides at run time.
#pragma once

#if defined(__x86_64__)
#include <cpuid.h>
#endif

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

// How libtorch's own library multiplies bfloat16: by instructions of four times the rate of float32 and more, by those of
// twice the rate, or not by any.
enum class BFloat16Products { matrix, vector, none };

inline BFloat16Products bfloat16Products() {
#if defined(__x86_64__)
  unsigned a = 0, b = 0, c = 0, d = 0;
  constexpr unsigned amxBf16 = 1u << 22, avx512Bf16 = 1u << 5;
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) && (d & amxBf16)) return BFloat16Products::matrix;
  if (__get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & avx512Bf16)) return BFloat16Products::vector;
#endif
  return BFloat16Products::none;
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
