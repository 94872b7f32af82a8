// The instruction sets of this processor, and the one that the loops use.
#include "instruction_set.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include <cstdlib>
#include <stdexcept>
#include <string>
#include <vector>

namespace addon {
namespace {

#if defined(__x86_64__)
bool hasAvx512() {
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512dq");
}
#else
bool hasAvx512() { return false; }
#endif

// From the simplest to the best.
std::vector<InstructionSet> supported() {
  std::vector<InstructionSet> sets{InstructionSet::baseline};
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) sets.push_back(InstructionSet::avx2);
  if (hasAvx512()) sets.push_back(InstructionSet::avx512);
  const bool hasVnni = hasAvx512() && __builtin_cpu_supports("avx512vnni");
  if (hasVnni) sets.push_back(InstructionSet::avx512vnni);
  if (hasVnni && __builtin_cpu_supports("avx512bf16")) sets.push_back(InstructionSet::avx512bf16);
#endif
  return sets;
}

InstructionSet choose() {
  const std::vector<InstructionSet> sets = supported();
  const char* requested = std::getenv("TORCH_INSTRUCTION_SET");
  if (!requested || !*requested) return sets.back();
  std::string names;
  for (const InstructionSet set : sets) {
    if (nameOf(set) == std::string(requested)) return set;
    names += std::string(names.empty() ? "" : ", ") + nameOf(set);
  }
  throw std::invalid_argument("TORCH_INSTRUCTION_SET must name one that this processor has (" + names + "), found \"" + requested +
                   "\"; without it the last of these is used");
}

}  // namespace

InstructionSet instructionSet() {
  static const InstructionSet chosen = choose();
  return chosen;
}

const char* nameOf(InstructionSet set) {
  switch (set) {
    case InstructionSet::avx2:
      return "avx2";
    case InstructionSet::avx512:
      return "avx512";
    case InstructionSet::avx512vnni:
      return "avx512vnni";
    case InstructionSet::avx512bf16:
      return "avx512bf16";
    default:
      return "baseline";
  }
}

bool bfloat16SumsAreExact() {
  static const bool exact = hasAvx512();
  return exact;
}

BFloat16Products bfloat16Products() {
#if defined(__x86_64__)
  unsigned a = 0, b = 0, c = 0, d = 0;
  constexpr unsigned amxBf16 = 1u << 22, avx512Bf16 = 1u << 5;
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) && (d & amxBf16)) return BFloat16Products::matrix;
  if (__get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & avx512Bf16)) return BFloat16Products::vector;
#endif
  return BFloat16Products::none;
}

}  // namespace addon
