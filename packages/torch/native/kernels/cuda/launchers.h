// The kernels for GPUs, as the addon calls them: no type of libtorch or CUDA in sight, so that either compiler reads this.
// They are built where a CUDA compiler is at hand; elsewhere stock operators do their work.
#pragma once

#include <cstdint>

#include "../adam_loops.h"
#include "../dropout.h"

namespace addon {
namespace cuda {

// A cudaStream_t.
using Stream = void*;

// What went wrong with a launch, in words; null for nothing.
using Problem = const char*;

// float, or bfloat16 by its bits.
enum class Element { float32, bfloat16 };

// A channels_last image batch of whole vectors: [samples, pixels, channels].
struct GroupNormShape {
  Element element;
  int64_t samples, pixels, channels, groups;
};

struct GroupNormCall {
  GroupNormShape shape;
  const void* x;
  const float* weight;  // [channels], or [samples, channels] where isPerSample
  const float* bias;    // as the weight
  const float* shift;   // [samples, channels]; null for none
  bool isPerSample;
  float eps;
  bool silu;
  double dropout;  // the probability
  uint64_t key;
  uint64_t first;  // number of the first sample
  float* mean;     // [samples, groups], of the shifted input
  float* rstd;
};

// Whether the kernels can compute it: whole 16-byte vectors of channels, and not more than a block has room for.
bool groupNormFits(const GroupNormShape& shape);

// Floats of scratch memory that a pass needs.
int64_t groupNormForwardScratch(const GroupNormShape& shape);
int64_t groupNormBackwardScratch(const GroupNormShape& shape);

// y = dropout(silu?((x + shift - mean) * rstd * weight + bias)), and the statistics. Sums are taken in an order of their own
// that does not change: the same input gives the same output to the last bit.
Problem groupNormForward(const GroupNormCall& call, void* y, float* scratch, Stream stream);

// dx, and the gradients of weight, bias and shift for every sample, [samples, channels] each.
Problem groupNormBackward(const GroupNormCall& call, const void* dy, void* dx, float* dWeight, float* dBias, float* dShift, float* scratch,
                          Stream stream);

// One step over flat parameters; `average` may be null.
Problem adamStep(const AdamStep& step, float* values, const float* gradients, float* expAvg, float* expAvgSq, float* average, int64_t count,
                 Stream stream);

// A channels_last image batch as a matrix.
struct Rows {
  Element element;
  int64_t count, channels;
};

// Whether the rows are whole vectors of 16 bytes, and not longer than a block has room for.
bool rowsFit(const Rows& rows);

// self = (self + other + bias) * scale; the bias, one for each channel, may be null.
Problem scaledAdd(const Rows& rows, void* self, const void* other, const float* bias, float scale, Stream stream);

// Blocks that the rows are summed in, one after the other, for every channel.
int64_t blocksOf(const Rows& rows);

// scaled = dy * scale, and its sums over the rows of every block: partial[blocks][channels], which may be null.
Problem scaleAndSum(const Rows& rows, const void* dy, void* scaled, float scale, float* partial, Stream stream);

}  // namespace cuda
}  // namespace addon
