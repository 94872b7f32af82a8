// stf::conv3x3: the main convolution of U-Nets, 3x3 with zero padding, for channels_last images on the CPU.
//
// Why it exists: three quarters of a float32 training step are spent in these convolutions, which libtorch computes directly,
// at 80 to 90 percent of the processor's peak. Winograd's method needs a quarter of the multiplications (winograd_loops.h)
// and is 1.4 to 2.9 times faster, increasing with channels and pixels. Where the processor multiplies bfloat16, images of that are
// convolved with smaller tiles (winograd_bf16.h).
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <limits>

#include "convolution.h"
#include "instruction_set.h"
#include "parallel.h"
#include "scratch.h"
#include "stock_gradients.h"
#include "winograd_bf16.h"
#include "winograd_loops.h"

namespace addon {
namespace {

const WinogradLoops& loops() {
  static const WinogradLoops chosen = FOR_THIS_PROCESSOR(winogradLoops);
  return chosen;
}

constexpr int64_t kTileSize = 4;
// The most tiles that one thread processes at a time: their transforms should stay in the cache. And the granularity of the
// division, which suits the products.
constexpr int64_t kTilesPerTask = 32, kTilesStep = 8;
// Tiles whose transforms are in memory at the same time for the gradient of the weights. Fixed, so that the sums do not depend on
// the number of threads.
constexpr int64_t kTilesPerSum = 256;

// With fewer tiles the transform of the weights costs more than it saves. In bfloat16 the sums are still float32, so
// it depends on the speed of libtorch's convolutions.
int64_t fewestTiles(at::ScalarType dtype) {
  constexpr int64_t never = std::numeric_limits<int64_t>::max();
  static const BFloat16Products products = bfloat16Products();
  if (dtype == at::kFloat || products == BFloat16Products::none) return 32;
  return products == BFloat16Products::vector ? 128 : never;
}

int64_t divideUp(int64_t a, int64_t b) { return (a + b - 1) / b; }

WinogradShape shapeOf(const at::Tensor& x) {
  return {x.size(2), x.size(3), divideUp(x.size(2), kTileSize), divideUp(x.size(3), kTileSize)};
}

int64_t tilesOf(const at::Tensor& x) {
  const WinogradShape shape = shapeOf(x);
  return x.size(0) * shape.rows * shape.columns;
}

void readInput(const WinogradShape& shape, const at::Tensor& x, int64_t first, int64_t count, int64_t stride, float* to) {
  if (x.scalar_type() == at::kFloat) {
    loops().input(shape, x.data_ptr<float>(), x.size(1), first, count, stride, to);
  } else {
    loops().inputBf16(shape, x.data_ptr<c10::BFloat16>(), x.size(1), first, count, stride, to);
  }
}

void readGradient(const WinogradShape& shape, const at::Tensor& dy, int64_t first, int64_t count, int64_t stride, float* to) {
  if (dy.scalar_type() == at::kFloat) {
    loops().gradient(shape, dy.data_ptr<float>(), dy.size(1), first, count, stride, to);
  } else {
    loops().gradientBf16(shape, dy.data_ptr<c10::BFloat16>(), dy.size(1), first, count, stride, to);
  }
}

void writeOutput(const WinogradShape& shape, const float* from, const float* bias, const at::Tensor& y, int64_t first, int64_t count,
                 int64_t stride) {
  if (y.scalar_type() == at::kFloat) {
    loops().output(shape, from, bias, y.size(1), first, count, stride, y.data_ptr<float>());
  } else {
    loops().outputBf16(shape, from, bias, y.size(1), first, count, stride, y.data_ptr<c10::BFloat16>());
  }
}

// Convolves with transformed weights [36, outputs / 32, channels of x, 32].
at::Tensor convolve(const at::Tensor& x, const float* u, int64_t outputs, const float* bias) {
  const int64_t inputs = x.size(1), tiles = tilesOf(x);
  const WinogradShape shape = shapeOf(x);
  at::Tensor y = at::empty({x.size(0), outputs, x.size(2), x.size(3)}, x.options(), at::MemoryFormat::ChannelsLast);
  const int64_t weightStride = winogradStride(outputs * inputs);
  const int64_t perTask = std::min(divideUp(divideUp(tiles, at::get_num_threads()), kTilesStep) * kTilesStep, kTilesPerTask);
  const int64_t inStride = winogradStride(inputs * perTask), outStride = winogradStride(outputs * perTask);
  const ScratchPerThread memory(kWinogradElements * (inStride + outStride));
  parallelFor(divideUp(tiles, perTask), 1, [&](int64_t begin, int64_t end) {
    float *in = memory.ofThisThread(), *out = in + kWinogradElements * inStride;
    for (int64_t task = begin; task < end; ++task) {
      const int64_t first = task * perTask, count = std::min(perTask, tiles - first);
      readInput(shape, x, first, count, perTask, in);
      for (int64_t p = 0; p < kWinogradElements; ++p) {
        for (int64_t o = 0; o < outputs; o += kWinogradBlock) {
          loops().multiply(in + p * inStride, perTask, u + p * weightStride + o * inputs, inputs, count,
                           out + p * outStride + o * perTask);
        }
      }
      writeOutput(shape, out, bias, y, first, count, perTask);
    }
  });
  return y;
}

// In the order in which the loops read and write weights: [O, 3, 3, I].
at::Tensor inOrder(const at::Tensor& weight) { return weight.contiguous(at::MemoryFormat::ChannelsLast); }

// Weights for convolve(), from a loop over blocks of 32 output channels.
const float* transformed(const at::Tensor& weight, int64_t blocks, decltype(WinogradLoops::weights) loop) {
  const int64_t outputs = weight.size(0), inputs = weight.size(1);
  const at::Tensor ordered = inOrder(weight);
  const float* w = ordered.data_ptr<float>();
  float* u = scratch(Scratch::weights, kWinogradElements * winogradStride(outputs * inputs));
  parallelFor(blocks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t block = begin; block < end; ++block) loop(w, outputs, inputs, block, u);
  });
  return u;
}

