// The loops of self-attention, one implementation per instruction set.
#pragma once

#include <c10/util/BFloat16.h>

#include <cstdint>

#include "every_instruction_set.h"

namespace addon {

// One head of one sample. Queries, keys and values of channel c of head h are the columns h * 3 C + 3 c, + 1 and + 2 of `qkv`,
// [pixels, 3 * heads * channels]; the mixed values are the columns h * C + c of [pixels, heads * channels].
struct AttentionTask {
  int64_t pixels;    // a multiple of 32
  int64_t channels;  // of a head, C; a multiple of 32
  int64_t heads;
  int64_t head;
};

template <class T>
struct AttentionLoops {
  // Floats of scratch memory that the two need.
  int64_t (*forwardScratch)(const AttentionTask&);
  int64_t (*backwardScratch)(const AttentionTask&);
  // mixed = softmax(q k^T / sqrt(C)) v
  void (*forward)(const AttentionTask&, const T* qkv, T* mixed, float* scratch);
  // The gradient of `qkv` from that of `mixed`; the weights are computed again.
  void (*backward)(const AttentionTask&, const T* qkv, const T* dMixed, T* dQkv, float* scratch);
};

struct AttentionKernels {
  AttentionLoops<float> float32;
  AttentionLoops<c10::BFloat16> bfloat16;
};

FOR_EVERY_INSTRUCTION_SET(AttentionKernels attentionKernels())

}  // namespace addon
