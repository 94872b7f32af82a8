// stf::group_norm_silu: group normalisation with an optional SiLU behind it, for channels_last images on the CPU.
//
// Why it exists: libtorch 1.13 normalises channels_last images of less than 1024 pixels with a loop that does not
// vectorise when a group has few channels (15 times slower than its NCHW loop), and computes SiLU in passes of its own.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include "group_norm_loops.h"
#include "instruction_set.h"

namespace addon {
namespace {

const GroupNormKernels& kernels() {
  static const GroupNormKernels chosen = FOR_THIS_PROCESSOR(groupNormKernels);
  return chosen;
}

template <class T>
const GroupNormLoops<T>& loopsFor();
template <>
const GroupNormLoops<float>& loopsFor() {
  return kernels().float32;
}
template <>
const GroupNormLoops<c10::BFloat16>& loopsFor() {
  return kernels().bfloat16;
}

GroupNormShape shapeOf(const at::Tensor& x, int64_t groups) { return {x.size(2) * x.size(3), x.size(1), groups}; }

template <class T>
std::vector<at::Tensor> forward(const at::Tensor& x, int64_t groups, const at::Tensor& weight, const at::Tensor& bias, double eps, bool silu) {
  const GroupNormShape shape = shapeOf(x, groups);
  const int64_t samples = x.size(0), size = shape.pixels * shape.channels;
  at::Tensor y = at::empty_like(x, x.options(), at::MemoryFormat::ChannelsLast);
  at::Tensor mean = at::empty({samples, groups}, x.options().dtype(at::kFloat));
  at::Tensor rstd = at::empty_like(mean);
  const T* in = x.data_ptr<T>();
  T* out = y.data_ptr<T>();
  const float *w = weight.data_ptr<float>(), *b = bias.data_ptr<float>();
  float *m = mean.data_ptr<float>(), *r = rstd.data_ptr<float>();
  at::parallel_for(0, samples, 1, [&](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n) {
      loopsFor<T>().forward(shape, in + n * size, w, b, static_cast<float>(eps), silu, out + n * size, m + n * groups, r + n * groups);
    }
  });
  return {y, mean, rstd};
}

template <class T>
std::vector<at::Tensor> backward(const at::Tensor& dy, const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                                 const at::Tensor& mean, const at::Tensor& rstd, bool silu) {
  const int64_t groups = mean.size(1);
  const GroupNormShape shape = shapeOf(x, groups);
  const int64_t samples = x.size(0), size = shape.pixels * shape.channels;
  at::Tensor dx = at::empty_like(x, x.options(), at::MemoryFormat::ChannelsLast);
  // One row per sample, summed afterwards: the result does not depend on how samples fall to threads.
  at::Tensor dWeight = at::zeros({samples, shape.channels}, mean.options());
  at::Tensor dBias = at::zeros_like(dWeight);
  const T *given = dy.data_ptr<T>(), *in = x.data_ptr<T>();
  T* out = dx.data_ptr<T>();
  const float *w = weight.data_ptr<float>(), *b = bias.data_ptr<float>();
  const float *m = mean.data_ptr<float>(), *r = rstd.data_ptr<float>();
  float *dw = dWeight.data_ptr<float>(), *db = dBias.data_ptr<float>();
  at::parallel_for(0, samples, 1, [&](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n) {
      loopsFor<T>().backward(shape, given + n * size, in + n * size, w, b, m + n * groups, r + n * groups, silu, out + n * size,
                             dw + n * shape.channels, db + n * shape.channels);
    }
  });
  return {dx, dWeight.sum(0), dBias.sum(0)};
}

// Where the loops do not apply: other devices, dtypes and layouts.
bool isSupported(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  const auto dtype = x.scalar_type();
  return x.device().is_cpu() && x.dim() == 4 && (dtype == at::kFloat || dtype == at::kBFloat16) && x.numel() > 0 &&
         x.is_contiguous(at::MemoryFormat::ChannelsLast) && weight.scalar_type() == at::kFloat && bias.scalar_type() == at::kFloat &&
         weight.is_contiguous() && bias.is_contiguous();
}