bool hasSmallTiles(const at::Tensor& image, const at::Tensor& weight) {
  return image.scalar_type() == at::kBFloat16 && winogradBf16Pays(image, weight);
}

at::Tensor forward(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  if (hasSmallTiles(x, weight)) return winogradBf16(x, weight, bias);
  const int64_t outputs = weight.size(0);
  return convolve(x, transformed(weight, outputs / kWinogradBlock, loops().weights), outputs, bias.defined() ? bias.data_ptr<float>() : nullptr);
}

at::Tensor inputGradient(const at::Tensor& dy, const at::Tensor& weight) {
  if (hasSmallTiles(dy, weight)) return winogradBf16InputGradient(dy, weight);
  const int64_t inputs = weight.size(1);
  return convolve(dy, transformed(weight, inputs / kWinogradBlock, loops().turnedWeights), inputs, nullptr);
}

at::Tensor weightGradient(const at::Tensor& dy, const at::Tensor& x, const at::Tensor& weight) {
  if (hasSmallTiles(x, weight)) return winogradBf16WeightGradient(dy, x, weight);
  const int64_t outputs = weight.size(0), inputs = weight.size(1), tiles = tilesOf(x);
  const int64_t inBlocks = inputs / kWinogradBlock, outBlocks = outputs / kWinogradBlock;
  const WinogradShape shape = shapeOf(x);
  const int64_t capacity = std::min(tiles, kTilesPerSum);
  const int64_t inStride = winogradStride(inputs * capacity), outStride = winogradStride(outputs * capacity);
  const int64_t weightStride = winogradStride(outputs * inputs);
  float *in = scratch(Scratch::sums, kWinogradElements * (inStride + outStride)), *out = in + kWinogradElements * inStride;
  float* u = scratch(Scratch::weights, kWinogradElements * weightStride);
  for (int64_t start = 0; start < tiles; start += capacity) {
    const int64_t length = std::min(capacity, tiles - start);
    parallelFor(divideUp(length, kTilesPerTask), 1, [&](int64_t begin, int64_t end) {
      const int64_t offset = begin * kTilesPerTask, count = std::min(end * kTilesPerTask, length) - offset;
      readInput(shape, x, start + offset, count, capacity, in + offset * kWinogradBlock);
      readGradient(shape, dy, start + offset, count, capacity, out + offset * kWinogradBlock);
    });
    parallelFor(kWinogradElements * outBlocks * inBlocks, 1, [&](int64_t begin, int64_t end) {
      for (int64_t task = begin; task < end; ++task) {
        const int64_t i = task % inBlocks, rest = task / inBlocks, o = rest % outBlocks, p = rest / outBlocks;
        loops().accumulate(in + p * inStride + i * capacity * kWinogradBlock, out + p * outStride + o * capacity * kWinogradBlock, length, start == 0,
                           u + p * weightStride + (o * inputs + i * kWinogradBlock) * kWinogradBlock);
      }
    });
  }
  at::Tensor dw = at::empty(weight.sizes(), weight.options(), at::MemoryFormat::ChannelsLast);
  float* result = dw.data_ptr<float>();
  parallelFor(outBlocks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t block = begin; block < end; ++block) loops().weightGradient(u, outputs, inputs, block, result);
  });
  return dw;
}

