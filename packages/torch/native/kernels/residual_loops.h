// The loop of scaled_add_, one implementation per instruction set.
#pragma once

#include <c10/util/BFloat16.h>

#include <cstdint>

#include "every_instruction_set.h"

namespace addon {

// a = (a + b) scale
template <class T>
using ResidualLoop = void (*)(T* a, const T* b, float scale, int64_t count);

struct ResidualKernels {
  ResidualLoop<float> float32;
  ResidualLoop<c10::BFloat16> bfloat16;
};

FOR_EVERY_INSTRUCTION_SET(ResidualKernels residualKernels())

}  // namespace addon
