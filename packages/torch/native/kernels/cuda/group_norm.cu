// Group normalisation with a shift before it and SiLU and dropout after it, on channels_last images.
//
// Why it exists: libtorch copies channels_last images to the other layout and back around its own kernel, and every step around it
// passes over memory again. A pass here reads and writes only what it must: 3 tensors forward, 5 backward, not 14 and 20.
//
// A block processes some pixels of one sample with all their channels; a thread processes the same 16 bytes of channels of every
// pixel that it visits. Sums go through shared memory and scratch memory in a fixed order.
#include "vectors.cuh"

namespace addon {
namespace cuda {
namespace {

constexpr int kPixelsPerBlock = 64;
constexpr int kThreads = 256;
// More would need more shared memory than a block has without requesting it.
constexpr int64_t kMostChannels = 2048;

int64_t divideUp(int64_t dividend, int64_t divisor) { return (dividend + divisor - 1) / divisor; }
int64_t chunksOf(const GroupNormShape& shape) { return divideUp(shape.pixels, kPixelsPerBlock); }
int vectorOf(const GroupNormShape& shape) { return shape.element == Element::float32 ? 4 : 8; }

// The parameters of the kernels.
struct Task {
  int pixels, channels, groups, chunks;
  const float* weight;
  const float* bias;
  const float* shift;
  bool isPerSample;
  float eps;
  bool silu;
  double dropout;
  uint64_t key, first;
  float* mean;
  float* rstd;
};

// The channels that a thread processes, in one sample.
template <class T>
struct Lane {
  static constexpr int size = Vector<T>::size;
  int channel;  // the first
  float weight[size], bias[size], shift[size], mean[size], rstd[size];

