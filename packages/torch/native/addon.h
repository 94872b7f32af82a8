// The exported functions, one per entry of the table in addon.cc, and the reading of their arguments.
#pragma once

#include <node_api.h>

#include <array>

#include "guard.h"

namespace addon {

// The first N arguments of a call; missing ones read as undefined.
template <size_t N>
std::array<napi_value, N> arguments(napi_env env, napi_callback_info info) {
  std::array<napi_value, N> values;
  size_t count = N;
  check(env, napi_get_cb_info(env, info, &count, values.data(), nullptr, nullptr), "the arguments must be readable");
  return values;
}

// dispatch.cc
napi_value findOperator(napi_env, napi_callback_info);
napi_value hasOperator(napi_env, napi_callback_info);
napi_value listSchemas(napi_env, napi_callback_info);
void shareNumbers(napi_env, napi_value array);
napi_value call(napi_env, napi_callback_info);
napi_value callNumbers(napi_env, napi_callback_info);
napi_value repeatCall(napi_env, napi_callback_info);
// tensors.cc
napi_value release(napi_env, napi_callback_info);
napi_value releaseAll(napi_env, napi_callback_info);
napi_value live(napi_env, napi_callback_info);
napi_value memory(napi_env, napi_callback_info);
napi_value sizes(napi_env, napi_callback_info);
napi_value strides(napi_env, napi_callback_info);
napi_value scalarType(napi_env, napi_callback_info);
napi_value device(napi_env, napi_callback_info);
napi_value elementBytes(napi_env, napi_callback_info);
napi_value adjustExternalMemory(napi_env, napi_callback_info);
napi_value fromBytes(napi_env, napi_callback_info);
napi_value toBytes(napi_env, napi_callback_info);
// autograd.cc
napi_value backward(napi_env, napi_callback_info);
napi_value gradients(napi_env, napi_callback_info);
napi_value getGradient(napi_env, napi_callback_info);
napi_value setGradient(napi_env, napi_callback_info);
napi_value requiresGradient(napi_env, napi_callback_info);
napi_value setRequiresGradient(napi_env, napi_callback_info);
napi_value isLeaf(napi_env, napi_callback_info);
napi_value setGradientMode(napi_env, napi_callback_info);
// random.cc
napi_value manualSeed(napi_env, napi_callback_info);
napi_value createGenerator(napi_env, napi_callback_info);
napi_value releaseGenerator(napi_env, napi_callback_info);
napi_value seedGenerator(napi_env, napi_callback_info);
napi_value generatorState(napi_env, napi_callback_info);
napi_value setGeneratorState(napi_env, napi_callback_info);
// environment.cc
napi_value environment(napi_env, napi_callback_info);
napi_value setConvolutions(napi_env, napi_callback_info);
napi_value synchronize(napi_env, napi_callback_info);
napi_value deviceMemory(napi_env, napi_callback_info);
napi_value setThreads(napi_env, napi_callback_info);
napi_value keepFreeMemory(napi_env, napi_callback_info);
napi_value releaseFreeMemory(napi_env, napi_callback_info);
napi_value poisonMemory(napi_env, napi_callback_info);
napi_value catchInterrupts(napi_env, napi_callback_info);
napi_value interrupt(napi_env, napi_callback_info);
napi_value lockFile(napi_env, napi_callback_info);
// checksum.cc
napi_value checksum(napi_env, napi_callback_info);
// profile.cc
napi_value startProfile(napi_env, napi_callback_info);
napi_value stopProfile(napi_env, napi_callback_info);
// process_group.cc
napi_value openStore(napi_env, napi_callback_info);
napi_value closeStore(napi_env, napi_callback_info);
napi_value openGroup(napi_env, napi_callback_info);
napi_value groupIsReady(napi_env, napi_callback_info);
napi_value closeGroup(napi_env, napi_callback_info);
napi_value allReduce(napi_env, napi_callback_info);
napi_value broadcast(napi_env, napi_callback_info);
napi_value allGather(napi_env, napi_callback_info);
napi_value workIsDone(napi_env, napi_callback_info);
// watch.cc
napi_value openWatch(napi_env, napi_callback_info);
napi_value closeWatch(napi_env, napi_callback_info);
napi_value watchSay(napi_env, napi_callback_info);
napi_value watchFail(napi_env, napi_callback_info);
napi_value watchState(napi_env, napi_callback_info);
// gradient_buckets.cc
napi_value openBuckets(napi_env, napi_callback_info);
napi_value closeBuckets(napi_env, napi_callback_info);
napi_value beginBuckets(napi_env, napi_callback_info);
napi_value flushBuckets(napi_env, napi_callback_info);
napi_value bucketsAreDone(napi_env, napi_callback_info);

}  // namespace addon
