// Gradients of gradients, for operators whose own backward pass is a loop.
#pragma once

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include <vector>

namespace addon {

// The gradients of `output`, computed from `inputs` with stock operators, as tensors that can be differentiated again.
// Inputs that are undefined or frozen have none, and must not be passed to autograd.
inline std::vector<at::Tensor> stockGradients(const at::Tensor& output, const std::vector<at::Tensor>& inputs, const at::Tensor& dOutput) {
  std::vector<at::Tensor> differentiable;
  for (const at::Tensor& input : inputs) {
    if (input.defined() && input.requires_grad()) differentiable.push_back(input);
  }
  const auto found = torch::autograd::grad({output}, differentiable, {dOutput}, true, true, true);
  std::vector<at::Tensor> results(inputs.size());
  for (size_t i = 0, next = 0; i < inputs.size(); ++i) {
    if (inputs[i].defined() && inputs[i].requires_grad()) results[i] = found[next++];
  }
  return results;
}

}  // namespace addon
