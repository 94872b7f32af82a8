// stf::conv2d: a convolution whose float32 weights are cast to the precision of its input, as one node of the graph.
//
// Why it exists: on a GPU each cast and its gradient is a launch, and a training step of a U-Net has a thousand
// of them. And cuDNN convolves channels_last images slowly in float32 unless it may round to TF32. On a processor without AVX-512,
// bfloat16 is convolved in float32, without keeping the float32 copy of its input for the backward pass.
#include "convolution.h"

#include <ATen/Context.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include "instruction_set.h"
#include "stock_gradients.h"

namespace addon {
namespace {

at::Tensor stock(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, const ConvolutionShape& shape) {
  const auto dtype = productType(x);
  return at::conv2d(x.to(dtype), weight.to(dtype), bias.defined() ? bias.to(dtype) : bias, shape.stride, shape.padding, 1, shape.groups)
      .to(x.scalar_type());
}

// cuDNN infers the layout from the strides, and those of 1x1 kernels fit either layout: only a copy makes it unambiguous.
at::Tensor laidOut(const at::Tensor& tensor, at::MemoryFormat format) {
  return format == at::MemoryFormat::Contiguous && tensor.suggest_memory_format() != format ? tensor.clone(format) : tensor.contiguous(format);
}

// The setting of the forward pass; another network may have changed it since.
class Tf32Guard {
 public:
  explicit Tf32Guard(bool allowed) : before(at::globalContext().allowTF32CuDNN()) { at::globalContext().setAllowTF32CuDNN(allowed); }
  ~Tf32Guard() { at::globalContext().setAllowTF32CuDNN(before); }
  Tf32Guard(const Tf32Guard&) = delete;
  Tf32Guard& operator=(const Tf32Guard&) = delete;

 private:
  const bool before;
};

at::MemoryFormat formatFor(const at::Tensor& x) {
  if (!x.is_cuda()) return x.suggest_memory_format();
  const auto dtype = x.scalar_type();
  const bool isExact = dtype == at::kDouble || (dtype == at::kFloat && !at::globalContext().allowTF32CuDNN());
  return isExact ? at::MemoryFormat::Contiguous : at::MemoryFormat::ChannelsLast;
}

class Convolution : public torch::autograd::Function<Convolution> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            const c10::optional<at::Tensor>& bias, const ConvolutionShape& shape) {
    at::AutoDispatchBelowADInplaceOrView guard;
    const auto format = formatFor(x);
    const at::Tensor b = bias.value_or(at::Tensor());
    // The copies for cuDNN are made again in the backward pass: the graph holds only what is held elsewhere anyway.
    context->save_for_backward({x, weight, b});
    context->saved_data["stride"] = shape.stride;
    context->saved_data["padding"] = shape.padding;
    context->saved_data["groups"] = shape.groups;
    context->saved_data["tf32"] = at::globalContext().allowTF32CuDNN();
    return stock(laidOut(x, format), laidOut(weight.to(x.scalar_type()), format), b, shape);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context, torch::autograd::variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &weight = saved[1], &bias = saved[2];
    auto& data = context->saved_data;
    const ConvolutionShape shape{data["stride"].toInt(), data["padding"].toInt(), data["groups"].toInt()};
    const Tf32Guard tf32(data["tf32"].toBool());
    torch::autograd::variable_list results(4);
    if (at::GradMode::is_enabled()) {
      const auto found = stockGradients(stock(x, weight, bias, shape), {x, weight, bias}, gradients[0]);
      std::copy(found.begin(), found.end(), results.begin());
      return results;
    }
    const auto dtype = productType(x);
    const auto format = formatFor(x);
    const at::Tensor dy = laidOut(gradients[0].to(dtype), format);
    const std::array<bool, 3> needed{x.requires_grad(), weight.requires_grad(), false};
    [[maybe_unused]] const auto [dx, dw, db] = at::convolution_backward(
        dy, laidOut(x.to(dtype), format), laidOut(weight.to(dtype), format), c10::nullopt, {shape.stride, shape.stride}, {shape.padding, shape.padding},
        {1, 1}, false, {0, 0}, shape.groups, needed);
    if (needed[0]) results[0] = dx.to(x.scalar_type());
    if (needed[1]) results[1] = dw.to(weight.scalar_type());
    if (bias.defined() && bias.requires_grad()) results[2] = dy.sum({0, 2, 3}, false, bias.scalar_type());
    return results;
  }
};

at::Tensor conv2d(const at::Tensor& x, const at::Tensor& weight, const c10::optional<at::Tensor>& bias, int64_t stride, int64_t padding,
                  int64_t groups) {
  return convolution2d(x, weight, bias.value_or(at::Tensor()), {stride, padding, groups});
}

}  // namespace

at::ScalarType productType(const at::Tensor& x) {
  const bool isWidened = x.is_cpu() && x.scalar_type() == at::kBFloat16 && !bfloat16SumsAreExact();
  return isWidened ? at::kFloat : x.scalar_type();
}

at::Tensor convolution2d(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, const ConvolutionShape& shape) {
  const bool isWidened = x.is_cpu() && productType(x) != x.scalar_type();
  if (!isWidened && !(x.is_cuda() && weight.is_cuda())) return stock(x, weight, bias, shape);
  return Convolution::apply(x, weight, bias.defined() ? c10::make_optional(bias) : c10::nullopt, shape);
}

TORCH_LIBRARY_FRAGMENT(stf, library) {
  library.def("conv2d(Tensor x, Tensor weight, Tensor? bias, int stride, int padding, int groups) -> Tensor");
}

// One implementation for all backends: it inspects the tensors, and includes the gradient.
TORCH_LIBRARY_IMPL(stf, CompositeImplicitAutograd, library) { library.impl("conv2d", conv2d); }

}  // namespace addon
