// Inner products of bytes in integers, for loops that are compiled once per instruction set.
#pragma once

#include "vector.h"

namespace addon {
namespace INSTRUCTION_SET {
namespace {

#if defined(__AVX512VNNI__)
// One factor is a byte, the other one minus 128: the instruction requires one signed and one unsigned factor.
using Byte = uint8_t;
using CentredByte = int8_t;
#else
using Byte = int16_t;
using CentredByte = int16_t;
#endif

// Products that one call of addProducts adds up.
constexpr int64_t kProductsAtOnce = sizeof(Integers) / sizeof(Byte);

inline Integers loadBits(const void* source) {
  Integers result;
  std::memcpy(&result, source, sizeof result);
  return result;
}

// Adds the products of adjacent bytes and centred bytes, two or four to each sum.
inline Integers addProducts(Integers sums, Integers bytes, Integers centred) {
#if defined(__AVX512VNNI__)
  return (Integers)_mm512_dpbusd_epi32((__m512i)sums, (__m512i)bytes, (__m512i)centred);
#elif defined(__AVX512BW__)
  return sums + (Integers)_mm512_madd_epi16((__m512i)bytes, (__m512i)centred);
#elif defined(__AVX2__)
  return sums + (Integers)_mm256_madd_epi16((__m256i)bytes, (__m256i)centred);
#elif defined(__SSE2__)
  return sums + (Integers)_mm_madd_epi16((__m128i)bytes, (__m128i)centred);
#else
  return sums + ((bytes << 16) >> 16) * ((centred << 16) >> 16) + (bytes >> 16) * (centred >> 16);
#endif
}

}  // namespace
}  // namespace INSTRUCTION_SET
}  // namespace addon