bool isSupported(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  const auto dtype = x.scalar_type();
  return instructionSet() != InstructionSet::baseline && x.device().is_cpu() && weight.device().is_cpu() && x.dim() == 4 &&
         (dtype == at::kFloat || dtype == at::kBFloat16) && weight.scalar_type() == at::kFloat && x.numel() > 0 &&
         x.is_contiguous(at::MemoryFormat::ChannelsLast) && x.size(1) == weight.size(1) && weight.size(0) % kWinogradBlock == 0 &&
         weight.size(1) % kWinogradBlock == 0 && (tilesOf(x) >= fewestTiles(dtype) || hasSmallTiles(x, weight)) &&
         (!bias.defined() || (bias.device().is_cpu() && bias.scalar_type() == at::kFloat && bias.is_contiguous() && bias.numel() == weight.size(0)));
}

at::Tensor stock(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  return convolution2d(x, weight, bias, {1, 1, 1});
}

class Convolution : public torch::autograd::Function<Convolution> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            const c10::optional<at::Tensor>& bias) {
    at::AutoDispatchBelowADInplaceOrView guard;
    const at::Tensor b = bias.value_or(at::Tensor());
    context->save_for_backward({x, weight, b});
    return addon::forward(x, weight, b);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context, torch::autograd::variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &weight = saved[1], &bias = saved[2];
    if (at::GradMode::is_enabled()) return stockGradients(stock(x, weight, bias), saved, gradients[0]);
    const at::Tensor dy = gradients[0].to(x.scalar_type()).contiguous(at::MemoryFormat::ChannelsLast);
    torch::autograd::variable_list results(3);
    if (x.requires_grad()) results[0] = inputGradient(dy, weight);
    if (weight.requires_grad()) results[1] = weightGradient(dy, x, weight);
    if (bias.defined() && bias.requires_grad()) results[2] = dy.sum({0, 2, 3}, false, at::kFloat);
    return results;
  }
};

at::Tensor conv3x3(const at::Tensor& x, const at::Tensor& weight, const c10::optional<at::Tensor>& bias) {
  TORCH_CHECK(weight.dim() == 4 && weight.size(2) == 3 && weight.size(3) == 3, "the kernel must be 3x3, found a weight of ", weight.sizes());
  const at::Tensor b = bias.value_or(at::Tensor());
  return isSupported(x, weight, b) ? Convolution::apply(x, weight, bias) : stock(x, weight, b);
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(stf, library) { library.def("conv3x3(Tensor x, Tensor weight, Tensor? bias=None) -> Tensor"); }

// One implementation for all backends: it inspects the tensors, and includes the gradient.
TORCH_LIBRARY_IMPL(stf, CompositeImplicitAutograd, library) { library.impl("conv3x3", conv3x3); }

}  // namespace addon
