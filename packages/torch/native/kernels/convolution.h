// A convolution with float32 weights in the precision of its input, as every device does it best without a kernel of ours.
#pragma once

#include <ATen/ATen.h>

#include <array>

namespace addon {

struct ConvolutionShape {
  int64_t stride, padding, groups;
};

// Zero padding, no dilation.
at::Tensor convolution2d(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, const ConvolutionShape& shape);

}  // namespace addon
