// The parts outside the dispatcher: the backward pass, .grad, and the grad mode.
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/variable.h>

#include "addon.h"
#include "convert.h"
#include "handles.h"

namespace addon {
namespace {

bool isUndefined(napi_env env, napi_value value) {
  napi_valuetype type;
  check(env, napi_typeof(env, value, &type), "the value must have a type");
  return type == napi_undefined || type == napi_null;
}

// One gradient per output; missing ones stay undefined, which means 1 and is allowed for scalars only.
std::vector<at::Tensor> seeds(napi_env env, napi_value value, size_t count) {
  if (isUndefined(env, value)) return std::vector<at::Tensor>(count);
  return toTensors(env, value);
}

}  // namespace

// backward(outputs, output gradients or undefined, retainGraph, createGraph)
napi_value backward(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    const auto [outputs, outputGradients, retain, create] = arguments<4>(env, info);
    const auto tensors = toTensors(env, outputs);
    torch::autograd::backward(tensors, seeds(env, outputGradients, tensors.size()), toBool(env, retain, "retainGraph"),
                              toBool(env, create, "createGraph"));
    return undefinedValue(env);
  });
}

// gradients(outputs, inputs, output gradients or undefined, retainGraph, createGraph, allowUnused) -> handles or nulls
napi_value gradients(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    const auto [outputs, inputs, outputGradients, retain, create, allowUnused] = arguments<6>(env, info);
    const auto tensors = toTensors(env, outputs);
    const auto results =
        torch::autograd::grad(tensors, toTensors(env, inputs), seeds(env, outputGradients, tensors.size()),
                              toBool(env, retain, "retainGraph"), toBool(env, create, "createGraph"), toBool(env, allowUnused, "allowUnused"));
    napi_value array;
    check(env, napi_create_array_with_length(env, results.size(), &array), "an array");
    for (size_t i = 0; i < results.size(); ++i) {
      check(env, napi_set_element(env, array, static_cast<uint32_t>(i), fromTensor(env, results[i])), "an element");
    }
    return array;
  });
}

// gradient(handle) -> handle of .grad, or null
napi_value getGradient(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    const auto [handle] = arguments<1>(env, info);
    return fromTensor(env, tensorAt(toHandle(env, handle)).grad());
  });
}

// setGradient(handle, handle or null)
napi_value setGradient(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    const auto [handle, gradient] = arguments<2>(env, info);
    const at::Tensor& tensor = tensorAt(toHandle(env, handle));
    if (isUndefined(env, gradient)) {
      tensor.mutable_grad() = at::Tensor();
    } else {
      const at::Tensor& value = tensorAt(toHandle(env, gradient));
      if (!value.sizes().equals(tensor.sizes()) || value.scalar_type() != tensor.scalar_type() || value.device() != tensor.device()) {
        throw UsageError("a gradient must have its tensor's shape, dtype and device");
      }
      tensor.mutable_grad() = value;
    }
    return undefinedValue(env);
  });
}

napi_value requiresGradient(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    const auto [handle] = arguments<1>(env, info);
    return fromBool(env, tensorAt(toHandle(env, handle)).requires_grad());
  });
}

napi_value setRequiresGradient(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    const auto [handle, flag] = arguments<2>(env, info);
    tensorAt(toHandle(env, handle)).requires_grad_(toBool(env, flag, "a boolean"));
    return undefinedValue(env);
  });
}

napi_value isLeaf(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    const auto [handle] = arguments<1>(env, info);
    return fromBool(env, tensorAt(toHandle(env, handle)).is_leaf());
  });
}

// setGradientMode(enabled) -> the previous mode
napi_value setGradientMode(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    const auto [enabled] = arguments<1>(env, info);
    const bool before = at::GradMode::is_enabled();
    at::GradMode::set_enabled(toBool(env, enabled, "a boolean"));
    return fromBool(env, before);
  });
}

}  // namespace addon
