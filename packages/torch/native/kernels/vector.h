// Vectors as wide as a register, for loops that are compiled once per instruction set with INSTRUCTION_SET naming the
// namespace. They are GCC's generic ones, which clang has too.
#pragma once

#include <c10/util/BFloat16.h>

#include <cstdint>
#include <cstring>

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
typedef float Vector __attribute__((vector_size(4 * kWidth)));
typedef int32_t Integers __attribute__((vector_size(4 * kWidth)));
typedef uint16_t Halves __attribute__((vector_size(2 * kWidth)));
typedef uint32_t Words __attribute__((vector_size(4 * kWidth)));

// Minus zero, for compilers must not leave out the addition of zero: it turns -0 into 0.
inline Vector splat(float value) { return value - Vector{}; }

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

}  // namespace
}  // namespace INSTRUCTION_SET
}  // namespace addon