  __device__ Lane(const Task& task, int sample, const float* means, const float* rstds) {
    channel = threadIdx.x * size;
    const int perGroup = task.channels / task.groups;
    const int row = sample * task.channels, own = task.isPerSample ? row : 0;
#pragma unroll
    for (int j = 0; j < size; ++j) {
      const int c = channel + j;
      weight[j] = task.weight[own + c];
      bias[j] = task.bias[own + c];
      shift[j] = task.shift ? task.shift[row + c] : 0.f;
      mean[j] = means[c / perGroup];
      rstd[j] = rstds[c / perGroup];
    }
  }
};

__device__ inline float sigmoid(float z) { return 1.f / (1.f + __expf(-z)); }

// Sums of `count` values that every thread has for each of its channels, over the rows of threads: into sums[k][channel].
template <class T, int count>
__device__ void sumOverRows(const float (&values)[count][Vector<T>::size], int channels, float* shared, float* sums) {
  constexpr int size = Vector<T>::size;
  const int thread = threadIdx.y * blockDim.x + threadIdx.x, threads = blockDim.x * blockDim.y;
#pragma unroll
  for (int k = 0; k < count; ++k) {
    __syncthreads();
#pragma unroll
    for (int j = 0; j < size; ++j) shared[threadIdx.y * channels + threadIdx.x * size + j] = values[k][j];
    __syncthreads();
    for (int c = thread; c < channels; c += threads) {
      float sum = 0;
      for (int row = 0; row < blockDim.y; ++row) sum += shared[row * channels + c];
      sums[k * channels + c] = sum;
    }
  }
  __syncthreads();
}

// For every group, the sum and the sum of squares of its values minus a pivot, which may be any of them: without it the squares of a
// large common offset would cancel the variance. partial[sample][chunk][2][groups]
template <class T>
__global__ void momentsKernel(Task task, const T* x, float* partial) {
  constexpr int size = Vector<T>::size;
  extern __shared__ float shared[];
  const int sample = blockIdx.y, chunk = blockIdx.x, perGroup = task.channels / task.groups;
  const T* image = x + int64_t{sample} * task.pixels * task.channels;
  const int channel = threadIdx.x * size;
  float shift[size], pivot[size], moments[2][size] = {};
#pragma unroll
  for (int j = 0; j < size; ++j) {
    const int c = channel + j, origin = c / perGroup * perGroup;
    const float* row = task.shift ? task.shift + sample * task.channels : nullptr;
    shift[j] = row ? row[c] : 0.f;
    pivot[j] = static_cast<float>(image[origin]) + (row ? row[origin] : 0.f);
  }
  const int end = min((chunk + 1) * kPixelsPerBlock, task.pixels);
  for (int pixel = chunk * kPixelsPerBlock + threadIdx.y; pixel < end; pixel += blockDim.y) {
    const Vector<T> in = load(image + int64_t{pixel} * task.channels + channel);
#pragma unroll
    for (int j = 0; j < size; ++j) {
      const float value = in.values[j] + shift[j] - pivot[j];
      moments[0][j] += value;
      moments[1][j] += value * value;
    }
  }
  float* sums = shared + blockDim.y * task.channels;
  sumOverRows<T, 2>(moments, task.channels, shared, sums);
  const int thread = threadIdx.y * blockDim.x + threadIdx.x;
  float* out = partial + (int64_t{sample} * task.chunks + chunk) * 2 * task.groups;
  for (int i = thread; i < 2 * task.groups; i += blockDim.x * blockDim.y) {
    const float* of = sums + i / task.groups * task.channels + i % task.groups * perGroup;
    float sum = 0;
    for (int c = 0; c < perGroup; ++c) sum += of[c];
    out[i] = sum;
  }
}

// Mean and reciprocal standard deviation of every group of the block's sample, into shared memory; one block of each sample keeps them.
template <class T>
__device__ void statistics(const Task& task, const T* image, const float* partial, float* means, float* rstds) {
  const int sample = blockIdx.y, perGroup = task.channels / task.groups;
  const float count = static_cast<float>(task.pixels) * perGroup;
  for (int g = threadIdx.y * blockDim.x + threadIdx.x; g < task.groups; g += blockDim.x * blockDim.y) {
    float sum = 0, squares = 0;
    for (int chunk = 0; chunk < task.chunks; ++chunk) {
      const float* of = partial + (int64_t{sample} * task.chunks + chunk) * 2 * task.groups;
      sum += of[g];
      squares += of[task.groups + g];
    }
    const int origin = g * perGroup;
    const float pivot = static_cast<float>(image[origin]) + (task.shift ? task.shift[sample * task.channels + origin] : 0.f);
    const float offset = sum / count;
    means[g] = pivot + offset;
    rstds[g] = rsqrtf(fmaxf(squares / count - offset * offset, 0.f) + task.eps);
    if (blockIdx.x == 0) {
      task.mean[sample * task.groups + g] = means[g];
      task.rstd[sample * task.groups + g] = rstds[g];
    }
  }
  __syncthreads();
}

__device__ inline Dropout dropoutOf(const Task& task, int sample) {
  return task.dropout > 0 ? Dropout(task.dropout, task.key, task.first + sample) : Dropout();
}

template <class T>
__global__ void forwardKernel(Task task, const T* x, const float* partial, T* y) {
  constexpr int size = Vector<T>::size;
  extern __shared__ float shared[];
  float *means = shared, *rstds = shared + task.groups;
  const int sample = blockIdx.y, chunk = blockIdx.x;
  const int64_t offset = int64_t{sample} * task.pixels * task.channels;
  statistics(task, x + offset, partial, means, rstds);
  const Lane<T> lane(task, sample, means, rstds);
  const Dropout dropout = dropoutOf(task, sample);
  const int end = min((chunk + 1) * kPixelsPerBlock, task.pixels);
  for (int pixel = chunk * kPixelsPerBlock + threadIdx.y; pixel < end; pixel += blockDim.y) {
    const int index = pixel * task.channels + lane.channel;
    Vector<T> values = load(x + offset + index);
#pragma unroll
    for (int j = 0; j < size; ++j) {
      float z = (values.values[j] + lane.shift[j] - lane.mean[j]) * lane.rstd[j] * lane.weight[j] + lane.bias[j];
      if (task.silu) z *= sigmoid(z);
      if (dropout.threshold) z = dropout.hash(static_cast<uint32_t>(index + j)) >= dropout.threshold ? z * dropout.scale : 0.f;
      values.values[j] = z;
    }
    store(y + offset + index, values);
  }
}

// The gradient before the SiLU, and the normalised value. Both backward kernels compute them: writing them costs more.
template <class T>
__device__ inline void before(const Task& task, const Lane<T>& lane, const Dropout& dropout, int index, const T* x, const T* dy,
                              Vector<T>& dz, Vector<T>& normalized) {
  const Vector<T> in = load(x + index), given = load(dy + index);
#pragma unroll
  for (int j = 0; j < Vector<T>::size; ++j) {
    const float value = (in.values[j] + lane.shift[j] - lane.mean[j]) * lane.rstd[j];
    float d = given.values[j];
    if (dropout.threshold) d = dropout.hash(static_cast<uint32_t>(index + j)) >= dropout.threshold ? d * dropout.scale : 0.f;
    if (task.silu) {
      const float z = value * lane.weight[j] + lane.bias[j], s = sigmoid(z);
      d *= s * (1.f + z * (1.f - s));
    }
    dz.values[j] = d;
    normalized.values[j] = value;
  }
}

// For every channel, the sums of dz xhat, dz and xhat over the block's pixels. partial[sample][chunk][3][channels]
template <class T>
__global__ void gradientSumsKernel(Task task, const T* x, const T* dy, float* partial) {
  constexpr int size = Vector<T>::size;
  extern __shared__ float shared[];
  const int sample = blockIdx.y, chunk = blockIdx.x;
  const int64_t offset = int64_t{sample} * task.pixels * task.channels;
  const Lane<T> lane(task, sample, task.mean + sample * task.groups, task.rstd + sample * task.groups);
  const Dropout dropout = dropoutOf(task, sample);
  float sums[3][size] = {};
  const int end = min((chunk + 1) * kPixelsPerBlock, task.pixels);
  for (int pixel = chunk * kPixelsPerBlock + threadIdx.y; pixel < end; pixel += blockDim.y) {
    Vector<T> dz, normalized;
    before(task, lane, dropout, pixel * task.channels + lane.channel, x + offset, dy + offset, dz, normalized);
#pragma unroll
    for (int j = 0; j < size; ++j) {
      sums[0][j] += dz.values[j] * normalized.values[j];
      sums[1][j] += dz.values[j];
      sums[2][j] += normalized.values[j];
    }
  }
  sumOverRows<T, 3>(sums, task.channels, shared, partial + (int64_t{sample} * task.chunks + chunk) * 3 * task.channels);
}

// One block per sample: the gradients of weight, bias and shift, and of each group the means of dxhat and dxhat xhat.
// means[sample][2][groups]
__global__ void gradientsKernel(Task task, const float* partial, float* dWeight, float* dBias, float* dShift, float* means) {
  extern __shared__ float shared[];
  const int sample = blockIdx.x, channels = task.channels, perGroup = channels / task.groups;
  const int row = sample * channels, own = task.isPerSample ? row : 0;
  float *weighted = shared, *plain = shared + channels, *normalized = plain + channels, *ofGroups = normalized + channels;
  for (int c = threadIdx.x; c < channels; c += blockDim.x) {
    float sums[3] = {};
    for (int chunk = 0; chunk < task.chunks; ++chunk) {
      const float* of = partial + (int64_t{sample} * task.chunks + chunk) * 3 * channels + c;
      for (int k = 0; k < 3; ++k) sums[k] += of[k * channels];
    }
    weighted[c] = sums[0];
    plain[c] = sums[1];
    normalized[c] = sums[2];
    dWeight[row + c] = sums[0];
    dBias[row + c] = sums[1];
  }
  __syncthreads();
  const float count = static_cast<float>(task.pixels) * perGroup;
  for (int i = threadIdx.x; i < 2 * task.groups; i += blockDim.x) {
    const int origin = i % task.groups * perGroup;
    const float* of = i < task.groups ? plain : weighted;
    float sum = 0;
    for (int c = origin; c < origin + perGroup; ++c) sum += of[c] * task.weight[own + c];
    ofGroups[i] = means[int64_t{sample} * 2 * task.groups + i] = sum / count;
  }
  __syncthreads();
  for (int c = threadIdx.x; c < channels; c += blockDim.x) {
    const int g = c / perGroup;
    dShift[row + c] = task.rstd[sample * task.groups + g] *
                      (task.weight[own + c] * plain[c] - task.pixels * ofGroups[g] - normalized[c] * ofGroups[task.groups + g]);
  }
}

template <class T>
__global__ void backwardKernel(Task task, const T* x, const T* dy, const float* means, T* dx) {
  constexpr int size = Vector<T>::size;
  const int sample = blockIdx.y, chunk = blockIdx.x, perGroup = task.channels / task.groups;
  const int64_t offset = int64_t{sample} * task.pixels * task.channels;
  const Lane<T> lane(task, sample, task.mean + sample * task.groups, task.rstd + sample * task.groups);
  const Dropout dropout = dropoutOf(task, sample);
  float plain[size], weighted[size];
#pragma unroll
  for (int j = 0; j < size; ++j) {
    const float* of = means + int64_t{sample} * 2 * task.groups + (lane.channel + j) / perGroup;
    plain[j] = of[0];
    weighted[j] = of[task.groups];
  }
  const int end = min((chunk + 1) * kPixelsPerBlock, task.pixels);
  for (int pixel = chunk * kPixelsPerBlock + threadIdx.y; pixel < end; pixel += blockDim.y) {
    const int index = pixel * task.channels + lane.channel;
    Vector<T> dz, normalized;
    before(task, lane, dropout, index, x + offset, dy + offset, dz, normalized);
#pragma unroll
    for (int j = 0; j < size; ++j) {
      dz.values[j] = lane.rstd[j] * (dz.values[j] * lane.weight[j] - plain[j] - normalized.values[j] * weighted[j]);
    }
    store(dx + offset + index, dz);
  }
}

Task taskOf(const GroupNormCall& call) {
  const GroupNormShape& shape = call.shape;
  return {static_cast<int>(shape.pixels), static_cast<int>(shape.channels), static_cast<int>(shape.groups), static_cast<int>(chunksOf(shape)),
          call.weight, call.bias, call.shift, call.isPerSample, call.eps, call.silu, call.dropout, call.key, call.first, call.mean, call.rstd};
}

struct Launch {
  dim3 grid, block;
  size_t rows;  // bytes of shared memory for a float per thread and channel
};

Launch launchOf(const GroupNormShape& shape) {
  const auto lanes = static_cast<unsigned>(shape.channels / vectorOf(shape));
  const unsigned rows = lanes < kThreads ? kThreads / lanes : 1;
  return {dim3(static_cast<unsigned>(chunksOf(shape)), static_cast<unsigned>(shape.samples)), dim3(lanes, rows),
          rows * shape.channels * sizeof(float)};
}

}  // namespace

bool groupNormFits(const GroupNormShape& shape) {
  constexpr int64_t mostSamples = 65535, mostValues = int64_t{1} << 31;
  return shape.channels % vectorOf(shape) == 0 && shape.channels <= kMostChannels && shape.samples <= mostSamples &&
         shape.pixels * shape.channels < mostValues && shape.samples * shape.channels < mostValues;
}

int64_t groupNormForwardScratch(const GroupNormShape& shape) { return shape.samples * chunksOf(shape) * 2 * shape.groups; }

int64_t groupNormBackwardScratch(const GroupNormShape& shape) {
  return shape.samples * (chunksOf(shape) * 3 * shape.channels + 2 * shape.groups);
}

Problem groupNormForward(const GroupNormCall& call, void* y, float* scratch, Stream stream) {
  const Task task = taskOf(call);
  const Launch launch = launchOf(call.shape);
  const auto queue = static_cast<cudaStream_t>(stream);
  withElement(call.shape.element, [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    const auto* x = static_cast<const T*>(call.x);
    momentsKernel<<<launch.grid, launch.block, launch.rows + 2 * task.channels * sizeof(float), queue>>>(task, x, scratch);
    forwardKernel<<<launch.grid, launch.block, 2 * task.groups * sizeof(float), queue>>>(task, x, scratch, static_cast<T*>(y));
  });
  return problemOfLaunch();
}

Problem groupNormBackward(const GroupNormCall& call, const void* dy, void* dx, float* dWeight, float* dBias, float* dShift, float* scratch,
                          Stream stream) {
  const Task task = taskOf(call);
  const Launch launch = launchOf(call.shape);
  const auto queue = static_cast<cudaStream_t>(stream);
  float* means = scratch + call.shape.samples * task.chunks * 3 * task.channels;
  withElement(call.shape.element, [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    const auto *x = static_cast<const T*>(call.x), *given = static_cast<const T*>(dy);
    gradientSumsKernel<<<launch.grid, launch.block, launch.rows, queue>>>(task, x, given, scratch);
    gradientsKernel<<<static_cast<unsigned>(call.shape.samples), kThreads, (3 * task.channels + 2 * task.groups) * sizeof(float), queue>>>(
        task, scratch, dWeight, dBias, dShift, means);
    backwardKernel<<<launch.grid, launch.block, 0, queue>>>(task, x, given, means, static_cast<T*>(dx));
  });
  return problemOfLaunch();
}

}  // namespace cuda
}  // namespace addon