at::Tensor stock(const at::Tensor& x, int64_t groups, const at::Tensor& weight, const at::Tensor& bias, double eps, bool silu) {
  const at::Tensor y = at::group_norm(x, groups, weight.to(x.scalar_type()), bias.to(x.scalar_type()), eps);
  return silu ? at::silu(y) : y;
}

class GroupNormSilu : public torch::autograd::Function<GroupNormSilu> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x, int64_t groups, const at::Tensor& weight,
                            const at::Tensor& bias, double eps, bool silu) {
    at::AutoDispatchBelowADInplaceOrView guard;
    const auto results = x.scalar_type() == at::kFloat ? addon::forward<float>(x, groups, weight, bias, eps, silu)
                                                       : addon::forward<c10::BFloat16>(x, groups, weight, bias, eps, silu);
    context->save_for_backward({x, weight, bias, results[1], results[2]});
    context->saved_data["silu"] = silu;
    context->saved_data["eps"] = eps;
    return results[0];
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context, torch::autograd::variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const at::Tensor& x = saved[0];
    if (at::GradMode::is_enabled()) return differentiableBackward(context, saved, gradients[0]);
    const at::Tensor dy = gradients[0].to(x.scalar_type()).contiguous(at::MemoryFormat::ChannelsLast);
    const bool silu = context->saved_data["silu"].toBool();
    const auto results = x.scalar_type() == at::kFloat
                             ? addon::backward<float>(dy, x, saved[1], saved[2], saved[3], saved[4], silu)
                             : addon::backward<c10::BFloat16>(dy, x, saved[1], saved[2], saved[3], saved[4], silu);
    return {results[0], at::Tensor(), results[1], results[2], at::Tensor(), at::Tensor()};
  }

 private:
  // With createGraph the gradient itself is differentiated; stock operators can do that.
  static torch::autograd::variable_list differentiableBackward(torch::autograd::AutogradContext* context,
                                                               const torch::autograd::variable_list& saved, const at::Tensor& dy) {
    const at::Tensor y = stock(saved[0], saved[3].size(1), saved[1], saved[2], context->saved_data["eps"].toDouble(),
                               context->saved_data["silu"].toBool());
    // Frozen inputs have no gradient, and may not be asked for one.
    torch::autograd::variable_list asked;
    for (int i = 0; i < 3; ++i) {
      if (saved[i].requires_grad()) asked.push_back(saved[i]);
    }
    const auto found = torch::autograd::grad({y}, asked, {dy}, true, true, true);
    at::Tensor results[3];
    for (int i = 0, next = 0; i < 3; ++i) {
      if (saved[i].requires_grad()) results[i] = found[next++];
    }
    return {results[0], at::Tensor(), results[1], results[2], at::Tensor(), at::Tensor()};
  }
};

at::Tensor groupNormSilu(const at::Tensor& x, int64_t groups, const at::Tensor& weight, const at::Tensor& bias, double eps, bool silu) {
  TORCH_CHECK(x.dim() >= 2 && groups > 0 && x.size(1) % groups == 0, "the ", x.dim() >= 2 ? x.size(1) : 0,
              " channels must divide into ", groups, " groups");
  TORCH_CHECK(weight.numel() == x.size(1) && bias.numel() == x.size(1), "weight and bias must have ", x.size(1),
              " elements, found ", weight.numel(), " and ", bias.numel());
  TORCH_CHECK(weight.device() == x.device() && bias.device() == x.device(), "weight and bias must be on the input's device, ",
              x.device(), ", found ", weight.device(), " and ", bias.device());
  if (isSupported(x, weight, bias)) return GroupNormSilu::apply(x, groups, weight, bias, eps, silu);
  return stock(x, groups, weight, bias, eps, silu);
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(stf, library) {
  library.def("group_norm_silu(Tensor x, int groups, Tensor weight, Tensor bias, float eps, bool silu) -> Tensor");
}

// One implementation for every backend: it asks the tensors themselves, and its gradient is part of it.
TORCH_LIBRARY_IMPL(stf, CompositeImplicitAutograd, library) { library.impl("group_norm_silu", groupNormSilu); }

}  // namespace addon
