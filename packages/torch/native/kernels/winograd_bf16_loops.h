// The loops of 3x3 convolutions of bfloat16 images by Winograd's method F(2x2, 3x3), for processors that multiply bfloat16.
//
// As winograd_loops.h, but an output tile of 2x2 pixels comes from an input tile of 4x4: 16 elements, and four ninths of the
// multiplications. The elements are computed in float32, rounded to bfloat16, and multiplied by instructions that sum two products
// in float32: a step of a U-Net needs fewer of them than with larger tiles in float32. Larger tiles would magnify the rounding
// of the elements: with the points 0, +-1 and infinity the error is 1.8 times that of summing up directly, with 4x4 tiles 5 times.
#pragma once

#include <c10/util/BFloat16.h>

#include <cstdint>

#include "every_instruction_set.h"
#include "winograd_loops.h"

namespace addon {

constexpr int64_t kWinogradBf16Elements = 16;
constexpr int64_t kWinogradBf16Tile = 2;  // pixels of the output, each way

// Numbers from one element to the next, for `numbers` of them in each. A power of two would map all elements of a tile to the same
// few cache lines.
constexpr int64_t winogradBf16Stride(int64_t numbers) { return numbers + kWinogradBlock; }

struct WinogradBf16Loops {
  // B^T d B of the input tiles first to first + count - 1, as [element, channel block, tile, 32], with space for `stride` tiles in
  // a block and winogradBf16Stride(channels * stride) numbers in an element.
  void (*input)(const WinogradShape&, const c10::BFloat16* x, int64_t channels, int64_t first, int64_t count, int64_t stride, c10::BFloat16* to);
  // The same for the gradient of the weights, as [element, channel block, tile / 2, 32, 2]. With an odd number of
  // tiles zeros follow the last one.
  void (*inputPairs)(const WinogradShape&, const c10::BFloat16* x, int64_t channels, int64_t first, int64_t count, int64_t stride,
                     c10::BFloat16* to);
  // A dy A^T of output tiles, in the same layout.
  void (*gradientPairs)(const WinogradShape&, const c10::BFloat16* dy, int64_t channels, int64_t first, int64_t count, int64_t stride,
                        c10::BFloat16* to);
  // A^T m A, plus the bias if there is one, of the 32 channels from `block` * 32 on; m as [element, tile, 32], winogradBf16Stride(stride * 32)
  // numbers in an element.
  void (*output)(const WinogradShape&, const float* from, const float* bias, int64_t channels, int64_t block, int64_t first, int64_t count,
                 int64_t stride, c10::BFloat16* y);

  // Weights are stored as [output channel, 3, 3, input channel]. G w G^T of the 32 output channels from `block` * 32 on, as
  // [block, element, input channel / 2, 32, 2].
  void (*weights)(const float* w, int64_t outputs, int64_t inputs, int64_t block, c10::BFloat16* to);
  // The same for the weights that the gradient of the output is convolved with: rotated by 180 degrees, inputs and outputs
  // exchanged. `block` is a block of input channels.
  void (*turnedWeights)(const float* w, int64_t outputs, int64_t inputs, int64_t block, c10::BFloat16* to);
  // G^T u G of 32 by 32 weights, those from `outBlock` * 32 and `inBlock` * 32 on; u as [element, input channel, output channel],
  // `stride` numbers from one element to the next.
  void (*weightGradient)(const float* u, int64_t stride, int64_t inputs, int64_t outBlock, int64_t inBlock, float* dw);

  // c[tile, 32] = sum over all channels of a[tile, channel] u[channel, 32], for one element and block of output channels;
  // a as [channel block, stride, 32], u as [channel / 2, 32, 2].
  void (*multiply)(const c10::BFloat16* a, int64_t stride, const c10::BFloat16* u, int64_t channels, int64_t tiles, float* c);
  // u[32, 32] = sum over pairs of tiles of a[pair, 32, 2]^T d[pair, 32, 2], for one element, block of inputs and block of outputs;
  // added to u unless u is uninitialised.
  void (*accumulate)(const c10::BFloat16* a, const c10::BFloat16* d, int64_t pairs, bool isFresh, float* u);
};

// Null pointers for instruction sets without products of bfloat16.
FOR_EVERY_INSTRUCTION_SET(WinogradBf16Loops winogradBf16Loops())

}  // namespace addon
