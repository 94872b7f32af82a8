// Compiled once per instruction set, with INSTRUCTION_SET naming the namespace.
#include "winograd_loops.h"

#include <algorithm>

#include "products.h"
#include "vector.h"
#include "winograd_transform.h"

namespace addon {
namespace INSTRUCTION_SET {
namespace {

constexpr int64_t kElements = kWinogradElements;
static_assert(kWinogradBlock == kBlock, "products know blocks of one width");
constexpr int64_t kTile = 6, kOutput = 4;

// The finite interpolation points are 0, +-a and +-b.
constexpr float a = 0.75f, b = 1.5f;
constexpr float a2 = a * a, b2 = b * b, a3 = a * a * a, b3 = b * b * b;

// Rows of B^T: the coefficients of the product of (x - p) over the other finite points p, and for infinity over all finite points.
template <class V>
inline void inputTransform(const V (&d)[6], V (&t)[6]) {
  const V evenA = d[4] - b2 * d[2], oddA = a * (d[3] - b2 * d[1]);
  const V evenB = d[4] - a2 * d[2], oddB = b * (d[3] - a2 * d[1]);
  t[0] = d[4] - (a2 + b2) * d[2] + (a2 * b2) * d[0];
  t[1] = evenA + oddA;
  t[2] = evenA - oddA;
  t[3] = evenB + oddB;
  t[4] = evenB - oddB;
  t[5] = d[5] - (a2 + b2) * d[3] + (a2 * b2) * d[1];
}

// Rows of A^T: the powers of the points.
template <class V>
inline void outputTransform(const V (&t)[6], V (&y)[4]) {
  const V sumA = t[1] + t[2], differenceA = t[1] - t[2], sumB = t[3] + t[4], differenceB = t[3] - t[4];
  y[0] = t[0] + sumA + sumB;
  y[1] = a * differenceA + b * differenceB;
  y[2] = a2 * sumA + b2 * sumB;
  y[3] = a3 * differenceA + b3 * differenceB + t[5];
}

// A
template <class V>
inline void gradientTransform(const V (&y)[4], V (&t)[6]) {
  const V evenA = y[0] + a2 * y[2], oddA = a * y[1] + a3 * y[3];
  const V evenB = y[0] + b2 * y[2], oddB = b * y[1] + b3 * y[3];
  t[0] = y[0];
  t[1] = evenA + oddA;
  t[2] = evenA - oddA;
  t[3] = evenB + oddB;
  t[4] = evenB - oddB;
  t[5] = y[3];
}

// Rows of G: the powers of the points over the product of their differences from the others.
constexpr float of0 = 1 / (a2 * b2), ofA = 1 / (2 * a2 * (a2 - b2)), ofB = 1 / (2 * b2 * (b2 - a2));

template <class V>
inline void weightTransform(const V (&w)[3], V (&t)[6]) {
  const V evenA = ofA * w[0] + (ofA * a2) * w[2], oddA = (ofA * a) * w[1];
  const V evenB = ofB * w[0] + (ofB * b2) * w[2], oddB = (ofB * b) * w[1];
  t[0] = of0 * w[0];
  t[1] = evenA + oddA;
  t[2] = evenA - oddA;
  t[3] = evenB + oddB;
  t[4] = evenB - oddB;
  t[5] = w[2];
}

// G^T
template <class V>
inline void weightGradientTransform(const V (&t)[6], V (&w)[3]) {
  const V sumA = ofA * (t[1] + t[2]), differenceA = ofA * (t[1] - t[2]);
  const V sumB = ofB * (t[3] + t[4]), differenceB = ofB * (t[3] - t[4]);
  w[0] = of0 * t[0] + sumA + sumB;
  w[1] = a * differenceA + b * differenceB;
  w[2] = a2 * sumA + b2 * sumB + t[5];
}

// The position of a tile: its image and the top left pixel of its 4x4 output.
struct TilePosition {
  int64_t image, row, column;
};

inline TilePosition positionOf(const WinogradShape& shape, int64_t tile) {
  const int64_t perImage = shape.rows * shape.columns, rest = tile % perImage;
  return {tile / perImage, rest / shape.columns * kOutput, rest % shape.columns * kOutput};
}

// Reads N x N pixels of one vector of channels, from (row, column) on; zeros beyond the border.
template <int N, class T>
inline void readPixels(const WinogradShape& shape, const T* image, int64_t channels, int64_t row, int64_t column, Vector (&to)[N][N]) {
  for (int i = 0; i < N; ++i) {
    for (int j = 0; j < N; ++j) {
      const int64_t y = row + i, x = column + j;
      const bool inside = y >= 0 && y < shape.height && x >= 0 && x < shape.width;
      to[i][j] = inside ? load(image + (y * shape.width + x) * channels) : Vector{};
    }
  }
}

// Transforms N x N pixels from `border` pixels above and to the left of each tile on, for all channels.
template <int N, class T, class Transform>
void transformTiles(const WinogradShape& shape, const T* x, int64_t channels, int64_t border, int64_t first, int64_t count,
                    int64_t stride, float* to, Transform&& transform) {
  const int64_t elementStride = winogradStride(channels * stride);
  for (int64_t i = 0; i < count; ++i) {
    const TilePosition position = positionOf(shape, first + i);
    const T* image = x + position.image * shape.height * shape.width * channels;
    for (int64_t c = 0; c < channels; c += kWidth) {
      Vector pixels[N][N], transformed[kTile][kTile];
      readPixels(shape, image + c, channels, position.row - border, position.column - border, pixels);
      bothWays(pixels, transformed, transform);
      float* target = to + (c / kBlock * stride + i) * kBlock + c % kBlock;
      for (int64_t p = 0; p < kElements; ++p) store(target + p * elementStride, transformed[p / kTile][p % kTile]);
    }
  }
}

template <class T>
void input(const WinogradShape& shape, const T* x, int64_t channels, int64_t first, int64_t count, int64_t stride, float* to) {
  transformTiles<6>(shape, x, channels, 1, first, count, stride, to, [](const auto& d, auto& t) { inputTransform(d, t); });
}

template <class T>
void gradient(const WinogradShape& shape, const T* dy, int64_t channels, int64_t first, int64_t count, int64_t stride, float* to) {
  transformTiles<4>(shape, dy, channels, 0, first, count, stride, to, [](const auto& y, auto& t) { gradientTransform(y, t); });
}

template <class T>
void output(const WinogradShape& shape, const float* from, const float* bias, int64_t channels, int64_t first, int64_t count,
            int64_t stride, T* y) {
  const int64_t elementStride = winogradStride(channels * stride);
  for (int64_t i = 0; i < count; ++i) {
    const TilePosition position = positionOf(shape, first + i);
    T* image = y + position.image * shape.height * shape.width * channels;
    const int64_t height = std::min(kOutput, shape.height - position.row), width = std::min(kOutput, shape.width - position.column);
    for (int64_t c = 0; c < channels; c += kWidth) {
      const float* source = from + (c / kBlock * stride + i) * kBlock + c % kBlock;
      Vector elements[6][6], pixels[4][4];
      for (int64_t p = 0; p < kElements; ++p) elements[p / kTile][p % kTile] = load(source + p * elementStride);
      bothWays(elements, pixels, [](const auto& t, auto& values) { outputTransform(t, values); });
      const Vector constant = bias ? load(bias + c) : Vector{};
      for (int64_t row = 0; row < height; ++row) {
        for (int64_t column = 0; column < width; ++column) {
          store(image + ((position.row + row) * shape.width + position.column + column) * channels + c, pixels[row][column] + constant);
        }
      }
    }
  }
}

void weights(const float* w, int64_t outputs, int64_t inputs, int64_t block, float* to) {
  const int64_t elementStride = winogradStride(outputs * inputs);
  for (int64_t o = block * kBlock; o < (block + 1) * kBlock; o += kWidth) {
    for (int64_t c = 0; c < inputs; c += kWidth) {
      // Input channels are adjacent in the weights; output channels should be. Transposed here, before each weight becomes 36 values.
      float exchanged[9][kWidth][kWidth];
      for (int64_t k = 0; k < kWidth; ++k) {
        for (int64_t t = 0; t < 9; ++t) {
          const float* row = w + ((o + k) * 9 + t) * inputs + c;
          for (int64_t i = 0; i < kWidth; ++i) exchanged[t][i][k] = row[i];
        }
      }
      for (int64_t i = 0; i < kWidth; ++i) {
        Vector taps[3][3], transformed[6][6];
        for (int64_t t = 0; t < 9; ++t) taps[t / 3][t % 3] = load(exchanged[t][i]);
        bothWays(taps, transformed, [](const auto& v, auto& result) { weightTransform(v, result); });
        float* target = to + (block * inputs + c + i) * kBlock + o % kBlock;
        for (int64_t p = 0; p < kElements; ++p) store(target + p * elementStride, transformed[p / kTile][p % kTile]);
      }
    }
  }
}

void turnedWeights(const float* w, int64_t outputs, int64_t inputs, int64_t block, float* to) {
  const int64_t elementStride = winogradStride(outputs * inputs);
  for (int64_t o = 0; o < outputs; ++o) {
    for (int64_t c = block * kBlock; c < (block + 1) * kBlock; c += kWidth) {
      Vector taps[3][3], transformed[6][6];
      for (int64_t t = 0; t < 9; ++t) taps[2 - t / 3][2 - t % 3] = load(w + (o * 9 + t) * inputs + c);
      bothWays(taps, transformed, [](const auto& v, auto& result) { weightTransform(v, result); });
      float* target = to + (block * outputs + o) * kBlock + c % kBlock;
      for (int64_t p = 0; p < kElements; ++p) store(target + p * elementStride, transformed[p / kTile][p % kTile]);
    }
  }
}

void weightGradient(const float* from, int64_t outputs, int64_t inputs, int64_t block, float* dw) {
  const int64_t elementStride = winogradStride(outputs * inputs);
  for (int64_t o = block * kBlock; o < (block + 1) * kBlock; o += kWidth) {
    for (int64_t c = 0; c < inputs; c += kWidth) {
      float exchanged[9][kWidth][kWidth];
      for (int64_t i = 0; i < kWidth; ++i) {
        const float* source = from + (block * inputs + c + i) * kBlock + o % kBlock;
        Vector elements[6][6], taps[3][3];
        for (int64_t p = 0; p < kElements; ++p) elements[p / kTile][p % kTile] = load(source + p * elementStride);
        bothWays(elements, taps, [](const auto& t, auto& result) { weightGradientTransform(t, result); });
        for (int64_t t = 0; t < 9; ++t) store(exchanged[t][i], taps[t / 3][t % 3]);
      }
      for (int64_t k = 0; k < kWidth; ++k) {
        for (int64_t t = 0; t < 9; ++t) {
          float* row = dw + ((o + k) * 9 + t) * inputs + c;
          for (int64_t i = 0; i < kWidth; ++i) row[i] = exchanged[t][i][k];
        }
      }
    }
  }
}

}  // namespace

WinogradLoops winogradLoops() {
  return {input<float>,  input<c10::BFloat16>,  gradient<float>, gradient<c10::BFloat16>, output<float>, output<c10::BFloat16>,
          weights, turnedWeights, weightGradient, multiply, accumulate};
}

}  // namespace INSTRUCTION_SET
}  // namespace addon
