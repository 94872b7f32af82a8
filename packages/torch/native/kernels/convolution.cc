// stf::conv2d: a convolution whose float32 weights follow the precision of its input, as one step of the graph.
//
// Why it exists: on a GPU each cast, and what differentiation makes of it, is a launch, and a training step of a U-Net has a thousand
// of them. And cuDNN convolves channels_last images slowly in float32 unless it may round to TF32.
#include "convolution.h"

#include <ATen/Context.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include "stock_gradients.h"

namespace addon {
namespace {

at::Tensor stock(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, const ConvolutionShape& shape) {
  const auto dtype = x.scalar_type();
  return at::conv2d(x, weight.to(dtype), bias.defined() ? bias.to(dtype) : bias, shape.stride, shape.padding, 1, shape.groups);
}

at::MemoryFormat formatFor(const at::Tensor& x) {
  const bool isExact = x.scalar_type() == at::kDouble || (x.scalar_type() == at::kFloat && !at::globalContext().allowTF32CuDNN());
  return isExact ? at::MemoryFormat::Contiguous : at::MemoryFormat::ChannelsLast;
}

class Convolution : public torch::autograd::Function<Convolution> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            const c10::optional<at::Tensor>& bias, const ConvolutionShape& shape) {
    at::AutoDispatchBelowADInplaceOrView guard;
    const auto format = formatFor(x);
    const at::Tensor input = x.contiguous(format), kernel = weight.to(x.scalar_type()).contiguous(format), b = bias.value_or(at::Tensor());
    context->save_for_backward({input, kernel, x, weight, b});
    context->saved_data["stride"] = shape.stride;
    context->saved_data["padding"] = shape.padding;
    context->saved_data["groups"] = shape.groups;
    return stock(input, kernel, b, shape);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context, torch::autograd::variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const at::Tensor &input = saved[0], &kernel = saved[1], &x = saved[2], &weight = saved[3], &bias = saved[4];
    const ConvolutionShape shape{context->saved_data["stride"].toInt(), context->saved_data["padding"].toInt(),
                                 context->saved_data["groups"].toInt()};
    torch::autograd::variable_list results(4);
    if (at::GradMode::is_enabled()) {
      const auto found = stockGradients(stock(x, weight, bias, shape), {x, weight, bias}, gradients[0]);
      std::copy(found.begin(), found.end(), results.begin());
      return results;
    }
    const at::Tensor dy = gradients[0].to(input.scalar_type()).contiguous(formatFor(input));
    const std::array<bool, 3> asked{x.requires_grad(), weight.requires_grad(), false};
    [[maybe_unused]] const auto [dx, dw, db] = at::convolution_backward(dy, input, kernel, c10::nullopt, {shape.stride, shape.stride},
                                                         {shape.padding, shape.padding}, {1, 1}, false, {0, 0}, shape.groups, asked);
    if (asked[0]) results[0] = dx;
    if (asked[1]) results[1] = dw.to(weight.scalar_type());
    if (bias.defined() && bias.requires_grad()) results[2] = dy.sum({0, 2, 3}, false, bias.scalar_type());
    return results;
  }
};

at::Tensor conv2d(const at::Tensor& x, const at::Tensor& weight, const c10::optional<at::Tensor>& bias, int64_t stride, int64_t padding,
                  int64_t groups) {
  return convolution2d(x, weight, bias.value_or(at::Tensor()), {stride, padding, groups});
}

}  // namespace

at::Tensor convolution2d(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, const ConvolutionShape& shape) {
  if (!x.is_cuda() || !weight.is_cuda()) return stock(x, weight, bias, shape);
  return Convolution::apply(x, weight, bias.defined() ? c10::make_optional(bias) : c10::nullopt, shape);
}

TORCH_LIBRARY_FRAGMENT(stf, library) {
  library.def("conv2d(Tensor x, Tensor weight, Tensor? bias, int stride, int padding, int groups) -> Tensor");
}

// One implementation for every backend: it asks the tensors themselves, and its gradient is part of it.
TORCH_LIBRARY_IMPL(stf, CompositeImplicitAutograd, library) { library.impl("conv2d", conv2d); }

}  // namespace addon
