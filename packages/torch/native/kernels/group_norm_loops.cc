// Compiled once per instruction set, with INSTRUCTION_SET naming the namespace. The vectors are GCC's generic ones.
#include "group_norm_loops.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <type_traits>
#include <vector>

namespace addon {
namespace INSTRUCTION_SET {
namespace {

// As wide as a register: GCC takes wider vectors apart, some operations of them into scalars.
#if defined(__AVX512F__)
constexpr int64_t kWidth = 16;
#elif defined(__AVX2__)
constexpr int64_t kWidth = 8;
#else
constexpr int64_t kWidth = 4;
#endif
// Rounding errors grow with the length of a sum; sums of this many rows are added up in a second level.
constexpr int64_t kRowsPerSum = 64;

typedef float Vector __attribute__((vector_size(4 * kWidth)));
typedef int32_t Integers __attribute__((vector_size(4 * kWidth)));
typedef uint16_t Halves __attribute__((vector_size(2 * kWidth)));
typedef uint32_t Words __attribute__((vector_size(4 * kWidth)));

inline Vector splat(float value) { return Vector{} + value; }

inline Vector load(const float* source) {
  Vector result;
  std::memcpy(&result, source, sizeof result);
  return result;
}

inline void store(float* target, Vector value) { std::memcpy(target, &value, sizeof value); }

inline Vector load(const c10::BFloat16* source) {
  Halves halves;
  std::memcpy(&halves, source, sizeof halves);
  const Words words = __builtin_convertvector(halves, Words) << 16;
  Vector result;
  std::memcpy(&result, &words, sizeof result);
  return result;
}

// Rounds to nearest, ties to even; NaN keeps a set bit of its payload.
inline void store(c10::BFloat16* target, Vector value) {
  Words words;
  std::memcpy(&words, &value, sizeof words);
  const Words rounded = (words + 0x7fff + ((words >> 16) & 1)) >> 16;
  const Words quieted = (words >> 16) | 0x40;
  const Words chosen = value == value ? rounded : quieted;
  const Halves halves = __builtin_convertvector(chosen, Halves);
  std::memcpy(target, &halves, sizeof halves);
}

// The last channels when their number is no multiple of the width: missing ones read as zero and are not written.
template <class T>
Vector load(const T* source, int64_t count) {
  if (count >= kWidth) return load(source);
  T padded[kWidth] = {};
  for (int64_t i = 0; i < count; ++i) padded[i] = source[i];
  return load(padded);
}

template <class T>
void store(T* target, Vector value, int64_t count) {
  if (count >= kWidth) return store(target, value);
  T padded[kWidth];
  store(padded, value);
  for (int64_t i = 0; i < count; ++i) target[i] = padded[i];
}

// e^x to about 1e-7 relative: 2^n e^r with |r| <= ln 2 / 2 and the Taylor polynomial of degree 7 in r.
inline Vector exponential(Vector x) {
  x = x > 88.0f ? splat(88.0f) : x;
  x = x < -87.0f ? splat(-87.0f) : x;
  const Vector shift = splat(12582912.0f);  // 1.5 * 2^23: adding it rounds to a whole number
  const Vector shifted = x * 1.44269504088896341f + shift;
  const Vector n = shifted - shift;
  const Vector r = x - n * 0.693359375f - n * -2.12194440e-4f;
  Vector p = splat(1.0f / 5040);
  p = p * r + 1.0f / 720;
  p = p * r + 1.0f / 120;
  p = p * r + 1.0f / 24;
  p = p * r + 1.0f / 6;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  const Integers power = (__builtin_convertvector(n, Integers) + 127) << 23;
  Vector scale;
  std::memcpy(&scale, &power, sizeof scale);
  return p * scale;
}

inline Vector sigmoid(Vector x) { return 1.0f / (1.0f + exponential(-x)); }

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
