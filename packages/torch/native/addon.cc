// The list of exported functions, and receiving the error class.
#include "addon.h"

#include <atomic>

#include "convert.h"
#include "kernels/instruction_set.h"

namespace addon {
namespace {

napi_ref torchErrorClass = nullptr;

// There is one table of tensors and one of operators per process, without locks: operators are multithreaded
// themselves, so a single calling thread is enough.
std::atomic<bool> inUse{false};

// initialize(TorchError, numbers): the class of thrown failures, and memory for callNumbers(). Fails when the
// environment requests kernels that this processor cannot run.
napi_value initialize(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    const auto [errorClass, numbers] = arguments<2>(env, info);
    shareNumbers(env, numbers);
    check(env, napi_create_reference(env, errorClass, 1, &torchErrorClass), "expected a class");
    instructionSet();
    return undefinedValue(env);
  });
}

}  // namespace

void throwTorchError(napi_env env, const std::string& message) {
  napi_value text, errorClass, error;
  if (napi_create_string_utf8(env, message.data(), message.size(), &text) == napi_ok && torchErrorClass &&
      napi_get_reference_value(env, torchErrorClass, &errorClass) == napi_ok &&
      napi_new_instance(env, errorClass, 1, &text, &error) == napi_ok) {
    napi_throw(env, error);
  } else {
    napi_throw_error(env, nullptr, message.c_str());
  }
}

}  // namespace addon

NAPI_MODULE_INIT() {
  using namespace addon;
  if (inUse.exchange(true)) {
    napi_throw_error(env, nullptr, "another thread of this process has loaded it, and only one can; use a process of its own");
    return nullptr;
  }
  napi_add_env_cleanup_hook(env, [](void*) { inUse = false; }, nullptr);
  const struct {
    const char* name;
    napi_callback function;
  } functions[] = {
      {"initialize", initialize},
      {"operator", findOperator},
      {"hasOperator", hasOperator},
      {"schemas", listSchemas},
      {"call", call},
      {"callNumbers", callNumbers},
      {"repeat", repeatCall},
      {"release", release},
      {"releaseAll", releaseAll},
      {"isLive", live},
      {"memory", memory},
      {"shape", sizes},
      {"strides", strides},
      {"scalarType", scalarType},
      {"device", device},
      {"elementBytes", elementBytes},
      {"adjustExternalMemory", adjustExternalMemory},
      {"fromBytes", fromBytes},
      {"toBytes", toBytes},
      {"backward", backward},
      {"gradients", gradients},
      {"gradient", getGradient},
      {"setGradient", setGradient},
      {"requiresGradient", requiresGradient},
      {"setRequiresGradient", setRequiresGradient},
      {"isLeaf", isLeaf},
      {"setGradientMode", setGradientMode},
      {"manualSeed", manualSeed},
      {"createGenerator", createGenerator},
      {"releaseGenerator", releaseGenerator},
      {"seedGenerator", seedGenerator},
      {"generatorState", generatorState},
      {"setGeneratorState", setGeneratorState},
      {"environment", environment},
      {"setConvolutions", setConvolutions},
      {"synchronize", synchronize},
      {"deviceMemory", deviceMemory},
      {"setThreads", setThreads},
      {"keepFreeMemory", keepFreeMemory},
      {"releaseFreeMemory", releaseFreeMemory},
      {"poisonMemory", poisonMemory},
      {"catchInterrupts", catchInterrupts},
      {"interrupt", interrupt},
      {"lockFile", lockFile},
      {"checksum", checksum},
      {"startProfile", startProfile},
      {"stopProfile", stopProfile},
      {"openStore", openStore},
      {"closeStore", closeStore},
      {"openGroup", openGroup},
      {"groupIsReady", groupIsReady},
      {"closeGroup", closeGroup},
      {"allReduce", allReduce},
      {"broadcast", broadcast},
      {"allGather", allGather},
      {"workIsDone", workIsDone},
      {"openWatch", openWatch},
      {"closeWatch", closeWatch},
      {"watchSay", watchSay},
      {"watchFail", watchFail},
      {"watchState", watchState},
      {"openBuckets", openBuckets},
      {"closeBuckets", closeBuckets},
      {"beginBuckets", beginBuckets},
      {"flushBuckets", flushBuckets},
      {"bucketsAreDone", bucketsAreDone},
  };
  for (const auto& entry : functions) {
    napi_value function;
    if (napi_create_function(env, entry.name, NAPI_AUTO_LENGTH, entry.function, nullptr, &function) != napi_ok ||
        napi_set_named_property(env, exports, entry.name, function) != napi_ok) {
      napi_throw_error(env, nullptr, "the addon's functions could not be exported");
      return nullptr;
    }
  }
  return exports;
}
