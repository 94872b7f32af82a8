// The loops of 3x3 convolutions by Winograd's method F(4x4, 3x3), one implementation per instruction set.
//
// An output tile of 4x4 pixels comes from an input tile d of 6x6 as  A^T [ (G w G^T) . (B^T d B) ] A,  where . multiplies
// elementwise: for each of the 36 elements, sums over channels are a matrix product (Lavin and Gray 2016). That takes a
// quarter of the multiplications. The interpolation points are 0, +-3/4, +-3/2 and infinity: of the sets tried, the one
// with the least rounding error, 5 times that of summing up directly (the customary 0, +-1, +-2: 11 times).
#pragma once

#include <c10/util/BFloat16.h>

#include <cstdint>

#include "every_instruction_set.h"

namespace addon {

constexpr int64_t kWinogradElements = 36;
constexpr int64_t kWinogradBlock = 32;  // channels that are stored together

// Floats from one element to the next. A power of two would map all 36 elements of a tile to the same few cache lines.
constexpr int64_t winogradStride(int64_t floats) { return floats + kWinogradBlock; }

// Images [B, H, W, C] and their tiles, row by row, image by image.
struct WinogradShape {
  int64_t height, width;
  int64_t rows, columns;  // of tiles
};

struct WinogradLoops {
  // Transformed tiles are stored as [element, channel block, tile, 32], with space for `stride` tiles in a block and
  // winogradStride(channels * stride) floats in an element. These write or read tiles first to first + count - 1, to or from
  // the beginning of that space.
  //
  // B^T d B of input tiles.
  void (*input)(const WinogradShape&, const float* x, int64_t channels, int64_t first, int64_t count, int64_t stride, float* to);
  void (*inputBf16)(const WinogradShape&, const c10::BFloat16* x, int64_t channels, int64_t first, int64_t count, int64_t stride, float* to);
  // A dy A^T of output tiles: the adjoint of what `output` does.
  void (*gradient)(const WinogradShape&, const float* dy, int64_t channels, int64_t first, int64_t count, int64_t stride, float* to);
  void (*gradientBf16)(const WinogradShape&, const c10::BFloat16* dy, int64_t channels, int64_t first, int64_t count, int64_t stride, float* to);
  // A^T m A, plus the bias if there is one.
  void (*output)(const WinogradShape&, const float* from, const float* bias, int64_t channels, int64_t first, int64_t count, int64_t stride, float* y);
  void (*outputBf16)(const WinogradShape&, const float* from, const float* bias, int64_t channels, int64_t first, int64_t count, int64_t stride, c10::BFloat16* y);

  // Weights are stored as [output channel, 3, 3, input channel]. G w G^T of the 32 output channels from `block` * 32 on, as
  // [element, block, input channel, 32], with winogradStride(outputs * inputs) floats in an element.
  void (*weights)(const float* w, int64_t outputs, int64_t inputs, int64_t block, float* to);
  // The same for the weights that the gradient of the output is convolved with: rotated by 180 degrees, inputs and outputs
  // exchanged. `block` is a block of input channels.
  void (*turnedWeights)(const float* w, int64_t outputs, int64_t inputs, int64_t block, float* to);
  // G^T u G of the block's gradients [element, output block, input channel, 32].
  void (*weightGradient)(const float* from, int64_t outputs, int64_t inputs, int64_t block, float* dw);

  // c[tile, 32] = sum over all channels of a[tile, channel] u[channel, 32], for one element and block of output channels;
  // a as [channel block, stride, 32].
  void (*multiply)(const float* a, int64_t stride, const float* u, int64_t channels, int64_t tiles, float* c);
  // u[32, 32] = sum over tiles of a[tile, 32]^T d[tile, 32], for one element, block of inputs and block of outputs; added
  // to u unless u is uninitialised.
  void (*accumulate)(const float* a, const float* d, int64_t tiles, bool isFresh, float* u);
};

FOR_EVERY_INSTRUCTION_SET(WinogradLoops winogradLoops())

}  // namespace addon
