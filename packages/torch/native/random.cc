// The global seed and Generator objects.
#include "random.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Context.h>
#include <ATen/core/Tensor.h>

#include <unordered_map>

#include "addon.h"
#include "convert.h"
#include "handles.h"

namespace addon {
namespace {

std::unordered_map<int64_t, at::Generator>& generators() {
  static auto* instance = new std::unordered_map<int64_t, at::Generator>;
  return *instance;
}

int64_t nextId = 1;

// As in PyTorch, from -2^63 to 2^64 - 1.
uint64_t toSeed(napi_env env, napi_value value) {
  uint64_t seed = 0;
  bool lossless = false;
  if (napi_get_value_bigint_uint64(env, value, &seed, &lossless) == napi_ok && lossless) return seed;
  return static_cast<uint64_t>(toInteger(env, value, "an integer seed"));
}

}  // namespace

const at::Generator& generatorAt(int64_t id) {
  const auto found = generators().find(id);
  if (found == generators().end()) throw UsageError("the generator was disposed");
  return found->second;
}

// manualSeed(seed): every device's default generator
napi_value manualSeed(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    const auto [seed] = arguments<1>(env, info);
    at::manual_seed(toSeed(env, seed));
    return undefinedValue(env);
  });
}

// createGenerator(device, seed) -> id
napi_value createGenerator(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    const auto [deviceName, seed] = arguments<2>(env, info);
    const c10::Device device(toString(env, deviceName));
    // Other devices have no public factory; a copy of their default generator is an independent one.
    at::Generator generator = device.is_cpu() ? at::make_generator<at::CPUGeneratorImpl>()
                                              : at::globalContext().defaultGenerator(device).clone();
    generator.set_current_seed(toSeed(env, seed));
    generators().emplace(nextId, std::move(generator));
    return fromInteger(env, nextId++);
  });
}

napi_value releaseGenerator(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    const auto [id] = arguments<1>(env, info);
    generators().erase(toInteger(env, id, "a generator"));
    return undefinedValue(env);
  });
}

// seedGenerator(id, seed)
napi_value seedGenerator(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    const auto [id, seed] = arguments<2>(env, info);
    at::Generator generator = generatorAt(toInteger(env, id, "a generator"));
    std::lock_guard<std::mutex> lock(generator.mutex());
    generator.set_current_seed(toSeed(env, seed));
    return undefinedValue(env);
  });
}

// generatorState(id or 0 for the default CPU generator) -> handle of a byte tensor
napi_value generatorState(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    const auto [value] = arguments<1>(env, info);
    const int64_t id = toInteger(env, value, "a generator");
    const at::Generator generator = id == 0 ? at::globalContext().defaultGenerator(at::kCPU) : generatorAt(id);
    return fromTensor(env, generator.get_state());
  });
}

// setGeneratorState(id or 0, handle)
napi_value setGeneratorState(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    const auto [value, state] = arguments<2>(env, info);
    const int64_t id = toInteger(env, value, "a generator");
    at::Generator generator = id == 0 ? at::globalContext().defaultGenerator(at::kCPU) : generatorAt(id);
    std::lock_guard<std::mutex> lock(generator.mutex());
    generator.set_state(tensorAt(toHandle(env, state)));
    return undefinedValue(env);
  });
}

}  // namespace addon
