// Vectors as wide as a register, for loops that are compiled once per instruction set with INSTRUCTION_SET naming the
// namespace. They are GCC's generic ones, which clang has too.
#pragma once

#include <c10/util/BFloat16.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include <cstdint>
#include <cstring>

namespace addon {
namespace INSTRUCTION_SET {
namespace {

// As wide as a register: GCC splits wider vectors, for some operations into scalars.
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

// Before a loop of few iterations whose variables should be registers.
#define UNROLLED _Pragma("GCC unroll 16")

// Minus zero, because compilers must not drop the addition of zero, which turns -0 into 0.
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

// With dedicated instructions: GCC splits the conversion of generic vectors.
inline Vector load(const uint8_t* source) {
#if defined(__AVX512F__)
  return (Vector)_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(source))));
#elif defined(__AVX2__)
  return (Vector)_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(source))));
#else
  Vector result;
  for (int64_t i = 0; i < kWidth; ++i) result[i] = source[i];
  return result;
#endif
}

// Rounds to nearest, ties to even; NaN keeps a set bit of its payload. The dedicated instruction takes numbers below 1.2e-38 as zero.
inline void store(c10::BFloat16* target, Vector value) {
#if defined(__AVX512BF16__)
  const __m256bh halves = _mm512_cvtneps_pbh((__m512)value);
#else
  Words words;
  std::memcpy(&words, &value, sizeof words);
  const Words rounded = (words + 0x7fff + ((words >> 16) & 1)) >> 16;
  const Words quieted = (words >> 16) | 0x40;
  const Words chosen = value == value ? rounded : quieted;
  const Halves halves = __builtin_convertvector(chosen, Halves);
#endif
  std::memcpy(target, &halves, sizeof halves);
}

// The last channels when their number is not a multiple of the width: missing ones read as zero and are not written.
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

// Adds up every fourth lane.
template <class T, int64_t kCount, class Lanes>
void addQuarters(Lanes lanes, T* sums) {
  if constexpr (kCount == 4) {
    std::memcpy(sums, &lanes, sizeof lanes);
  } else {
    typedef T Half __attribute__((vector_size(sizeof(T) * kCount / 2)));
    Half halves[2];
    std::memcpy(halves, &lanes, sizeof halves);
    addQuarters<T, kCount / 2>(halves[0] + halves[1], sums);
  }
}

// Lane i of the result is lane order(i) of a followed by b.
template <class Lanes, class Order>
Lanes shuffled(Lanes a, Lanes b, Order order) {
#if defined(__clang__)
  Lanes result;
  for (int i = 0; i < kWidth; ++i) result[i] = order(i) < kWidth ? a[order(i)] : b[order(i) - kWidth];
  return result;
#else
  Integers mask = {};
  UNROLLED for (int i = 0; i < kWidth; ++i) mask[i] = order(i);
  return __builtin_shuffle(a, b, mask);
#endif
}

// Writes the sums of the lanes of four vectors of T, lanes being added in an order that is the same for each.
template <class T, class Lanes>
void sumLanes(Lanes a, Lanes b, Lanes c, Lanes d, T* sums) {
  // In every four lanes: half the sums of a, b, a, b, then the sums of a, b, c, d.
  const auto low = [](int i) { return i / 4 * 4 + i % 4 / 2 + i % 2 * kWidth; };
  const auto high = [low](int i) { return low(i) + 2; };
  const auto lowPair = [](int i) { return i / 4 * 4 + i % 2 + i % 4 / 2 * kWidth; };
  const auto highPair = [lowPair](int i) { return lowPair(i) + 2; };
  const Lanes ab = shuffled(a, b, low) + shuffled(a, b, high);
  const Lanes cd = shuffled(c, d, low) + shuffled(c, d, high);
  const Lanes abcd = shuffled(ab, cd, lowPair) + shuffled(ab, cd, highPair);
  addQuarters<T, kWidth>(abcd, sums);
}

inline Vector sigmoid(Vector x) { return 1.0f / (1.0f + exponential(-x)); }

}  // namespace
}  // namespace INSTRUCTION_SET
}  // namespace addon
