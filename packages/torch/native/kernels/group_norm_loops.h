// The loops of group normalisation with optional SiLU and dropout over channels_last images, one implementation per
// instruction set.
#pragma once

#include <c10/util/BFloat16.h>

#include <cstdint>

#include "dropout.h"
#include "every_instruction_set.h"

namespace addon {

// Whole groups of one sample. Activations are [pixels, channels], statistics [groups], the others [channels].
struct GroupNormTask {
  int64_t pixels;
  int64_t channels;
  int64_t groups;
  int64_t begin, end;  // the channels to be computed
  const float* shift;  // added to the input; null for none
  const float* weight;
  const float* bias;
  float* mean;  // of the shifted input
  float* rstd;
  float eps;
  bool silu;
  Dropout dropout;
};

template <class T>
struct GroupNormLoops {
  // Floats of scratch memory that the two need for a task of this many channels.
  int64_t (*forwardScratch)(int64_t pixels, int64_t channels);
  int64_t (*backwardScratch)(int64_t pixels, int64_t channels);
  // y = dropout(silu?((x + shift - mean) * rstd * weight + bias)), and the statistics.
  void (*forward)(const GroupNormTask&, const T* x, T* y, float* scratch);
  // dx, and this sample's gradients of weight, bias and, unless null, shift.
  void (*backward)(const GroupNormTask&, const T* dy, const T* x, T* dx, float* dWeight, float* dBias, float* dShift, float* scratch);
};

struct GroupNormKernels {
  GroupNormLoops<float> float32;
  GroupNormLoops<c10::BFloat16> bfloat16;
  int64_t width;  // of a vector; blocks of channels are multiples of it where possible
};

FOR_EVERY_INSTRUCTION_SET(GroupNormKernels groupNormKernels())

}  // namespace addon
