// Products of matrices whose columns are stored in blocks of 32, [column block, row, 32]: compiled once per instruction set, with
// INSTRUCTION_SET naming the namespace.
#pragma once

#include "vector.h"

namespace addon {
namespace INSTRUCTION_SET {
namespace {

constexpr int64_t kBlock = 32;

// Rows and vectors of a product that are accumulated in registers at the same time.
#if defined(__AVX512F__)
constexpr int kRows = 8, kColumns = 2;
#else
constexpr int kRows = 4, kColumns = 2;
#endif

// c = left u for `rows` rows and kColumns vectors; left as [block, stride, 32], u and c with rows of 32.
template <int rows>
inline void multiplyTile(const float* left, int64_t stride, const float* u, int64_t channels, float* c) {
  Vector sums[rows][kColumns] = {};
  for (int64_t block = 0; block < channels; block += kBlock) {
    const float* row = left + block * stride;
    for (int64_t k = 0; k < kBlock; ++k) {
      const float* right = u + (block + k) * kBlock;
      Vector values[kColumns];
      for (int j = 0; j < kColumns; ++j) values[j] = load(right + j * kWidth);
      for (int i = 0; i < rows; ++i) {
        const Vector factor = splat(row[i * kBlock + k]);
        for (int j = 0; j < kColumns; ++j) sums[i][j] += factor * values[j];
      }
    }
  }
  for (int i = 0; i < rows; ++i) {
    for (int j = 0; j < kColumns; ++j) store(c + i * kBlock + j * kWidth, sums[i][j]);
  }
}

// c[row, 32] = sum over all channels of left[row, channel] u[channel, 32]; left as [channel block, stride, 32].
inline void multiply(const float* left, int64_t stride, const float* u, int64_t channels, int64_t rows, float* c) {
  for (int64_t column = 0; column < kBlock; column += kColumns * kWidth) {
    int64_t t = 0;
    for (; t + kRows <= rows; t += kRows) multiplyTile<kRows>(left + t * kBlock, stride, u + column, channels, c + t * kBlock + column);
    for (; t < rows; ++t) multiplyTile<1>(left + t * kBlock, stride, u + column, channels, c + t * kBlock + column);
  }
}

// u[32, 32] = sum over rows of left[row, 32]^T d[row, 32], added to u unless u is uninitialised.
inline void accumulate(const float* left, const float* d, int64_t rows, bool isFresh, float* u) {
  for (int64_t first = 0; first < kBlock; first += kRows) {
    for (int64_t column = 0; column < kBlock; column += kColumns * kWidth) {
      Vector sums[kRows][kColumns] = {};
      float* target = u + first * kBlock + column;
      for (int64_t t = 0; t < rows; ++t) {
        Vector values[kColumns];
        for (int j = 0; j < kColumns; ++j) values[j] = load(d + t * kBlock + column + j * kWidth);
        for (int i = 0; i < kRows; ++i) {
          const Vector factor = splat(left[t * kBlock + first + i]);
          for (int j = 0; j < kColumns; ++j) sums[i][j] += factor * values[j];
        }
      }
      for (int i = 0; i < kRows; ++i) {
        for (int j = 0; j < kColumns; ++j) {
          float* entry = target + i * kBlock + j * kWidth;
          store(entry, isFresh ? sums[i][j] : load(entry) + sums[i][j]);
        }
      }
    }
  }
}

}  // namespace
}  // namespace INSTRUCTION_SET
}  // namespace addon
