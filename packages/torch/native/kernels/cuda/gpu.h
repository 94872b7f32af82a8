// What the C++ side of a GPU kernel needs from libtorch: the stream to launch on, and the error if that fails.
#pragma once

#include <ATen/ATen.h>
#include <c10/core/DeviceGuard.h>
#include <c10/cuda/CUDAStream.h>

#include "launchers.h"

namespace addon {
namespace cuda {

inline bool isElement(at::ScalarType dtype) { return dtype == at::kFloat || dtype == at::kBFloat16; }

inline Element elementOf(const at::Tensor& tensor) {
  return tensor.scalar_type() == at::kFloat ? Element::float32 : Element::bfloat16;
}

// Calls launch(stream) on the device of a tensor, after all work queued before.
template <class Launch>
void launchOn(const at::Tensor& tensor, const char* what, Launch&& launch) {
  const c10::DeviceGuard guard(tensor.device());
  const Problem problem = launch(static_cast<Stream>(c10::cuda::getCurrentCUDAStream(tensor.device().index()).stream()));
  TORCH_CHECK(problem == nullptr, "the GPU kernel for ", what, " must start; it did not: ", problem);
}

}  // namespace cuda
}  // namespace addon
