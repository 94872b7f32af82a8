// The interface of the GPU kernels: without types of libtorch or CUDA, so that both compilers can read it.
// They are built if there is a CUDA compiler; otherwise stock operators are used.
#pragma once

#include <cstdint>

#include "../adam_loops.h"
#include "../dropout.h"

namespace addon {
namespace cuda {

// A cudaStream_t.
using Stream = void*;

// The error of a launch as text; null for none.
using Problem = const char*;

// float, or bfloat16 as bits.
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

// Whether the kernels can compute it: whole 16-byte vectors of channels, and not more than fit in a block.
bool groupNormFits(const GroupNormShape& shape);

// Floats of scratch memory that a pass needs.
int64_t groupNormForwardScratch(const GroupNormShape& shape);
int64_t groupNormBackwardScratch(const GroupNormShape& shape);

// y = dropout(silu?((x + shift - mean) * rstd * weight + bias)), and the statistics. Sums are computed in a fixed order:
// the same input gives the same output to the last bit.
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

// Whether the rows are whole vectors of 16 bytes, and not longer than fits in a block.
bool rowsFit(const Rows& rows);

// self = (self + other + bias) * scale; the bias, one for each channel, may be null.
Problem scaledAdd(const Rows& rows, void* self, const void* other, const float* bias, float scale, Stream stream);

// Blocks of rows that are summed one after the other, for every channel.
int64_t blocksOf(const Rows& rows);

// scaled = dy * scale, and its sums over the rows of every block: partial[blocks][channels], which may be null.
Problem scaleAndSum(const Rows& rows, const void* dy, void* scaled, float scale, float* partial, Stream stream);

}  // namespace cuda
}  // namespace addon
