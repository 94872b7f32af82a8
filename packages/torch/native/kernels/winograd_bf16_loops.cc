// Compiled once per instruction set, with INSTRUCTION_SET naming the namespace.
#include "winograd_bf16_loops.h"

#if defined(__AVX512BF16__)

#include <algorithm>

#include "vector.h"
#include "winograd_transform.h"

namespace addon {
namespace INSTRUCTION_SET {
namespace {

using c10::BFloat16;

constexpr int64_t kBlock = kWinogradBlock;
constexpr int64_t kElements = kWinogradBf16Elements, kTile = 4, kOutput = kWinogradBf16Tile;

// B^T, G, A^T and their transposes, for the points 0, 1, -1 and infinity.
inline void inputTransform(const Vector (&d)[4], Vector (&t)[4]) {
  t[0] = d[0] - d[2];
  t[1] = d[1] + d[2];
  t[2] = d[2] - d[1];
  t[3] = d[1] - d[3];
}

inline void outputTransform(const Vector (&t)[4], Vector (&y)[2]) {
  y[0] = t[0] + t[1] + t[2];
  y[1] = t[1] - t[2] - t[3];
}

inline void gradientTransform(const Vector (&y)[2], Vector (&t)[4]) {
  t[0] = y[0];
  t[1] = y[0] + y[1];
  t[2] = y[0] - y[1];
  t[3] = -y[1];
}

inline void weightTransform(const Vector (&w)[3], Vector (&t)[4]) {
  const Vector even = 0.5f * (w[0] + w[2]), odd = 0.5f * w[1];
  t[0] = w[0];
  t[1] = even + odd;
  t[2] = even - odd;
  t[3] = w[2];
}

inline void weightGradientTransform(const Vector (&t)[4], Vector (&w)[3]) {
  const Vector even = 0.5f * (t[1] + t[2]);
  w[0] = t[0] + even;
  w[1] = 0.5f * (t[1] - t[2]);
  w[2] = even + t[3];
}

// Each pair of lanes, rounded, next to each other.
inline void storePairs(BFloat16* target, Vector first, Vector second) {
  const __m512i halves = (__m512i)_mm512_cvtne2ps_pbh((__m512)second, (__m512)first);
  typedef int16_t Lanes __attribute__((vector_size(64)));
  Lanes order = {};
  UNROLLED for (int i = 0; i < 32; ++i) order[i] = static_cast<int16_t>(i / 2 + i % 2 * 16);
  _mm512_storeu_si512(target, _mm512_permutexvar_epi16((__m512i)order, halves));
}

// The sums of two products of each lane, added to `sums`; pairs of bfloat16.
inline Vector addProducts(Vector sums, __m512i left, __m512i right) {
  return (Vector)_mm512_dpbf16_ps((__m512)sums, (__m512bh)left, (__m512bh)right);
}

inline __m512i splatPair(const BFloat16* pair) {
  int32_t word;
  std::memcpy(&word, pair, sizeof word);
  return _mm512_set1_epi32(word);
}

inline __m512i loadPairs(const BFloat16* source) { return _mm512_loadu_si512(source); }

// The position of a tile: its image and the top left pixel of its output.
struct TilePosition {
  int64_t image, row, column;
};

inline TilePosition positionOf(const WinogradShape& shape, int64_t tile) {
  const int64_t perImage = shape.rows * shape.columns, rest = tile % perImage;
  return {tile / perImage, rest / shape.columns * kOutput, rest % shape.columns * kOutput};
}

// Reads N x N pixels of one vector of channels, from (row, column) on; zeros beyond the border.
template <int N>
inline void readPixels(const WinogradShape& shape, const BFloat16* image, int64_t channels, int64_t row, int64_t column, Vector (&to)[N][N]) {
  if (row >= 0 && column >= 0 && row + N <= shape.height && column + N <= shape.width) {
    const BFloat16* first = image + (row * shape.width + column) * channels;
    for (int i = 0; i < N; ++i) {
      for (int j = 0; j < N; ++j) to[i][j] = load(first + (i * shape.width + j) * channels);
    }
    return;
  }
  for (int i = 0; i < N; ++i) {
    for (int j = 0; j < N; ++j) {
      const int64_t y = row + i, x = column + j;
      const bool inside = y >= 0 && y < shape.height && x >= 0 && x < shape.width;
      to[i][j] = inside ? load(image + (y * shape.width + x) * channels) : Vector{};
    }
  }
}

// The elements of one vector of channels of a tile, from `border` pixels above and to the left of it on.
template <int N, class Transform>
inline void transformTile(const WinogradShape& shape, const BFloat16* x, int64_t channels, int64_t border, int64_t tile, int64_t channel,
                          Transform&& transform, Vector (&to)[kTile][kTile]) {
  const TilePosition position = positionOf(shape, tile);
  const BFloat16* image = x + position.image * shape.height * shape.width * channels;
  Vector pixels[N][N];
  readPixels(shape, image + channel, channels, position.row - border, position.column - border, pixels);
  bothWays(pixels, to, transform);
}

template <int N, class Transform>
void transformPairs(const WinogradShape& shape, const BFloat16* x, int64_t channels, int64_t border, int64_t first, int64_t count,
                    int64_t stride, BFloat16* to, Transform&& transform) {
  const int64_t elementStride = winogradBf16Stride(channels * stride);
  for (int64_t i = 0; i < count; i += 2) {
    for (int64_t c = 0; c < channels; c += kWidth) {
      Vector even[kTile][kTile], odd[kTile][kTile] = {};
      transformTile<N>(shape, x, channels, border, first + i, c, transform, even);
      if (i + 1 < count) transformTile<N>(shape, x, channels, border, first + i + 1, c, transform, odd);
      BFloat16* target = to + (c / kBlock * stride + i) * kBlock + c % kBlock * 2;
      for (int64_t p = 0; p < kElements; ++p) storePairs(target + p * elementStride, even[p / kTile][p % kTile], odd[p / kTile][p % kTile]);
    }
  }
}

void input(const WinogradShape& shape, const BFloat16* x, int64_t channels, int64_t first, int64_t count, int64_t stride, BFloat16* to) {
  const int64_t elementStride = winogradBf16Stride(channels * stride);
  for (int64_t i = 0; i < count; ++i) {
    for (int64_t c = 0; c < channels; c += kWidth) {
      Vector elements[kTile][kTile];
      transformTile<4>(shape, x, channels, 1, first + i, c, [](const auto& d, auto& t) { inputTransform(d, t); }, elements);
      BFloat16* target = to + (c / kBlock * stride + i) * kBlock + c % kBlock;
      for (int64_t p = 0; p < kElements; ++p) store(target + p * elementStride, elements[p / kTile][p % kTile]);
    }
  }
}

void inputPairs(const WinogradShape& shape, const BFloat16* x, int64_t channels, int64_t first, int64_t count, int64_t stride, BFloat16* to) {
  transformPairs<4>(shape, x, channels, 1, first, count, stride, to, [](const auto& d, auto& t) { inputTransform(d, t); });
}

void gradientPairs(const WinogradShape& shape, const BFloat16* dy, int64_t channels, int64_t first, int64_t count, int64_t stride, BFloat16* to) {
  transformPairs<2>(shape, dy, channels, 0, first, count, stride, to, [](const auto& y, auto& t) { gradientTransform(y, t); });
}

void output(const WinogradShape& shape, const float* from, const float* bias, int64_t channels, int64_t block, int64_t first, int64_t count,
            int64_t stride, BFloat16* y) {
  const int64_t elementStride = winogradBf16Stride(stride * kBlock);
  for (int64_t i = 0; i < count; ++i) {
    const TilePosition position = positionOf(shape, first + i);
    const int64_t height = std::min(kOutput, shape.height - position.row), width = std::min(kOutput, shape.width - position.column);
    BFloat16* corner = y + ((position.image * shape.height + position.row) * shape.width + position.column) * channels + block * kBlock;
    for (int64_t c = 0; c < kBlock; c += kWidth) {
      Vector elements[kTile][kTile], pixels[kOutput][kOutput];
      for (int64_t p = 0; p < kElements; ++p) elements[p / kTile][p % kTile] = load(from + p * elementStride + i * kBlock + c);
      bothWays(elements, pixels, [](const auto& t, auto& values) { outputTransform(t, values); });
      const Vector constant = bias ? load(bias + block * kBlock + c) : Vector{};
      for (int64_t row = 0; row < height; ++row) {
        for (int64_t column = 0; column < width; ++column) {
          store(corner + (row * shape.width + column) * channels + c, pixels[row][column] + constant);
        }
      }
    }
  }
}

// Exchanges rows and columns: bit by bit of their numbers.
template <int bit = 1>
inline void transpose(Vector (&rows)[kWidth]) {
  constexpr auto low = [](int lane) { return lane & bit ? lane - bit + static_cast<int>(kWidth) : lane; };
  constexpr auto high = [](int lane) { return lane & bit ? lane + static_cast<int>(kWidth) : lane + bit; };
  UNROLLED for (int row = 0; row < kWidth; ++row) {
    if (row & bit) continue;
    const Vector a = rows[row], b = rows[row + bit];
    rows[row] = shuffled(a, b, low);
    rows[row + bit] = shuffled(a, b, high);
  }
  if constexpr (2 * bit < kWidth) transpose<2 * bit>(rows);
}

void weights(const float* w, int64_t, int64_t inputs, int64_t block, BFloat16* to) {
  BFloat16* start = to + block * kElements * inputs * kBlock;
  for (int64_t o = 0; o < kBlock; o += kWidth) {
    for (int64_t c = 0; c < inputs; c += kWidth) {
      // Input channels are adjacent in the weights; output channels should be.
      Vector taps[9][kWidth];
      for (int64_t t = 0; t < 9; ++t) {
        for (int64_t k = 0; k < kWidth; ++k) taps[t][k] = load(w + ((block * kBlock + o + k) * 9 + t) * inputs + c);
        transpose(taps[t]);
      }
      for (int64_t i = 0; i < kWidth; i += 2) {
        Vector pair[2][kTile][kTile];
        for (int64_t j = 0; j < 2; ++j) {
          Vector own[3][3];
          for (int64_t t = 0; t < 9; ++t) own[t / 3][t % 3] = taps[t][i + j];
          bothWays(own, pair[j], [](const auto& v, auto& result) { weightTransform(v, result); });
        }
        BFloat16* target = start + (c + i) * kBlock + o * 2;
        for (int64_t p = 0; p < kElements; ++p) storePairs(target + p * inputs * kBlock, pair[0][p / kTile][p % kTile], pair[1][p / kTile][p % kTile]);
      }
    }
  }
}

void turnedWeights(const float* w, int64_t outputs, int64_t inputs, int64_t block, BFloat16* to) {
  BFloat16* start = to + block * kElements * outputs * kBlock;
  for (int64_t o = 0; o < outputs; o += 2) {
    for (int64_t c = 0; c < kBlock; c += kWidth) {
      Vector pair[2][kTile][kTile];
      for (int64_t j = 0; j < 2; ++j) {
        Vector taps[3][3];
        for (int64_t t = 0; t < 9; ++t) taps[2 - t / 3][2 - t % 3] = load(w + ((o + j) * 9 + t) * inputs + block * kBlock + c);
        bothWays(taps, pair[j], [](const auto& v, auto& result) { weightTransform(v, result); });
      }
      BFloat16* target = start + o * kBlock + c * 2;
      for (int64_t p = 0; p < kElements; ++p) storePairs(target + p * outputs * kBlock, pair[0][p / kTile][p % kTile], pair[1][p / kTile][p % kTile]);
    }
  }
}

void weightGradient(const float* u, int64_t stride, int64_t inputs, int64_t outBlock, int64_t inBlock, float* dw) {
  for (int64_t o = 0; o < kBlock; o += kWidth) {
    for (int64_t c = 0; c < kBlock; c += kWidth) {
      Vector taps[9][kWidth];
      for (int64_t i = 0; i < kWidth; ++i) {
        Vector elements[kTile][kTile], own[3][3];
        for (int64_t p = 0; p < kElements; ++p) elements[p / kTile][p % kTile] = load(u + p * stride + (c + i) * kBlock + o);
        bothWays(elements, own, [](const auto& t, auto& result) { weightGradientTransform(t, result); });
        for (int64_t t = 0; t < 9; ++t) taps[t][i] = own[t / 3][t % 3];
      }
      for (int64_t t = 0; t < 9; ++t) {
        transpose(taps[t]);
        for (int64_t k = 0; k < kWidth; ++k) store(dw + ((outBlock * kBlock + o + k) * 9 + t) * inputs + inBlock * kBlock + c, taps[t][k]);
      }
    }
  }
}

// Rows of a product that are accumulated in registers at the same time, and vectors: a block.
constexpr int kRows = 8, kColumns = kBlock / kWidth;

template <int rows>
inline void multiplyRows(const BFloat16* a, int64_t stride, const BFloat16* u, int64_t channels, float* c) {
  Vector sums[rows][kColumns] = {};
  for (int64_t block = 0; block < channels; block += kBlock) {
    const BFloat16* row = a + block * stride;
    for (int64_t k = 0; k < kBlock; k += 2) {
      __m512i right[kColumns];
      for (int j = 0; j < kColumns; ++j) right[j] = loadPairs(u + (block + k) * kBlock + j * 2 * kWidth);
      for (int i = 0; i < rows; ++i) {
        const __m512i left = splatPair(row + i * kBlock + k);
        for (int j = 0; j < kColumns; ++j) sums[i][j] = addProducts(sums[i][j], left, right[j]);
      }
    }
  }
  for (int i = 0; i < rows; ++i) {
    for (int j = 0; j < kColumns; ++j) store(c + i * kBlock + j * kWidth, sums[i][j]);
  }
}

void multiply(const BFloat16* a, int64_t stride, const BFloat16* u, int64_t channels, int64_t tiles, float* c) {
  int64_t t = 0;
  for (; t + kRows <= tiles; t += kRows) multiplyRows<kRows>(a + t * kBlock, stride, u, channels, c + t * kBlock);
  for (; t < tiles; ++t) multiplyRows<1>(a + t * kBlock, stride, u, channels, c + t * kBlock);
}

void accumulate(const BFloat16* a, const BFloat16* d, int64_t pairs, bool isFresh, float* u) {
  for (int64_t first = 0; first < kBlock; first += kRows) {
    Vector sums[kRows][kColumns] = {};
    for (int64_t t = 0; t < pairs; ++t) {
      __m512i right[kColumns];
      for (int j = 0; j < kColumns; ++j) right[j] = loadPairs(d + t * 2 * kBlock + j * 2 * kWidth);
      for (int i = 0; i < kRows; ++i) {
        const __m512i left = splatPair(a + t * 2 * kBlock + 2 * (first + i));
        for (int j = 0; j < kColumns; ++j) sums[i][j] = addProducts(sums[i][j], left, right[j]);
      }
    }
    for (int i = 0; i < kRows; ++i) {
      for (int j = 0; j < kColumns; ++j) {
        float* entry = u + (first + i) * kBlock + j * kWidth;
        store(entry, isFresh ? sums[i][j] : load(entry) + sums[i][j]);
      }
    }
  }
}

}  // namespace

WinogradBf16Loops winogradBf16Loops() {
  return {input, inputPairs, gradientPairs, output, weights, turnedWeights, weightGradient, multiply, accumulate};
}

}  // namespace INSTRUCTION_SET
}  // namespace addon

#else

namespace addon {
namespace INSTRUCTION_SET {

WinogradBf16Loops winogradBf16Loops() { return {}; }

}  // namespace INSTRUCTION_SET
}  // namespace addon

#endif
