// stf::scaled_add_: self = (self + other + bias) scale in one pass, where stock operators take two or three.
#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include "instruction_set.h"
#include "parallel.h"
#include "residual_loops.h"
#ifdef CUDA_KERNELS
#include "cuda/gpu.h"
#endif

namespace addon {
namespace {

const ResidualKernels& kernels() {
  static const ResidualKernels chosen = FOR_THIS_PROCESSOR(residualKernels);
  return chosen;
}

// One number per channel, shaped to broadcast over images.
at::Tensor asChannels(const at::Tensor& bias, const at::Tensor& like) { return bias.to(like.scalar_type()).view({1, -1, 1, 1}); }

#ifdef CUDA_KERNELS
cuda::Rows rowsOf(const at::Tensor& images) {
  return {cuda::elementOf(images), images.numel() / std::max<int64_t>(images.size(1), 1), images.size(1)};
}

bool isSupportedOnGpu(const at::Tensor& self, const at::Tensor& other) {
  const auto isWhole = [](const at::Tensor& tensor) {
    return tensor.dim() == 4 && tensor.is_contiguous(at::MemoryFormat::ChannelsLast) && reinterpret_cast<uintptr_t>(tensor.data_ptr()) % 16 == 0;
  };
  return self.is_cuda() && isWhole(self) && isWhole(other) && cuda::rowsFit(rowsOf(self));
}
#else
bool isSupportedOnGpu(const at::Tensor&, const at::Tensor&) { return false; }
#endif

bool isSupported(const at::Tensor& self, const at::Tensor& other, const at::Tensor& bias) {
  const auto dtype = self.scalar_type();
  const bool isAlike = self.device() == other.device() && (dtype == at::kFloat || dtype == at::kBFloat16) && other.scalar_type() == dtype &&
                       self.sizes() == other.sizes() && self.strides() == other.strides() && self.is_non_overlapping_and_dense();
  const bool isRow = !bias.defined() || (bias.scalar_type() == at::kFloat && bias.is_contiguous() && bias.device() == self.device());
  return isAlike && isRow && (self.device().is_cpu() ? !bias.defined() : isSupportedOnGpu(self, other));
}

void compute(const at::Tensor& self, const at::Tensor& other, [[maybe_unused]] const at::Tensor& bias, double scale) {
#ifdef CUDA_KERNELS
  if (self.is_cuda()) {
    cuda::launchOn(self, "a scaled sum", [&](cuda::Stream stream) {
      const float* added = bias.defined() ? bias.data_ptr<float>() : nullptr;
      return cuda::scaledAdd(rowsOf(self), self.data_ptr(), other.data_ptr(), added, static_cast<float>(scale), stream);
    });
    return;
  }
#endif
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

// dy times the scale, and, if needed, its sum over everything but the channels.
std::pair<at::Tensor, at::Tensor> scaledGradients(const at::Tensor& dy, double scale, bool sums) {
#ifdef CUDA_KERNELS
  if (!at::GradMode::is_enabled() && cuda::isElement(dy.scalar_type()) && isSupportedOnGpu(dy, dy)) {
    at::Tensor scaled = at::empty_like(dy);
    const cuda::Rows rows = rowsOf(dy);
    const at::Tensor partial = at::empty({sums ? cuda::blocksOf(rows) : 0, rows.channels}, dy.options().dtype(at::kFloat));
    cuda::launchOn(dy, "the gradient of a scaled sum", [&](cuda::Stream stream) {
      float* found = sums ? partial.data_ptr<float>() : nullptr;
      return cuda::scaleAndSum(rows, dy.data_ptr(), scaled.data_ptr(), static_cast<float>(scale), found, stream);
    });
    return {scaled, sums ? partial.sum(0) : at::Tensor()};
  }
#endif
  const at::Tensor scaled = dy * scale;
  return {scaled, sums ? scaled.sum({0, 2, 3}, false, at::kFloat) : at::Tensor()};
}

class ScaledAdd : public torch::autograd::Function<ScaledAdd> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, at::Tensor self, const at::Tensor& other,
                            const c10::optional<at::Tensor>& bias, double scale) {
    at::AutoDispatchBelowADInplaceOrView guard;
    const at::Tensor added = bias.value_or(at::Tensor());
    compute(self, other, added, scale);
    context->saved_data["scale"] = scale;
    context->saved_data["sums"] = added.defined() && added.requires_grad();
    context->mark_dirty({self});
    return self;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context, torch::autograd::variable_list gradients) {
    const auto [scaled, sums] = scaledGradients(gradients[0], context->saved_data["scale"].toDouble(), context->saved_data["sums"].toBool());
    return {scaled, scaled, sums, at::Tensor()};
  }
};

at::Tensor scaledAdd(at::Tensor self, const at::Tensor& other, double scale, const c10::optional<at::Tensor>& bias) {
  const at::Tensor added = bias.value_or(at::Tensor());
  TORCH_CHECK(!added.defined() || (self.dim() == 4 && added.dim() == 1 && added.size(0) == self.size(1) && added.is_floating_point()),
              "the bias must be a number for each channel of ", self.sizes(), ", found ", added.scalar_type(), " ", added.sizes());
  if (isSupported(self, other, added)) return ScaledAdd::apply(self, other, bias, scale);
  self.add_(other);
  if (added.defined()) self.add_(asChannels(added, self));
  return self.mul_(scale);
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(stf, library) { library.def("scaled_add_(Tensor(a!) self, Tensor other, float scale, Tensor? bias=None) -> Tensor(a!)"); }

// One implementation for all backends: it inspects the tensors, and includes the gradient.
TORCH_LIBRARY_IMPL(stf, CompositeImplicitAutograd, library) { library.impl("scaled_add_", scaledAdd); }

}  // namespace addon
