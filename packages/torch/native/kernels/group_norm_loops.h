// The loops of group normalisation with optional SiLU over channels_last images, one implementation per instruction set.
#pragma once

#include <c10/util/BFloat16.h>

#include <cstdint>

namespace addon {

struct GroupNormShape {
  int64_t pixels;    // H * W
  int64_t channels;  // C, a multiple of the groups
  int64_t groups;
};

// All pointers are to one sample: activations [pixels, channels], statistics [groups], parameters [channels].
template <class T>
struct GroupNormLoops {
  // y = silu?((x - mean) * rstd * weight + bias)
  void (*forward)(const GroupNormShape&, const T* x, const float* weight, const float* bias, float eps, bool silu, T* y,
                  float* mean, float* rstd);
  // dx, and this sample's share of the gradients of weight and bias, added to dWeight and dBias [channels].
  void (*backward)(const GroupNormShape&, const T* dy, const T* x, const float* weight, const float* bias, const float* mean,
                   const float* rstd, bool silu, T* dx, float* dWeight, float* dBias);
};

struct GroupNormKernels {
  GroupNormLoops<float> float32;
  GroupNormLoops<c10::BFloat16> bfloat16;
};

namespace baseline {
GroupNormKernels groupNormKernels();
}
namespace avx2 {
GroupNormKernels groupNormKernels();
}
namespace avx512 {
GroupNormKernels groupNormKernels();
}
namespace avx512vnni {
GroupNormKernels groupNormKernels();
}

}  // namespace addon
