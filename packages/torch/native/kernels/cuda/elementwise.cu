// Elementwise kernels that pass over tensors once.
#include "vectors.cuh"

namespace addon {
namespace cuda {
namespace {

constexpr int kThreads = 256;
constexpr int64_t kMostBlocks = 8192;

int blocksFor(int64_t work) {
  const int64_t blocks = (work + kThreads - 1) / kThreads;
  return static_cast<int>(blocks < kMostBlocks ? blocks : kMostBlocks);
}

__global__ void adamKernel(AdamStep a, float* values, const float* gradients, float* expAvg, float* expAvgSq, float* average, int64_t count) {
  const int64_t stride = int64_t{gridDim.x} * blockDim.x;
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < count; i += stride) {
    const float gradient = gradients[i];
    const float first = expAvg[i] * a.beta1 + gradient * a.newWeight1;
    const float second = expAvgSq[i] * a.beta2 + gradient * gradient * a.newWeight2;
    const float value = values[i] * a.shrink - a.stepSize * first / (sqrtf(second) / a.root + a.eps);
    expAvg[i] = first;
    expAvgSq[i] = second;
    values[i] = value;
    if (average) average[i] += a.averageWeight * (value - average[i]);
  }
}

template <class T>
__global__ void scaledAddKernel(T* self, const T* other, const float* bias, int channels, float scale, int64_t vectors) {
  constexpr int size = Vector<T>::size;
  const int64_t stride = int64_t{gridDim.x} * blockDim.x;
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < vectors; i += stride) {
    Vector<T> sum = load(self + i * size);
    const Vector<T> added = load(other + i * size);
    const int channel = static_cast<int>(i * size % channels);
#pragma unroll
    for (int j = 0; j < size; ++j) sum.values[j] = (sum.values[j] + added.values[j] + (bias ? bias[channel + j] : 0.f)) * scale;
    store(self + i * size, sum);
  }
}

constexpr int kRowsPerBlock = 256;
// More would need more shared memory than a block has without requesting it.
constexpr int64_t kMostChannels = 2048;

// A thread processes the same channels of every row that it visits.
template <class T>
__global__ void scaleAndSumKernel(const T* dy, T* scaled, float scale, float* partial, int64_t rows, int channels) {
  constexpr int size = Vector<T>::size;
  extern __shared__ float shared[];
  const int channel = threadIdx.x * size;
  float sums[size] = {};
  const int64_t begin = int64_t{blockIdx.x} * kRowsPerBlock, end = min(begin + kRowsPerBlock, rows);
  for (int64_t row = begin + threadIdx.y; row < end; row += blockDim.y) {
    Vector<T> values = load(dy + row * channels + channel);
#pragma unroll
    for (int j = 0; j < size; ++j) {
      values.values[j] *= scale;
      sums[j] += values.values[j];
    }
    store(scaled + row * channels + channel, values);
  }
  if (!partial) return;
#pragma unroll
  for (int j = 0; j < size; ++j) shared[threadIdx.y * channels + channel + j] = sums[j];
  __syncthreads();
  for (int c = threadIdx.y * blockDim.x + threadIdx.x; c < channels; c += blockDim.x * blockDim.y) {
    float sum = 0;
    for (int row = 0; row < blockDim.y; ++row) sum += shared[row * channels + c];
    partial[int64_t{blockIdx.x} * channels + c] = sum;
  }
}

int vectorOf(const Rows& rows) { return rows.element == Element::float32 ? 4 : 8; }

}  // namespace

Problem adamStep(const AdamStep& step, float* values, const float* gradients, float* expAvg, float* expAvgSq, float* average, int64_t count,
                 Stream stream) {
  if (count == 0) return nullptr;
  adamKernel<<<blocksFor(count), kThreads, 0, static_cast<cudaStream_t>(stream)>>>(step, values, gradients, expAvg, expAvgSq, average, count);
  return problemOfLaunch();
}

bool rowsFit(const Rows& rows) { return rows.channels % vectorOf(rows) == 0 && rows.channels <= kMostChannels; }

int64_t blocksOf(const Rows& rows) { return (rows.count + kRowsPerBlock - 1) / kRowsPerBlock; }

Problem scaledAdd(const Rows& rows, void* self, const void* other, const float* bias, float scale, Stream stream) {
  const int64_t count = rows.count * rows.channels;
  if (count == 0) return nullptr;
  withElement(rows.element, [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    const int64_t vectors = count / Vector<T>::size;
    scaledAddKernel<<<blocksFor(vectors), kThreads, 0, static_cast<cudaStream_t>(stream)>>>(
        static_cast<T*>(self), static_cast<const T*>(other), bias, static_cast<int>(rows.channels), scale, vectors);
  });
  return problemOfLaunch();
}

Problem scaleAndSum(const Rows& rows, const void* dy, void* scaled, float scale, float* partial, Stream stream) {
  if (rows.count == 0) return nullptr;
  const auto lanes = static_cast<unsigned>(rows.channels / vectorOf(rows));
  const unsigned height = lanes < kThreads ? kThreads / lanes : 1;
  withElement(rows.element, [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    scaleAndSumKernel<<<static_cast<unsigned>(blocksOf(rows)), dim3(lanes, height), height * rows.channels * sizeof(float),
                        static_cast<cudaStream_t>(stream)>>>(static_cast<const T*>(dy), static_cast<T*>(scaled), scale, partial, rows.count,
                                                             static_cast<int>(rows.channels));
  });
  return problemOfLaunch();
}

}  // namespace cuda
}  // namespace addon
