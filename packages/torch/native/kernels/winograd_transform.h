// What Winograd's method does with tiles of any size. For loops that are compiled once per instruction set.
#pragma once

#include "vector.h"

namespace addon {
namespace INSTRUCTION_SET {
namespace {

// Applies a transform of vectors of length N to the rows and the columns of a matrix.
template <int N, int M, class Transform>
inline void bothWays(const Vector (&from)[N][N], Vector (&to)[M][M], Transform&& transform) {
  Vector half[N][M];
  for (int i = 0; i < N; ++i) transform(from[i], half[i]);
  for (int j = 0; j < M; ++j) {
    Vector column[N], result[M];
    for (int i = 0; i < N; ++i) column[i] = half[i][j];
    transform(column, result);
    for (int i = 0; i < M; ++i) to[i][j] = result[i];
  }
}

}  // namespace
}  // namespace INSTRUCTION_SET
}  // namespace addon
