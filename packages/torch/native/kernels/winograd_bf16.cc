// Why it exists: a step of a U-Net in bfloat16 spends three quarters of its time in 3x3 convolutions. libtorch's reach nine tenths of the
// processor's rate of bfloat16 products; these need four ninths of the products, and are 1.5 to 1.7 times faster from 256 channels
// at 8x8 pixels on. Tiles of 4x4 in float32, with a quarter of the products at half the rate, need four and a half times the memory for
// transformed weights, which exceeds the cache: these are 1.2 to 1.5 times faster than those.
#include "winograd_bf16.h"

#include <ATen/Parallel.h>

#include <algorithm>

#include "instruction_set.h"
#include "parallel.h"
#include "scratch.h"
#include "winograd_bf16_loops.h"

namespace addon {
namespace {

using c10::BFloat16;

const WinogradBf16Loops& loops() {
  static const WinogradBf16Loops chosen = FOR_THIS_PROCESSOR(winogradBf16Loops);
  return chosen;
}

constexpr int64_t kElements = kWinogradBf16Elements;
// The most tiles that one thread processes at a time: their elements should stay in the cache. And the granularity of the
// division, which suits the products.
constexpr int64_t kTilesPerTask = 64, kTilesStep = 8;
// Tiles whose elements are in memory at the same time for the gradient of the weights, so that those of all channels stay in the
// cache. Fixed, so that the sums do not depend on the number of threads.
constexpr int64_t kTilesPerSum = 128;

int64_t divideUp(int64_t a, int64_t b) { return (a + b - 1) / b; }

WinogradShape shapeOf(const at::Tensor& x) {
  return {x.size(2), x.size(3), divideUp(x.size(2), kWinogradBf16Tile), divideUp(x.size(3), kWinogradBf16Tile)};
}

int64_t tilesOf(const at::Tensor& x) {
  const WinogradShape shape = shapeOf(x);
  return x.size(0) * shape.rows * shape.columns;
}

// Floats in the space of this many bfloat16.
int64_t floatsFor(int64_t halves) { return divideUp(halves, 2); }

BFloat16* asHalves(float* memory) { return reinterpret_cast<BFloat16*>(memory); }

// Convolves with transformed weights [outputs / 32, 16, channels of x / 2, 32, 2].
at::Tensor convolve(const at::Tensor& x, const BFloat16* u, int64_t outputs, const float* bias) {
  const int64_t inputs = x.size(1), tiles = tilesOf(x);
  const WinogradShape shape = shapeOf(x);
  at::Tensor y = at::empty({x.size(0), outputs, x.size(2), x.size(3)}, x.options(), at::MemoryFormat::ChannelsLast);
  const BFloat16* from = x.data_ptr<BFloat16>();
  BFloat16* to = y.data_ptr<BFloat16>();
  const int64_t perTask = std::min(divideUp(divideUp(tiles, at::get_num_threads()), kTilesStep) * kTilesStep, kTilesPerTask);
  const int64_t inStride = winogradBf16Stride(inputs * perTask), outStride = winogradBf16Stride(kWinogradBlock * perTask);
  const ScratchPerThread memory(kElements * (floatsFor(inStride) + outStride));
  parallelFor(divideUp(tiles, perTask), 1, [&](int64_t begin, int64_t end) {
    float* out = memory.ofThisThread();
    BFloat16* in = asHalves(out + kElements * outStride);
    for (int64_t task = begin; task < end; ++task) {
      const int64_t first = task * perTask, count = std::min(perTask, tiles - first);
      loops().input(shape, from, inputs, first, count, perTask, in);
      for (int64_t block = 0; block < outputs / kWinogradBlock; ++block) {
        for (int64_t p = 0; p < kElements; ++p) {
          loops().multiply(in + p * inStride, perTask, u + (block * kElements + p) * inputs * kWinogradBlock, inputs, count, out + p * outStride);
        }
        loops().output(shape, out, bias, outputs, block, first, count, perTask, to);
      }
    }
  });
  return y;
}

// Weights for convolve(), from a loop over blocks of 32 output channels.
const BFloat16* transformed(const at::Tensor& weight, int64_t blocks, decltype(WinogradBf16Loops::weights) loop) {
  const int64_t outputs = weight.size(0), inputs = weight.size(1);
  const at::Tensor ordered = weight.contiguous(at::MemoryFormat::ChannelsLast);
  const float* w = ordered.data_ptr<float>();
  BFloat16* u = asHalves(scratch(Scratch::weights, kElements * floatsFor(outputs * inputs)));
  parallelFor(blocks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t block = begin; block < end; ++block) loop(w, outputs, inputs, block, u);
  });
  return u;
}

}  // namespace

