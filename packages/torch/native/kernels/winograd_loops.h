// The loops of 3x3 convolutions by Winograd's method F(4x4, 3x3), one implementation per instruction set.
//
// An output tile of 4x4 pixels comes from an input tile d of 6x6 as  A^T [ (G w G^T) . (B^T d B) ] A,  where . multiplies
// place by place: for each of the 36 places, sums over channels are a matrix product (Lavin and Gray 2016). That takes a
// quarter of the multiplications. The interpolation points are 0, +-3/4, +-3/2 and infinity: of the sets tried, the one
// with the least rounding error, 5 times that of summing up directly (the customary 0, +-1, +-2: 11 times).
#pragma once

#include <c10/util/BFloat16.h>

#include <cstdint>

#include "every_instruction_set.h"

namespace addon {

constexpr int64_t kWinogradPlaces = 36;
constexpr int64_t kWinogradBlock = 32;  // channels that lie together

// Floats from one place to the next. A power of two would send all 36 places of a tile to the same few lines of the cache.
constexpr int64_t winogradStride(int64_t floats) { return floats + kWinogradBlock; }

// Images [B, H, W, C] and their tiles, row by row, image by image.
struct WinogradShape {
  int64_t height, width;
  int64_t rows, columns;  // of tiles
};

struct WinogradLoops {
  // Transformed tiles lie as [place, channel block, tile, 32], with room for `stride` tiles in a block and
  // winogradStride(channels * stride) floats in a place. These write or read tiles first to first + count - 1, to or from
  // the beginning of that room.
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

  // Weights lie as [output channel, 3, 3, input channel]. G w G^T of the 32 output channels from `block` * 32 on, as
  // [place, block, input channel, 32], with winogradStride(outputs * inputs) floats in a place.
  void (*weights)(const float* w, int64_t outputs, int64_t inputs, int64_t block, float* to);
  // The same of the weights with which the gradient of the output is convolved: turned by half a turn, inputs and outputs
  // exchanged. `block` is of input channels.
  void (*turnedWeights)(const float* w, int64_t outputs, int64_t inputs, int64_t block, float* to);
  // G^T u G of the block's gradients [place, output block, input channel, 32].
  void (*weightGradient)(const float* from, int64_t outputs, int64_t inputs, int64_t block, float* dw);

  // c[tile, 32] = sum over all channels of a[tile, channel] u[channel, 32], for one place and block of output channels;
  // a as [channel block, stride, 32].
  void (*multiply)(const float* a, int64_t stride, const float* u, int64_t channels, int64_t tiles, float* c);
  // u[32, 32] = sum over tiles of a[tile, 32]^T d[tile, 32], for one place, block of inputs and block of outputs; plus what u
  // holds unless it is fresh memory.
  void (*accumulate)(const float* a, const float* d, int64_t tiles, bool isFresh, float* u);
};

FOR_EVERY_INSTRUCTION_SET(WinogradLoops winogradLoops())

}  // namespace addon
