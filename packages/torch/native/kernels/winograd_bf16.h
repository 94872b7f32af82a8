// 3x3 convolutions of bfloat16 images with float32 weights by Winograd's method F(2x2, 3x3), on processors that multiply
// bfloat16 in vectors. Images are channels_last, and numbers of channels multiples of 32.
#pragma once

#include <ATen/ATen.h>

namespace addon {

// Whether the method is faster than the alternatives for images of this size, of the input or the output.
bool winogradBf16Pays(const at::Tensor& image, const at::Tensor& weight);

at::Tensor winogradBf16(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias);

at::Tensor winogradBf16InputGradient(const at::Tensor& dy, const at::Tensor& weight);

// In float32.
at::Tensor winogradBf16WeightGradient(const at::Tensor& dy, const at::Tensor& x, const at::Tensor& weight);

}  // namespace addon
