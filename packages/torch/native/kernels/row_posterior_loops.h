// The loops of the posterior mean over rows of bytes, one implementation per instruction set. Results do not depend on how the
// parts are divided among threads.
#pragma once

#include <cstdint>

#include "every_instruction_set.h"

namespace addon {

// Rows that are compared in a few dimensions before they are read.
struct SketchedRows {
  const uint8_t* data;          // [count, columns]
  const int32_t* squaredNorms;  // [count], of the bytes
  int64_t count;
  int64_t columns;
  // Rounded coordinates of scale * (r - mean) along `dimensions` orthonormal vectors: [groups, dimensions / 2, kGroup, 2].
  const int16_t* coordinates;
  // The squared norm of the coordinates, infinite after the last row, and the norm of what they leave out; [groups * kGroup].
  const float* squaredLengths;
  const float* tails;
  const float* basis;  // [dimensions, columns]
  const float* mean;   // [columns]
  int64_t dimensions;
  float scale;

  static constexpr int64_t kGroup = 16;
  static constexpr int64_t kPadding = 64;  // of the number of rows
};

// Points o + step * d, prepared in memory that is passed in.
struct RowPosteriorLoops {
  // Rows are processed in blocks of this many.
  int64_t rowsAtOnce;
  int64_t (*workspace)(int64_t points, const SketchedRows& rows);
  void (*prepare)(const uint8_t* origin, const float* direction, double step, int64_t i, int64_t points, const SketchedRows& rows,
                  void* workspace);
  // For the rows of the blocks begin <= block < end and each point: the largest log-weight found, at least that of the origin, 0;
  // the sum of the weights relative to that; and the weighted sum of the rows, [points, columns]. `found` is scratch, [2, points].
  void (*sums)(const void* workspace, int64_t points, const SketchedRows& rows, int64_t begin, int64_t end, uint64_t* found,
               double* largest, double* weights, float* sums);
};

FOR_EVERY_INSTRUCTION_SET(RowPosteriorLoops rowPosteriorLoops())

}  // namespace addon
