// Loops are compiled once per instruction set, each into a namespace of that name; the processor decides at run time.
#pragma once

namespace addon {

// The last has products of bytes besides.
enum class InstructionSet { baseline, avx2, avx512, avx512vnni };

// The one whose loops run: the best that this processor has, or the one that TORCH_INSTRUCTION_SET names. The environment is
// read once. Throws std::invalid_argument when it names anything else.
InstructionSet instructionSet();

const char* nameOf(InstructionSet set);

// How libtorch's own library multiplies bfloat16: by instructions of four times the rate of float32 and more, by those of
// twice the rate, or not by any.
enum class BFloat16Products { matrix, vector, none };

BFloat16Products bfloat16Products();

// Whether libtorch's products of bfloat16 numbers add up in float32: oneDNN's do, and it asks for AVX-512. What stands in for it
// elsewhere rounds every partial sum to bfloat16, which puts gradients off by several percent.
bool bfloat16SumsAreExact();

}  // namespace addon

// The result of calling the function of this name in the namespace of the instruction set whose loops run.
#if defined(__x86_64__)
#define FOR_THIS_PROCESSOR(function)                                                        \
  (::addon::instructionSet() == ::addon::InstructionSet::avx512vnni ? avx512vnni::function() \
   : ::addon::instructionSet() == ::addon::InstructionSet::avx512   ? avx512::function()     \
   : ::addon::instructionSet() == ::addon::InstructionSet::avx2     ? avx2::function()       \
                                                                    : baseline::function())
#else
#define FOR_THIS_PROCESSOR(function) (baseline::function())
#endif
