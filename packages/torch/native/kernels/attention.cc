// stf::attention: self-attention of the U-Nets, from interleaved queries, keys and values, for channels_last images on the CPU.
//
// Why it exists: the three are interleaved channel by channel, so libtorch copies each of them, multiplies small matrices
// one after the other with both threads in each, and keeps all weights for the backward pass. On a small U-Net that was a
// tenth of a training step.
#include <ATen/ATen.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/stack.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include "attention_loops.h"
#include "instruction_set.h"
#include "parallel.h"
#include "scratch.h"
#include "stock_gradients.h"

namespace addon {
namespace {

const AttentionKernels& kernels() {
  static const AttentionKernels chosen = FOR_THIS_PROCESSOR(attentionKernels);
  return chosen;
}

// Calls body(task, sample, scratch memory) for every sample and head.
template <class Body>
void overHeads(const at::Tensor& qkv, int64_t heads, int64_t (*scratchSize)(const AttentionTask&), Body&& body) {
  const int64_t pixels = qkv.size(2) * qkv.size(3), channels = qkv.size(1) / (3 * heads);
  const ScratchPerThread memory(scratchSize({pixels, channels, heads, 0}));
  parallelFor(qkv.size(0) * heads, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) body(AttentionTask{pixels, channels, heads, i % heads}, i / heads, memory.ofThisThread());
  });
}

template <class T>
void forwardLoops(const AttentionLoops<T>& loops, const at::Tensor& qkv, int64_t heads, const at::Tensor& mixed) {
  const T* in = qkv.data_ptr<T>();
  T* out = mixed.data_ptr<T>();
  const int64_t size = qkv.numel() / qkv.size(0);
  overHeads(qkv, heads, loops.forwardScratch, [&](const AttentionTask& task, int64_t n, float* memory) {
    loops.forward(task, in + n * size, out + n * (size / 3), memory);
  });
}

template <class T>
void backwardLoops(const AttentionLoops<T>& loops, const at::Tensor& qkv, int64_t heads, const at::Tensor& dMixed, const at::Tensor& dQkv) {
  const T *in = qkv.data_ptr<T>(), *given = dMixed.data_ptr<T>();
  T* out = dQkv.data_ptr<T>();
  const int64_t size = qkv.numel() / qkv.size(0);
  overHeads(qkv, heads, loops.backwardScratch, [&](const AttentionTask& task, int64_t n, float* memory) {
    loops.backward(task, in + n * size, given + n * (size / 3), out + n * size, memory);
  });
}

at::Tensor stock(const at::Tensor& qkv, int64_t heads) {
  const int64_t batch = qkv.size(0), channels = qkv.size(1) / (3 * heads);
  const auto parts = qkv.reshape({batch * heads, channels, 3, -1}).unbind(2);
  const auto wide = qkv.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  const at::Tensor logits = at::einsum("ncq,nck->nqk", {parts[0].to(wide), (parts[1] / std::sqrt(static_cast<double>(channels))).to(wide)});
  const at::Tensor weights = logits.softmax(2).to(qkv.scalar_type());
  const at::Tensor mixed = at::einsum("nqk,nck->ncq", {weights, parts[2]});
  return mixed.reshape({batch, heads * channels, qkv.size(2), qkv.size(3)}).contiguous(at::MemoryFormat::ChannelsLast);
}

// libtorch's fused attention, from 2.0 on: on GPUs its matrix products run in bfloat16 and its sums in float32.
c10::optional<c10::OperatorHandle> fusedAttention() {
  static const auto found = c10::Dispatcher::singleton().findSchema({"aten::scaled_dot_product_attention", ""});
  return found;
}

at::Tensor fused(const c10::OperatorHandle& attend, const at::Tensor& qkv, int64_t heads) {
  const int64_t batch = qkv.size(0), height = qkv.size(2), width = qkv.size(3);
  // [3, B, heads, pixels, channels], one copy for all three
  const auto parts = qkv.permute({0, 2, 3, 1}).reshape({batch, height * width, heads, -1, 3}).permute({4, 0, 2, 1, 3}).contiguous().unbind(0);
  torch::jit::Stack stack{parts[0], parts[1], parts[2]};
  const auto& parameters = attend.schema().arguments();
  for (size_t i = stack.size(); i < parameters.size(); ++i) {
    stack.push_back(parameters[i].default_value() ? *parameters[i].default_value() : c10::IValue());
  }
  attend.callBoxed(stack);
  // An image as [pixels, channels], which is the channels_last layout.
  return stack[0].toTensor().transpose(1, 2).reshape({batch, height, width, -1}).permute({0, 3, 1, 2});
}

class Attention : public torch::autograd::Function<Attention> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& qkv, int64_t heads) {
    at::AutoDispatchBelowADInplaceOrView guard;
    at::Tensor mixed = at::empty({qkv.size(0), qkv.size(1) / 3, qkv.size(2), qkv.size(3)}, qkv.options(), at::MemoryFormat::ChannelsLast);
    if (qkv.scalar_type() == at::kFloat) {
      forwardLoops(kernels().float32, qkv, heads, mixed);
    } else {
      forwardLoops(kernels().bfloat16, qkv, heads, mixed);
    }
    context->save_for_backward({qkv});
    context->saved_data["heads"] = heads;
    return mixed;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context, torch::autograd::variable_list gradients) {
    const at::Tensor qkv = context->get_saved_variables()[0];
    const int64_t heads = context->saved_data["heads"].toInt();
    if (at::GradMode::is_enabled()) return {stockGradients(stock(qkv, heads), {qkv}, gradients[0])[0], at::Tensor()};
    const at::Tensor dMixed = gradients[0].to(qkv.scalar_type()).contiguous(at::MemoryFormat::ChannelsLast);
    at::Tensor dQkv = at::empty_like(qkv, qkv.options(), at::MemoryFormat::ChannelsLast);
    if (qkv.scalar_type() == at::kFloat) {
      backwardLoops(kernels().float32, qkv, heads, dMixed, dQkv);
    } else {
      backwardLoops(kernels().bfloat16, qkv, heads, dMixed, dQkv);
    }
    return {dQkv, at::Tensor()};
  }
};

at::Tensor attention(const at::Tensor& qkv, int64_t heads) {
  TORCH_CHECK(qkv.dim() == 4 && heads > 0 && qkv.size(1) % (3 * heads) == 0, "joined queries, keys and values must be [B, 3 * heads * C, H, W] for ",
              heads, " heads, found ", qkv.sizes());
  constexpr int64_t block = 32;
  const auto dtype = qkv.scalar_type();
  const bool isSupported = qkv.device().is_cpu() && (dtype == at::kFloat || dtype == at::kBFloat16) && qkv.numel() > 0 &&
                           qkv.is_contiguous(at::MemoryFormat::ChannelsLast) && qkv.size(1) / (3 * heads) % block == 0 &&
                           qkv.size(2) * qkv.size(3) % block == 0;
  if (isSupported) return Attention::apply(qkv, heads);
  const auto attend = fusedAttention();
  return qkv.is_cuda() && dtype == at::kBFloat16 && attend ? fused(*attend, qkv, heads) : stock(qkv, heads);
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(stf, library) { library.def("attention(Tensor qkv, int heads) -> Tensor"); }

// One implementation for all backends: it inspects the tensors, and includes the gradient.
TORCH_LIBRARY_IMPL(stf, CompositeImplicitAutograd, library) { library.impl("attention", attention); }

}  // namespace addon
