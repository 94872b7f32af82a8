// stf::linear: a linear layer with float32 weights in the precision of its input.
//
// Why it exists: on a processor without AVX-512, libtorch accumulates bfloat16 products in bfloat16.
#include <ATen/ATen.h>
#include <torch/library.h>

#include "convolution.h"

namespace addon {
namespace {

at::Tensor linear(const at::Tensor& x, const at::Tensor& weight, const c10::optional<at::Tensor>& bias) {
  const auto dtype = productType(x);
  const c10::optional<at::Tensor> b = bias ? c10::make_optional(bias->to(dtype)) : bias;
  return at::linear(x.to(dtype), weight.to(dtype), b).to(x.scalar_type());
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(stf, library) { library.def("linear(Tensor x, Tensor weight, Tensor? bias) -> Tensor"); }

TORCH_LIBRARY_IMPL(stf, CompositeImplicitAutograd, library) { library.impl("linear", linear); }

}  // namespace addon
