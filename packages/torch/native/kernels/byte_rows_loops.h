// The loops over rows of bytes, one implementation per instruction set. Results do not depend on how the work is divided:
// every number comes from the same sequence of operations, whichever call computes it.
#pragma once

#include <cstdint>

#include "every_instruction_set.h"

namespace addon {

// Rows of a matrix of bytes, some of them, or all in their order.
struct ByteRows {
  const uint8_t* data;
  int64_t columns;
  const int64_t* index;  // which rows, or null

  const uint8_t* row(int64_t j) const { return data + (index ? index[j] : j) * columns; }

  // Rows by index are scattered in memory: prefetched, they arrive while others are being processed.
  void prefetch(int64_t j, int64_t begin, int64_t end) const {
    for (int64_t k = begin; k < end; k += 64) __builtin_prefetch(row(j) + k);
  }
};

struct ByteDistanceLoops {
  // The smallest number of rows worth a separate call.
  int64_t rowsAtOnce;
  // Size of the prepared queries in bytes.
  int64_t (*workspace)(int64_t queries, int64_t columns);
  // Writes query i to the workspace.
  void (*prepare)(const uint8_t* origin, const float* direction, int64_t i, int64_t queries, int64_t columns, void* workspace);
  // result[i * stride + j] = ||o_i - r_j||² + 2 s_i d_i.(o_i - r_j) for begin <= j < end and all prepared queries: the first
  // term without rounding, the second in float32 over at most 1024 columns at a time, the rest in float64. 0 where r_j = o_i.
  void (*distances)(const void* workspace, const double* steps, int64_t queries, const ByteRows& rows, int64_t begin, int64_t end,
                    double* result, int64_t stride, float* scratch);
  // Floats of scratch memory that a call of it needs.
  int64_t (*scratch)(int64_t queries, int64_t columns);
};

struct ByteSumLoops {
  // Rows whose weights are packed together, and columns of a tile.
  int64_t rowsAtOnce;
  int64_t columnsAtOnce;
  // Size of the packed weights [outputs, rows] in bytes.
  int64_t (*workspace)(int64_t outputs, int64_t rows);
  // Packs the weights of block number `block` of the rows.
  void (*pack)(const float* weights, int64_t outputs, int64_t rows, int64_t block, void* workspace);
  // result[i, c] += sum_j w_ij r_jc over `count` rows, for the columns of the tiles begin <= tile < end. Weights of 0 cost nothing.
  void (*sums)(const void* workspace, int64_t outputs, const ByteRows& rows, int64_t count, int64_t begin, int64_t end, float* result,
               float* scratch);
  // Floats of scratch memory that a call of it needs.
  int64_t scratch;
};

FOR_EVERY_INSTRUCTION_SET(ByteDistanceLoops byteDistanceLoops())
FOR_EVERY_INSTRUCTION_SET(ByteSumLoops byteSumLoops())

}  // namespace addon