bool winogradBf16Pays(const at::Tensor& image, const at::Tensor& weight) {
  // With fewer tiles the transform of the weights costs more than it saves; with few channels the transforms of the tiles do, compared
  // with larger tiles.
  constexpr int64_t fewestTiles = 32, mostOfFewChannels = 32;
  return instructionSet() == InstructionSet::avx512bf16 && bfloat16Products() == BFloat16Products::vector && tilesOf(image) >= fewestTiles &&
         std::max(weight.size(0), weight.size(1)) > mostOfFewChannels;
}

at::Tensor winogradBf16(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  const int64_t outputs = weight.size(0);
  return convolve(x, transformed(weight, outputs / kWinogradBlock, loops().weights), outputs, bias.defined() ? bias.data_ptr<float>() : nullptr);
}

at::Tensor winogradBf16InputGradient(const at::Tensor& dy, const at::Tensor& weight) {
  const int64_t inputs = weight.size(1);
  return convolve(dy, transformed(weight, inputs / kWinogradBlock, loops().turnedWeights), inputs, nullptr);
}

at::Tensor winogradBf16WeightGradient(const at::Tensor& dy, const at::Tensor& x, const at::Tensor& weight) {
  const int64_t outputs = weight.size(0), inputs = weight.size(1), tiles = tilesOf(x);
  const int64_t inBlocks = inputs / kWinogradBlock, outBlocks = outputs / kWinogradBlock;
  const WinogradShape shape = shapeOf(x);
  const BFloat16 *xs = x.data_ptr<BFloat16>(), *dys = dy.data_ptr<BFloat16>();
  // Tiles are stored in pairs.
  const int64_t capacity = std::min(divideUp(tiles, 2) * 2, kTilesPerSum);
  const int64_t inStride = winogradBf16Stride(inputs * capacity), outStride = winogradBf16Stride(outputs * capacity);
  const int64_t weightStride = winogradBf16Stride(outputs * inputs);
  constexpr int64_t blockSize = kWinogradBlock * kWinogradBlock;
  BFloat16* in = asHalves(scratch(Scratch::sums, kElements * floatsFor(inStride + outStride)));
  BFloat16* out = in + kElements * inStride;
  float* u = scratch(Scratch::weights, kElements * weightStride);
  for (int64_t start = 0; start < tiles; start += capacity) {
    const int64_t length = std::min(capacity, tiles - start);
    parallelFor(divideUp(length, kTilesStep), 1, [&](int64_t begin, int64_t end) {
      const int64_t offset = begin * kTilesStep, count = std::min(end * kTilesStep, length) - offset;
      loops().inputPairs(shape, xs, inputs, start + offset, count, capacity, in + offset * kWinogradBlock);
      loops().gradientPairs(shape, dys, outputs, start + offset, count, capacity, out + offset * kWinogradBlock);
    });
    parallelFor(kElements * outBlocks * inBlocks, 1, [&](int64_t begin, int64_t end) {
      for (int64_t task = begin; task < end; ++task) {
        const int64_t i = task % inBlocks, rest = task / inBlocks, o = rest % outBlocks, p = rest / outBlocks;
        loops().accumulate(in + p * inStride + i * capacity * kWinogradBlock, out + p * outStride + o * capacity * kWinogradBlock, divideUp(length, 2),
                           start == 0, u + p * weightStride + (o * inBlocks + i) * blockSize);
      }
    });
  }
  at::Tensor dw = at::empty(weight.sizes(), weight.options(), at::MemoryFormat::ChannelsLast);
  float* result = dw.data_ptr<float>();
  parallelFor(outBlocks * inBlocks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t block = begin; block < end; ++block) {
      loops().weightGradient(u + block * blockSize, weightStride, inputs, block / inBlocks, block % inBlocks, result);
    }
  });
  return dw;
}

}  // namespace addon
