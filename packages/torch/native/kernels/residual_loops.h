// The loop of scaled_add_, one implementation per instruction set.
#pragma once

#include <c10/util/BFloat16.h>

#include <cstdint>

namespace addon {

// a = (a + b) scale
template <class T>
using ResidualLoop = void (*)(T* a, const T* b, float scale, int64_t count);

struct ResidualKernels {
  ResidualLoop<float> float32;
  ResidualLoop<c10::BFloat16> bfloat16;
};

namespace baseline {
ResidualKernels residualKernels();
}
namespace avx2 {
ResidualKernels residualKernels();
}
namespace avx512 {
ResidualKernels residualKernels();
}

}  // namespace addon
