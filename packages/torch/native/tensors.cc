// Lifetimes, metadata, and bytes in and out.
#include <ATen/Context.h>
#include <ATen/Functions.h>
#include <ATen/core/Tensor.h>

#include <cstring>

#include "addon.h"
#include "convert.h"
#include "handles.h"

namespace addon {

// release(handle)
napi_value release(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    const auto [handle] = arguments<1>(env, info);
    releaseTensor(toHandle(env, handle));
    return undefinedValue(env);
  });
}

// releaseAll(handles: Float64Array, count)
napi_value releaseAll(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    const auto [handles, count] = arguments<2>(env, info);
    napi_typedarray_type type;
    size_t length = 0;
    void* data = nullptr;
    check(env, napi_get_typedarray_info(env, handles, &type, &length, &data, nullptr, nullptr), "expected a Float64Array");
    const auto used = static_cast<size_t>(toInteger(env, count, "a count"));
    if (type != napi_float64_array || used > length) throw UsageError("expected a Float64Array that holds the count");
    const auto* values = static_cast<const double*>(data);
    for (size_t i = 0; i < used; ++i) releaseTensor(static_cast<Handle>(values[i]));
    return undefinedValue(env);
  });
}

// isLive(handle) -> boolean
napi_value live(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    const auto [handle] = arguments<1>(env, info);
    return fromBool(env, isLive(toHandle(env, handle)));
  });
}

// memory() -> [live tensors, bytes]
napi_value memory(napi_env env, napi_callback_info) {
  return guarded(env, [&] {
    const MemoryUse use = memoryUse();
    return fromIntegers(env, {use.tensors, use.bytes});
  });
}

namespace {

template <class Read>
napi_value readTensor(napi_env env, napi_callback_info info, Read&& read) {
  return guarded(env, [&] {
    const auto [handle] = arguments<1>(env, info);
    return read(tensorAt(toHandle(env, handle)));
  });
}

}  // namespace

napi_value sizes(napi_env env, napi_callback_info info) {
  return readTensor(env, info, [&](const at::Tensor& tensor) { return fromIntegers(env, tensor.sizes()); });
}

napi_value strides(napi_env env, napi_callback_info info) {
  return readTensor(env, info, [&](const at::Tensor& tensor) { return fromIntegers(env, tensor.strides()); });
}

napi_value scalarType(napi_env env, napi_callback_info info) {
  return readTensor(env, info, [&](const at::Tensor& tensor) { return fromInteger(env, static_cast<int64_t>(tensor.scalar_type())); });
}

napi_value device(napi_env env, napi_callback_info info) {
  return readTensor(env, info, [&](const at::Tensor& tensor) { return fromString(env, tensor.device().str()); });
}

napi_value elementBytes(napi_env env, napi_callback_info info) {
  return readTensor(env, info, [&](const at::Tensor& tensor) {
    return fromInteger(env, tensor.has_storage() ? static_cast<int64_t>(tensor.nbytes()) : 0);
  });
}

// adjustExternalMemory(change in bytes) -> the total: memory that JavaScript's garbage collector should take into account
napi_value adjustExternalMemory(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    const auto [change] = arguments<1>(env, info);
    int64_t total = 0;
    check(env, napi_adjust_external_memory(env, toInteger(env, change, "a number of bytes"), &total), "a number of bytes");
    return fromInteger(env, total);
  });
}

namespace {

// Small tensors go to a GPU through pinned memory, which the GPU reads asynchronously, so the program does not wait for it.
// libtorch keeps that memory until it was read. For large tensors, allocating it takes longer than copying.
constexpr size_t kLargestUnwaited = 1 << 20;

}  // namespace

// fromBytes(bytes: Uint8Array, scalar type, shape, device) -> handle of a tensor there that holds a copy
napi_value fromBytes(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    const auto [bytes, type, shape, deviceName] = arguments<4>(env, info);
    size_t length = 0;
    void* data = nullptr;
    napi_typedarray_type arrayType;
    check(env, napi_get_typedarray_info(env, bytes, &arrayType, &length, &data, nullptr, nullptr), "expected a Uint8Array");
    if (arrayType != napi_uint8_array) throw UsageError("expected a Uint8Array");
    const auto dtype = static_cast<at::ScalarType>(toInteger(env, type, "a dtype"));
    const c10::Device device(toString(env, deviceName));
    const bool isUnwaited = device.is_cuda() && at::hasCUDA() && length <= kLargestUnwaited;
    at::Tensor tensor = at::empty(toIntegers(env, shape, "expected a shape"), at::TensorOptions().dtype(dtype).pinned_memory(isUnwaited));
    if (tensor.nbytes() != length) {
      throw UsageError("a tensor of this shape and dtype has " + std::to_string(tensor.nbytes()) + " bytes, found " + std::to_string(length));
    }
    if (length) std::memcpy(tensor.data_ptr(), data, length);
    return fromTensor(env, device.is_cpu() ? std::move(tensor) : tensor.to(device, isUnwaited));
  });
}

// toBytes(handle) -> ArrayBuffer with a copy of the elements in row-major order
napi_value toBytes(napi_env env, napi_callback_info info) {
  return readTensor(env, info, [&](const at::Tensor& tensor) {
    // Conjugation and negation are flags on a tensor until its bytes are needed.
    const at::Tensor dense = tensor.detach().cpu().resolve_conj().resolve_neg().contiguous();
    void* data = nullptr;
    napi_value buffer;
    check(env, napi_create_arraybuffer(env, dense.nbytes(), &data, &buffer), "there is not enough memory for the copy");
    if (dense.nbytes()) std::memcpy(data, dense.data_ptr(), dense.nbytes());
    return buffer;
  });
}

}  // namespace addon
