// Profiling: seconds and calls of every operator, not counting the operators that it calls itself.
#include <ATen/record_function.h>
#include <torch/csrc/api/include/torch/cuda.h>

#include <algorithm>
#include <chrono>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "addon.h"
#include "convert.h"

namespace addon {
namespace {

using Clock = std::chrono::steady_clock;

struct Cost {
  int64_t calls = 0;
  double seconds = 0;
};

struct Running {
  Clock::time_point start;
  double inside = 0;  // seconds of the operators that this one has called
};

std::mutex lock;
std::unordered_map<std::string, Cost>* costs = nullptr;
at::CallbackHandle callback = 0;
int64_t waitedFor = -1;  // the GPU whose work is counted for an operator; none if negative

// Backward passes may run on other threads.
std::vector<Running>& running() {
  thread_local std::vector<Running> stack;
  return stack;
}

std::unique_ptr<at::ObserverContext> begin(const at::RecordFunction&) {
  running().push_back({Clock::now()});
  return nullptr;
}

void end(const at::RecordFunction& function, at::ObserverContext*) {
  auto& stack = running();
  if (stack.empty()) return;  // it began before the profile did
  const Running finished = stack.back();
  stack.pop_back();
  if (waitedFor >= 0) torch::cuda::synchronize(waitedFor);
  const double seconds = std::chrono::duration<double>(Clock::now() - finished.start).count();
  if (!stack.empty()) stack.back().inside += seconds;
  const std::lock_guard<std::mutex> guard(lock);
  if (!costs) return;
  Cost& cost = (*costs)[function.name()];
  ++cost.calls;
  cost.seconds += seconds - finished.inside;
}

}  // namespace

// startProfile(device): from now on operators are timed; on a GPU until each is finished
napi_value startProfile(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    const auto [device] = arguments<1>(env, info);
    const c10::Device own(toString(env, device));
    if (costs) throw UsageError("a profile is being taken already");
    costs = new std::unordered_map<std::string, Cost>;
    running().clear();
    waitedFor = own.is_cuda() ? std::max<int64_t>(own.index(), 0) : -1;
    callback = at::addGlobalCallback(
        at::RecordFunctionCallback(begin, end).scopes({at::RecordScope::FUNCTION, at::RecordScope::BACKWARD_FUNCTION}));
    return undefinedValue(env);
  });
}

// stopProfile() -> [name, calls, seconds] of every operator that ran
napi_value stopProfile(napi_env env, napi_callback_info) {
  return guarded(env, [&] {
    if (!costs) throw UsageError("no profile is being taken");
    at::removeCallback(callback);
    std::unordered_map<std::string, Cost> taken;
    {
      const std::lock_guard<std::mutex> guard(lock);
      taken = std::move(*costs);
      delete costs;
      costs = nullptr;
    }
    napi_value rows;
    check(env, napi_create_array_with_length(env, taken.size(), &rows), "an array");
    uint32_t index = 0;
    for (const auto& [name, cost] : taken) {
      napi_value row;
      check(env, napi_create_array_with_length(env, 3, &row), "an array");
      check(env, napi_set_element(env, row, 0, fromString(env, name)), "an element");
      check(env, napi_set_element(env, row, 1, fromInteger(env, cost.calls)), "an element");
      check(env, napi_set_element(env, row, 2, fromDouble(env, cost.seconds)), "an element");
      check(env, napi_set_element(env, rows, index++, row), "an element");
    }
    return rows;
  });
}

}  // namespace addon
