// Loops are compiled once per instruction set, each into a namespace of that name; the processor decides at run time.
#pragma once

namespace addon {

// The last two also have products of bytes, the last one those of bfloat16, too.
enum class InstructionSet { baseline, avx2, avx512, avx512vnni, avx512bf16 };

// The one in use: the best that this processor supports, or the one that TORCH_INSTRUCTION_SET names. The environment is
// read once. Throws std::invalid_argument when it names anything else.
InstructionSet instructionSet();

const char* nameOf(InstructionSet set);

// How libtorch's own library multiplies bfloat16: with instructions of at least four times the rate of float32, of
// twice the rate, or without any.
enum class BFloat16Products { matrix, vector, none };

BFloat16Products bfloat16Products();

// Whether libtorch's bfloat16 products accumulate in float32: oneDNN's do, but it needs AVX-512. The fallback
// rounds every partial sum to bfloat16, which changes gradients by several percent.
bool bfloat16SumsAreExact();

}  // namespace addon

// The result of calling the function of this name in the namespace of the instruction set in use.
#if defined(__x86_64__)
#define FOR_THIS_PROCESSOR(function)                                                         \
  (::addon::instructionSet() == ::addon::InstructionSet::avx512bf16   ? avx512bf16::function() \
   : ::addon::instructionSet() == ::addon::InstructionSet::avx512vnni ? avx512vnni::function() \
   : ::addon::instructionSet() == ::addon::InstructionSet::avx512     ? avx512::function()     \
   : ::addon::instructionSet() == ::addon::InstructionSet::avx2       ? avx2::function()       \
                                                                      : baseline::function())
#else
#define FOR_THIS_PROCESSOR(function) (baseline::function())
#endif
