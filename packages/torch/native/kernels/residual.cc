// stf::scaled_add_: self = (self + other) scale in one pass, where stock operators take two.
#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include "instruction_set.h"
#include "parallel.h"
#include "residual_loops.h"

namespace addon {
namespace {

const ResidualKernels& kernels() {
  static const ResidualKernels chosen = FOR_THIS_PROCESSOR(residualKernels);
  return chosen;
}

bool isSupported(const at::Tensor& self, const at::Tensor& other) {
  const auto dtype = self.scalar_type();
  return self.device().is_cpu() && other.device().is_cpu() && (dtype == at::kFloat || dtype == at::kBFloat16) &&
         other.scalar_type() == dtype && self.sizes() == other.sizes() && self.strides() == other.strides() &&
         self.is_non_overlapping_and_dense();
}

void compute(const at::Tensor& self, const at::Tensor& other, double scale) {
  constexpr int64_t grain = 1 << 14;
  const auto run = [&](auto* a, const auto* b, auto loop) {
    parallelFor(self.numel(), grain, [&](int64_t begin, int64_t end) {
      loop(a + begin, b + begin, static_cast<float>(scale), end - begin);
    });
  };
  if (self.scalar_type() == at::kFloat) {
    run(self.data_ptr<float>(), static_cast<const float*>(other.data_ptr<float>()), kernels().float32);
  } else {
    run(self.data_ptr<c10::BFloat16>(), static_cast<const c10::BFloat16*>(other.data_ptr<c10::BFloat16>()), kernels().bfloat16);
  }
}

class ScaledAdd : public torch::autograd::Function<ScaledAdd> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, at::Tensor self, const at::Tensor& other, double scale) {
    at::AutoDispatchBelowADInplaceOrView guard;
    compute(self, other, scale);
    context->saved_data["scale"] = scale;
    context->mark_dirty({self});
    return self;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context, torch::autograd::variable_list gradients) {
    const at::Tensor scaled = gradients[0] * context->saved_data["scale"].toDouble();
    return {scaled, scaled, at::Tensor()};
  }
};

at::Tensor scaledAdd(at::Tensor self, const at::Tensor& other, double scale) {
  if (!isSupported(self, other)) return self.add_(other).mul_(scale);
  return ScaledAdd::apply(self, other, scale);
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(stf, library) { library.def("scaled_add_(Tensor(a!) self, Tensor other, float scale) -> Tensor(a!)"); }

// One implementation for every backend: it asks the tensors themselves, and its gradient is part of it.
TORCH_LIBRARY_IMPL(stf, CompositeImplicitAutograd, library) { library.impl("scaled_add_", scaledAdd); }

}  // namespace addon
