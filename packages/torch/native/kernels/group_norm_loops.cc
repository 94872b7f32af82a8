// Compiled once per instruction set, with INSTRUCTION_SET naming the namespace.
#include "group_norm_loops.h"

#include <algorithm>
#include <cmath>
#include <type_traits>

#include "vector.h"

namespace addon {
namespace INSTRUCTION_SET {
namespace {

// Rounding errors grow with the length of a sum; sums of this many rows are added in a second level.
constexpr int64_t kRowsPerSum = 64;
// Adjacent vectors in one row: as many as fit in registers with their constants and sums.
#if defined(__AVX512F__)
constexpr int kVectors = 4;
#else
constexpr int kVectors = 2;
#endif

// Calls body(c, number of vectors, channels in each) for all channels from begin to end.
template <class Body>
void overChannels(int64_t begin, int64_t end, Body&& body) {
  int64_t c = begin;
  for (; c + kVectors * kWidth <= end; c += kVectors * kWidth) body(c, std::integral_constant<int, kVectors>{}, kWidth);
  for (; c + kWidth <= end; c += kWidth) body(c, std::integral_constant<int, 1>{}, kWidth);
  if (c < end) body(c, std::integral_constant<int, 1>{}, end - c);
}

// Buffer for a number per channel, padded so that the last vector can be written in full.
int64_t roundedUp(int64_t channels) { return (channels + kWidth) & ~(kWidth - 1); }

// 0 where an element is dropped, the scale of the kept ones elsewhere. `position` is of the first lane.
inline Vector keepFactors(const Dropout& dropout, int64_t position) {
  Words positions;
  for (int64_t i = 0; i < kWidth; ++i) positions[i] = static_cast<uint32_t>(i);
  const Words hashed = dropout.hash(positions + static_cast<uint32_t>(position));
  return hashed >= Words{} + dropout.threshold ? splat(dropout.scale) : Vector{};
}

// Mean and sum of squared deviations of every channel. Values are taken relative to the channel's first one, so that a
// large common offset does not cancel.
template <class T>
void channelMoments(const GroupNormTask& task, const T* x, float* means, float* deviations) {
  overChannels(task.begin, task.end, [&](int64_t c, auto vectors, int64_t count) {
    constexpr int n = decltype(vectors)::value;
    Vector pivot[n], total[n] = {}, totalSquares[n] = {};
    for (int v = 0; v < n; ++v) pivot[v] = load(x + c + v * kWidth, count);
    for (int64_t first = 0; first < task.pixels; first += kRowsPerSum) {
      const int64_t last = std::min(first + kRowsPerSum, task.pixels);
      Vector sum[n] = {}, squares[n] = {};
      for (int64_t p = first; p < last; ++p) {
        for (int v = 0; v < n; ++v) {
          const Vector value = load(x + p * task.channels + c + v * kWidth, count) - pivot[v];
          sum[v] += value;
          squares[v] += value * value;
        }
      }
      for (int v = 0; v < n; ++v) {
        total[v] += sum[v];
        totalSquares[v] += squares[v];
      }
    }
    const float pixels = static_cast<float>(task.pixels);
    for (int v = 0; v < n; ++v) {
      store(means + c - task.begin + v * kWidth, pivot[v] + total[v] / pixels, count);
      store(deviations + c - task.begin + v * kWidth, totalSquares[v] - total[v] * total[v] / pixels, count);
    }
  });
}

template <class T, bool silu, bool drops>
void forwardLoop(const GroupNormTask& task, const T* x, const float* scale, const float* offset, T* y) {
  overChannels(task.begin, task.end, [&](int64_t c, auto vectors, int64_t count) {
    constexpr int n = decltype(vectors)::value;
    Vector factor[n], constant[n];
    for (int v = 0; v < n; ++v) {
      factor[v] = load(scale + c - task.begin + v * kWidth, count);
      constant[v] = load(offset + c - task.begin + v * kWidth, count);
    }
    for (int64_t p = 0; p < task.pixels; ++p) {
      for (int v = 0; v < n; ++v) {
        const int64_t at = p * task.channels + c + v * kWidth;
        Vector z = load(x + at, count) * factor[v] + constant[v];
        if (silu) z = z * sigmoid(z);
        if (drops) z = z * keepFactors(task.dropout, at);
        store(y + at, z, count);
      }
    }
  });
}

int64_t forwardScratch(int64_t, int64_t channels) { return 4 * roundedUp(channels); }

template <class T>
void forward(const GroupNormTask& task, const T* x, T* y, float* scratch) {
  const int64_t size = roundedUp(task.end - task.begin), width = task.channels / task.groups;
  float *means = scratch, *deviations = means + size, *scale = means + 2 * size, *offset = means + 3 * size;
  channelMoments(task, x, means, deviations);

  for (int64_t g = task.begin / width; g < task.end / width; ++g) {
    const int64_t first = g * width - task.begin;
    double groupMean = 0;
    for (int64_t i = first; i < first + width; ++i) {
      if (task.shift) means[i] += task.shift[task.begin + i];
      groupMean += means[i];
    }
    groupMean /= static_cast<double>(width);
    double squares = 0;
    for (int64_t i = first; i < first + width; ++i) {
      const double distance = means[i] - groupMean;
      squares += deviations[i] + static_cast<double>(task.pixels) * distance * distance;
    }
    const double variance = squares / static_cast<double>(width * task.pixels);
    task.mean[g] = static_cast<float>(groupMean);
    task.rstd[g] = static_cast<float>(1.0 / std::sqrt(variance + task.eps));
    for (int64_t i = first; i < first + width; ++i) {
      const int64_t c = task.begin + i;
      scale[i] = task.rstd[g] * task.weight[c];
      offset[i] = task.bias[c] - (task.mean[g] - (task.shift ? task.shift[c] : 0)) * scale[i];
    }
  }

  const bool drops = task.dropout.threshold > 0;
  const auto loop = task.silu ? (drops ? forwardLoop<T, true, true> : forwardLoop<T, true, false>)
                              : (drops ? forwardLoop<T, false, true> : forwardLoop<T, false, false>);
  loop(task, x, scale, offset, y);
}

// dz, the gradient of the normalised and scaled values before the SiLU, goes to `kept`, a row of `stride` floats per
// pixel. Its sums over the pixels, alone and times the centred input, go to `sums` and `products`.
template <class T, bool silu, bool drops>
void gradientSums(const GroupNormTask& task, const T* dy, const T* x, const float* centre, const float* scale, const float* offset,
                  float* kept, int64_t stride, float* sums, float* products) {
  overChannels(task.begin, task.end, [&](int64_t c, auto vectors, int64_t count) {
    constexpr int n = decltype(vectors)::value;
    const int64_t local = c - task.begin;
    Vector m[n], factor[n], constant[n], total[n] = {}, totalProduct[n] = {};
    for (int v = 0; v < n; ++v) {
      m[v] = load(centre + local + v * kWidth, count);
      factor[v] = load(scale + local + v * kWidth, count);
      constant[v] = load(offset + local + v * kWidth, count);
    }
    for (int64_t first = 0; first < task.pixels; first += kRowsPerSum) {
      const int64_t last = std::min(first + kRowsPerSum, task.pixels);
      Vector sum[n] = {}, product[n] = {};
      for (int64_t p = first; p < last; ++p) {
        for (int v = 0; v < n; ++v) {
          const int64_t at = p * task.channels + c + v * kWidth;
          Vector gradient = load(dy + at, count);
          if (drops) gradient = gradient * keepFactors(task.dropout, at);
          const Vector value = load(x + at, count);
          if (silu) {
            const Vector z = value * factor[v] + constant[v];
            const Vector s = sigmoid(z);
            gradient = gradient * s * (1.0f + z * (1.0f - s));
          }
          store(kept + p * stride + local + v * kWidth, gradient, count);
          sum[v] += gradient;
          product[v] += gradient * (value - m[v]);
        }
      }
      for (int v = 0; v < n; ++v) {
        total[v] += sum[v];
        totalProduct[v] += product[v];
      }
    }
    for (int v = 0; v < n; ++v) {
      store(sums + local + v * kWidth, total[v], count);
      store(products + local + v * kWidth, totalProduct[v], count);
    }
  });
}

// dx = a dz + b x + c for every channel, and its sums over the pixels. `dx` may be the memory of `kept`.
template <class T>
void inputGradient(const GroupNormTask& task, const T* x, const float* kept, int64_t stride, const float* a, const float* b,
                   const float* c, T* dx, float* dShift) {
  overChannels(task.begin, task.end, [&](int64_t channel, auto vectors, int64_t count) {
    constexpr int n = decltype(vectors)::value;
    const int64_t local = channel - task.begin;
    Vector ofGradient[n], ofValue[n], constant[n], total[n] = {};
    for (int v = 0; v < n; ++v) {
      ofGradient[v] = load(a + local + v * kWidth, count);
      ofValue[v] = load(b + local + v * kWidth, count);
      constant[v] = load(c + local + v * kWidth, count);
    }
    for (int64_t first = 0; first < task.pixels; first += kRowsPerSum) {
      const int64_t last = std::min(first + kRowsPerSum, task.pixels);
      Vector sum[n] = {};
      for (int64_t p = first; p < last; ++p) {
        for (int v = 0; v < n; ++v) {
          const int64_t at = p * task.channels + channel + v * kWidth;
          const Vector gradient = load(kept + p * stride + local + v * kWidth, count) * ofGradient[v] +
                                  (load(x + at, count) * ofValue[v] + constant[v]);
          store(dx + at, gradient, count);
          sum[v] += gradient;
        }
      }
      for (int v = 0; v < n; ++v) total[v] += sum[v];
    }
    if (!dShift) return;
    for (int v = 0; v < n; ++v) store(dShift + channel + v * kWidth, total[v], count);
  });
}

// dz is stored in the memory of dx if that needs no rounding. Recomputing it would cost another exponential.
template <class T>
constexpr bool holdsGradient = std::is_same<T, float>::value;

template <class T>
int64_t backwardScratch(int64_t pixels, int64_t channels) {
  return 5 * roundedUp(channels) + (holdsGradient<T> ? 0 : pixels * channels + kWidth);
}

template <class T>
void backward(const GroupNormTask& task, const T* dy, const T* x, T* dx, float* dWeight, float* dBias, float* dShift, float* scratch) {
  const int64_t block = task.end - task.begin, size = roundedUp(block), width = task.channels / task.groups;
  float *centre = scratch, *scale = centre + size, *offset = centre + 2 * size, *sums = centre + 3 * size, *products = centre + 4 * size;
  float* kept = centre + 5 * size;
  int64_t stride = block;
  if constexpr (holdsGradient<T>) {
    kept = dx + task.begin;
    stride = task.channels;
  }
  for (int64_t i = 0; i < block; ++i) {
    const int64_t c = task.begin + i, g = c / width;
    centre[i] = task.mean[g] - (task.shift ? task.shift[c] : 0);
    scale[i] = task.rstd[g] * task.weight[c];
    offset[i] = task.bias[c] - centre[i] * scale[i];
  }

  const bool drops = task.dropout.threshold > 0;
  const auto loop = task.silu ? (drops ? gradientSums<T, true, true> : gradientSums<T, true, false>)
                              : (drops ? gradientSums<T, false, true> : gradientSums<T, false, false>);
  loop(task, dy, x, centre, scale, offset, kept, stride, sums, products);

  // With n = (x + shift - mean) rstd: dx = rstd (w dz - mean over the group of w dz - n * mean over the group of w dz n)
  for (int64_t g = task.begin / width; g < task.end / width; ++g) {
    const int64_t first = g * width - task.begin;
    const double rstd = task.rstd[g];
    double sum = 0, product = 0;
    for (int64_t i = first; i < first + width; ++i) {
      const int64_t c = task.begin + i;
      dBias[c] = sums[i];
      dWeight[c] = static_cast<float>(rstd * products[i]);
      sum += static_cast<double>(task.weight[c]) * sums[i];
      product += static_cast<double>(task.weight[c]) * dWeight[c];
    }
    const double elements = static_cast<double>(width * task.pixels);
    const double ofValue = -rstd * rstd * product / elements;
    for (int64_t i = first; i < first + width; ++i) {
      // The memory of two arrays that are no longer needed.
      sums[i] = static_cast<float>(ofValue);
      products[i] = static_cast<float>(-rstd * sum / elements - ofValue * centre[i]);
    }
  }
  inputGradient(task, x, kept, stride, scale, sums, products, dx, dShift);
}

template <class T>
constexpr GroupNormLoops<T> loops() {
  return {forwardScratch, backwardScratch<T>, forward<T>, backward<T>};
}

}  // namespace

GroupNormKernels groupNormKernels() { return {loops<float>(), loops<c10::BFloat16>(), kWidth}; }

}  // namespace INSTRUCTION_SET
}  // namespace addon
