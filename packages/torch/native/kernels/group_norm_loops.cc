// Compiled once per instruction set, with INSTRUCTION_SET naming the namespace.
#include "group_norm_loops.h"

#include <algorithm>
#include <cmath>
#include <type_traits>
#include <vector>

#include "vector.h"

namespace addon {
namespace INSTRUCTION_SET {
namespace {

// Rounding errors grow with the length of a sum; sums of this many rows are added up in a second level.
constexpr int64_t kRowsPerSum = 64;

struct Buffers {
  std::vector<float> a, b, c, d;
};

// One set per thread; channels are at most a few thousand.
Buffers& buffers(int64_t channels) {
  thread_local Buffers all;
  const auto size = static_cast<size_t>((channels + kWidth) & ~(kWidth - 1));
  if (all.a.size() < size) {
    for (auto* buffer : {&all.a, &all.b, &all.c, &all.d}) buffer->resize(size);
  }
  return all;
}

// Mean and sum of squared deviations of every channel. Values are taken relative to the channel's first one, so that a
// large common offset does not cancel.
template <class T>
void channelMoments(const GroupNormShape& shape, const T* x, float* means, float* deviations) {
  const auto [pixels, channels, groups] = shape;
  for (int64_t c = 0; c < channels; c += kWidth) {
    const int64_t count = channels - c;
    const Vector pivot = load(x + c, count);
    Vector total = {}, totalSquares = {};
    for (int64_t first = 0; first < pixels; first += kRowsPerSum) {
      const int64_t last = std::min(first + kRowsPerSum, pixels);
      Vector sum = {}, squares = {};
      for (int64_t p = first; p < last; ++p) {
        const Vector value = load(x + p * channels + c, count) - pivot;
        sum += value;
        squares += value * value;
      }
      total += sum;
      totalSquares += squares;
    }
    const float n = static_cast<float>(pixels);
    store(means + c, pivot + total / n, count);
    store(deviations + c, totalSquares - total * total / n, count);
  }
}

template <class T>
void forward(const GroupNormShape& shape, const T* x, const float* weight, const float* bias, float eps, bool silu, T* y, float* mean,
             float* rstd) {
  const auto [pixels, channels, groups] = shape;
  const int64_t width = channels / groups;
  Buffers& buffer = buffers(channels);
  float* means = buffer.a.data();
  float* deviations = buffer.b.data();
  channelMoments(shape, x, means, deviations);

  float* scale = buffer.c.data();
  float* shift = buffer.d.data();
  for (int64_t g = 0; g < groups; ++g) {
    double groupMean = 0;
    for (int64_t c = g * width; c < (g + 1) * width; ++c) groupMean += means[c];
    groupMean /= static_cast<double>(width);
    double squares = 0;
    for (int64_t c = g * width; c < (g + 1) * width; ++c) {
      const double offset = means[c] - groupMean;
      squares += deviations[c] + static_cast<double>(pixels) * offset * offset;
    }
    const double variance = squares / static_cast<double>(width * pixels);
    mean[g] = static_cast<float>(groupMean);
    rstd[g] = static_cast<float>(1.0 / std::sqrt(variance + eps));
    for (int64_t c = g * width; c < (g + 1) * width; ++c) {
      scale[c] = rstd[g] * weight[c];
      shift[c] = bias[c] - mean[g] * scale[c];
    }
  }

  for (int64_t c = 0; c < channels; c += kWidth) {
    const int64_t count = channels - c;
    const Vector factor = load(scale + c, count), offset = load(shift + c, count);
    for (int64_t p = 0; p < pixels; ++p) {
      const Vector z = load(x + p * channels + c, count) * factor + offset;
      store(y + p * channels + c, silu ? z * sigmoid(z) : z, count);
    }
  }
}

template <class T>
void backward(const GroupNormShape& shape, const T* dy, const T* x, const float* weight, const float* bias, const float* mean,
              const float* rstd, bool silu, T* dx, float* dWeight, float* dBias) {
  const auto [pixels, channels, groups] = shape;
  const int64_t width = channels / groups;
  Buffers& buffer = buffers(channels);
  float* channelMean = buffer.a.data();
  float* channelRstd = buffer.b.data();
  for (int64_t c = 0; c < channels; ++c) {
    channelMean[c] = mean[c / width];
    channelRstd[c] = rstd[c / width];
  }

  // dz = dy silu'(z), and its sums over the pixels, alone and times the normalised value. In between, dx holds dz where it
  // can do so without rounding; computing it again costs another exponential.
  constexpr bool kKeepsGradient = std::is_same<T, float>::value;
  const auto gradientOfNormalized = [&](int64_t at, int64_t count, Vector normalized, Vector w, Vector b) {
    const Vector given = load(dy + at, count);
    if (!silu) return given;
    const Vector z = normalized * w + b;
    const Vector s = sigmoid(z);
    return given * s * (1.0f + z * (1.0f - s));
  };
  float* sums = buffer.c.data();
  float* products = buffer.d.data();
  for (int64_t c = 0; c < channels; c += kWidth) {
    const int64_t count = channels - c;
    const Vector m = load(channelMean + c, count), r = load(channelRstd + c, count);
    const Vector w = load(weight + c, count), b = load(bias + c, count);
    Vector total = {}, totalProduct = {};
    for (int64_t first = 0; first < pixels; first += kRowsPerSum) {
      const int64_t last = std::min(first + kRowsPerSum, pixels);
      Vector sum = {}, product = {};
      for (int64_t p = first; p < last; ++p) {
        const Vector normalized = (load(x + p * channels + c, count) - m) * r;
        const Vector dz = gradientOfNormalized(p * channels + c, count, normalized, w, b);
        if (kKeepsGradient) store(dx + p * channels + c, dz, count);
        sum += dz;
        product += dz * normalized;
      }
      total += sum;
      totalProduct += product;
    }
    store(sums + c, total, count);
    store(products + c, totalProduct, count);
  }

  for (int64_t c = 0; c < channels; ++c) {
    dBias[c] += sums[c];
    dWeight[c] += products[c];
  }
  // dx = rstd (w dz - mean over the group of w dz - normalised * mean over the group of w dz normalised)
  for (int64_t g = 0; g < groups; ++g) {
    double sum = 0, product = 0;
    for (int64_t c = g * width; c < (g + 1) * width; ++c) {
      sum += static_cast<double>(weight[c]) * sums[c];
      product += static_cast<double>(weight[c]) * products[c];
    }
    const double n = static_cast<double>(width * pixels);
    for (int64_t c = g * width; c < (g + 1) * width; ++c) {
      sums[c] = static_cast<float>(sum / n);
      products[c] = static_cast<float>(product / n);
    }
  }
  for (int64_t c = 0; c < channels; c += kWidth) {
    const int64_t count = channels - c;
    const Vector m = load(channelMean + c, count), r = load(channelRstd + c, count);
    const Vector w = load(weight + c, count), b = load(bias + c, count);
    const Vector meanGradient = load(sums + c, count), meanProduct = load(products + c, count);
    for (int64_t p = 0; p < pixels; ++p) {
      const int64_t at = p * channels + c;
      const Vector normalized = (load(x + at, count) - m) * r;
      const Vector dz = kKeepsGradient ? load(dx + at, count) : gradientOfNormalized(at, count, normalized, w, b);
      store(dx + at, r * (w * dz - meanGradient - normalized * meanProduct), count);
    }
  }
}

template <class T>
constexpr GroupNormLoops<T> loops() {
  return {forward<T>, backward<T>};
}

}  // namespace

GroupNormKernels groupNormKernels() { return {loops<float>(), loops<c10::BFloat16>()}; }

}  // namespace INSTRUCTION_SET
}  // namespace addon
