// A convolution with float32 weights in the precision of its input, the best that each device offers without our own kernels.
#pragma once

#include <ATen/ATen.h>

#include <array>

namespace addon {

struct ConvolutionShape {
  int64_t stride, padding, groups;
};

// Zero padding, no dilation.
at::Tensor convolution2d(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, const ConvolutionShape& shape);

// The dtype in which sums of products of such a tensor's values are exact to its precision: its own, but for bfloat16 on processors
// whose bfloat16SumsAreExact() is false, where it is float32.
at::ScalarType productType(const at::Tensor& x);

}  // namespace addon
