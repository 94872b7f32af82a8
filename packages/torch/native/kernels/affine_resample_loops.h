// The loops of affine resampling, one implementation per instruction set.
#pragma once

#include <cstdint>

#include "every_instruction_set.h"

namespace addon {

constexpr int64_t kFilterTaps = 12;

// Groups of planes of one size; the planes of a group share a map.
struct ResampleShape {
  int64_t planes;  // of a group
  int64_t height;
  int64_t width;
};

// Planes are resampled several at a time, in blocks, which are numbered through all groups; the last block of a group may be
// partial. A vector holds one value of each plane of a block.
struct ResampleLoops {
  int64_t (*blockSize)(int64_t planes);
  // Floats of scratch memory that a block needs if its group has this map, [6].
  int64_t (*scratch)(const ResampleShape&, const double* map);
  // Blocks `first` to `last - 1`. Input and output [groups, planes, height, width], maps [groups, 6], taps [kFilterTaps].
  void (*resample)(const ResampleShape&, const float* planes, const double* maps, const float* taps, int64_t first, int64_t last,
                   float* result, float* scratch);
};

FOR_EVERY_INSTRUCTION_SET(ResampleLoops resampleLoops())

}  // namespace addon
