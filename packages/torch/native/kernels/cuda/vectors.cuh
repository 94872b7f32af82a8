// 16 bytes of a tensor at a time, as floats.
#pragma once

#include <cuda_bf16.h>

#include <cstdint>

#include "launchers.h"

namespace addon {
namespace cuda {

template <class T>
struct Vector {
  static constexpr int size = 16 / sizeof(T);
  float values[size];
};

__device__ inline Vector<float> load(const float* from) {
  const float4 raw = *reinterpret_cast<const float4*>(from);
  return {{raw.x, raw.y, raw.z, raw.w}};
}

__device__ inline Vector<__nv_bfloat16> load(const __nv_bfloat16* from) {
  const uint4 raw = *reinterpret_cast<const uint4*>(from);
  const unsigned words[4] = {raw.x, raw.y, raw.z, raw.w};
  Vector<__nv_bfloat16> result;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    // A bfloat16 is the upper half of a float.
    result.values[2 * i] = __uint_as_float(words[i] << 16);
    result.values[2 * i + 1] = __uint_as_float(words[i] & 0xffff0000u);
  }
  return result;
}

__device__ inline void store(float* to, const Vector<float>& vector) {
  *reinterpret_cast<float4*>(to) = make_float4(vector.values[0], vector.values[1], vector.values[2], vector.values[3]);
}

__device__ inline void store(__nv_bfloat16* to, const Vector<__nv_bfloat16>& vector) {
  __nv_bfloat162 pairs[4];
#pragma unroll
  for (int i = 0; i < 4; ++i) pairs[i] = __floats2bfloat162_rn(vector.values[2 * i], vector.values[2 * i + 1]);
  *reinterpret_cast<uint4*>(to) = *reinterpret_cast<const uint4*>(pairs);
}

// Of the last launch, which has not run yet: errors inside the kernel are reported later.
inline Problem problemOfLaunch() {
  const cudaError_t error = cudaGetLastError();
  return error == cudaSuccess ? nullptr : cudaGetErrorString(error);
}

// Calls body with a null pointer of the element's type.
template <class Body>
void withElement(Element element, Body&& body) {
  if (element == Element::float32) {
    body(static_cast<float*>(nullptr));
  } else {
    body(static_cast<__nv_bfloat16*>(nullptr));
  }
}

}  // namespace cuda
}  // namespace addon
