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

// Planes are resampled several at a time: blocks of them, the last one of a group perhaps not full, are counted through all
// groups. A block has one value of each of its planes in a vector.
struct ResampleLoops {
  int64_t (*blockSize)(int64_t planes);
  // Floats of scratch memory that a block needs whose group has this map, [6].
  int64_t (*scratch)(const ResampleShape&, const double* map);
  // Blocks `first` to `last - 1`. Input and output [groups, planes, height, width], maps [groups, 6], taps [kFilterTaps].
  void (*resample)(const ResampleShape&, const float* planes, const double* maps, const float* taps, int64_t first, int64_t last,
                   float* result, float* scratch);
};

FOR_EVERY_INSTRUCTION_SET(ResampleLoops resampleLoops())

}  // namespace addon
