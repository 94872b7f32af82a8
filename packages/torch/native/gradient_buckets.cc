// Sums of gradients over processes while the backward pass still runs. The flat gradients are divided into buckets; a hook at every
// parameter counts down, and a bucket whose last gradient has arrived is summed at once, by threads of the process group.
#include "addon.h"
#include "convert.h"
#include "distributed.h"

#ifdef WITH_GLOO

#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/function_hook.h>
#include <torch/csrc/autograd/variable.h>

#include <chrono>
#include <memory>
#include <mutex>
#include <thread>
#include <unordered_map>

namespace addon {
namespace {

using Clock = std::chrono::steady_clock;

struct Bucket {
  at::Tensor gradients;  // a part of the flat gradients
  int64_t parameters = 0;
  int64_t missing = 0;
  Work work;
  double begun = 0, ended = 0;  // seconds since the last pass was announced
};

struct Buckets {
  std::mutex mutex;  // gradients of GPUs arrive on threads of their own
  GroupBase* group = nullptr;
  std::vector<Bucket> buckets;
  size_t next = 0;  // All processes must sum in one order.
  bool isLast = false;
  Clock::time_point start;

  double now() const { return std::chrono::duration<double>(Clock::now() - start).count(); }

  void begin() {
    for (Bucket& bucket : buckets) {
      bucket.missing = bucket.parameters;
      bucket.work.reset();
    }
    next = 0;
    start = Clock::now();
  }

  void reduceNext() {
    Bucket& bucket = buckets[next++];
    bucket.begun = now();
    bucket.work = allReduceSum(*group, bucket.gradients);
  }

  void arrived(size_t index) {
    std::lock_guard<std::mutex> lock(mutex);
    if (!isLast) return;
    --buckets[index].missing;
    while (next < buckets.size() && buckets[next].missing <= 0) reduceNext();
  }
};

class Arrival : public torch::autograd::FunctionPostHook {
 public:
  Arrival(std::weak_ptr<Buckets> buckets, size_t index) : buckets_(std::move(buckets)), index_(index) {}

  torch::autograd::variable_list operator()(const torch::autograd::variable_list& outputs, const torch::autograd::variable_list&) override {
    if (const auto buckets = buckets_.lock()) buckets->arrived(index_);
    return outputs;
  }

 private:
  std::weak_ptr<Buckets> buckets_;
  size_t index_;
};

struct Entry {
  std::shared_ptr<Buckets> buckets;
  std::vector<std::shared_ptr<torch::autograd::Node>> accumulators;  // Hooks live as long as these.
};

auto& entries = *new std::unordered_map<int64_t, Entry>;
int64_t nextId = 1;

Buckets& bucketsAt(napi_env env, napi_value id) {
  const auto found = entries.find(toInteger(env, id, "buckets"));
  if (found == entries.end()) throw UsageError("the buckets were closed");
  return *found->second.buckets;
}

}  // namespace

// openBuckets(group, buckets: parts of the flat gradients, parameters, bucket of each parameter) -> id
napi_value openBuckets(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    const auto [group, parts, parameterList, indexList] = arguments<4>(env, info);
    auto buckets = std::make_shared<Buckets>();
    buckets->group = &groupAt(toInteger(env, group, "a group"));
    for (at::Tensor& part : toTensors(env, parts)) {
      buckets->buckets.emplace_back();
      buckets->buckets.back().gradients = std::move(part);
    }
    const auto parameters = toTensors(env, parameterList);
    const auto indices = toIntegers(env, indexList, "a bucket for each parameter");
    if (indices.size() != parameters.size()) throw UsageError("each parameter must have a bucket");
    Entry entry{buckets, {}};
    for (size_t i = 0; i < parameters.size(); ++i) {
      const auto index = static_cast<size_t>(indices[i]);
      if (index >= buckets->buckets.size()) throw UsageError("a parameter's bucket must exist");
      ++buckets->buckets[index].parameters;
      auto accumulator = torch::autograd::impl::grad_accumulator(parameters[i]);
      if (!accumulator) throw UsageError("a parameter must be a leaf with a gradient");
      accumulator->add_post_hook(std::make_unique<Arrival>(buckets, index));
      entry.accumulators.push_back(std::move(accumulator));
    }
    entries.emplace(nextId, std::move(entry));
    return fromInteger(env, nextId++);
  });
}

// closeBuckets(id): the hooks have no effect any more
napi_value closeBuckets(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    const auto [id] = arguments<1>(env, info);
    entries.erase(toInteger(env, id, "buckets"));
    return undefinedValue(env);
  });
}

// beginBuckets(id): the next backward pass is the last one of the step
napi_value beginBuckets(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    const auto [id] = arguments<1>(env, info);
    Buckets& buckets = bucketsAt(env, id);
    std::lock_guard<std::mutex> lock(buckets.mutex);
    buckets.begin();
    buckets.isLast = true;
    return undefinedValue(env);
  });
}

// flushBuckets(id) -> seconds of the pass that beginBuckets() announced; buckets of which a parameter took no part are summed now,
// and without an announcement all of them
napi_value flushBuckets(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    const auto [id] = arguments<1>(env, info);
    Buckets& buckets = bucketsAt(env, id);
    std::lock_guard<std::mutex> lock(buckets.mutex);
    if (!buckets.isLast) buckets.begin();
    buckets.isLast = false;
    const double seconds = buckets.now();
    while (buckets.next < buckets.buckets.size()) buckets.reduceNext();
    return fromDouble(env, seconds);
  });
}

// bucketsAreDone(id, milliseconds) -> null while one is not summed, else begin and end of each, in seconds since beginBuckets()
napi_value bucketsAreDone(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    const auto [id, milliseconds] = arguments<2>(env, info);
    Buckets& buckets = bucketsAt(env, id);
    const auto end = Clock::now() + std::chrono::milliseconds(toInteger(env, milliseconds, "milliseconds"));
    auto pause = std::chrono::microseconds(20);
    for (Bucket& bucket : buckets.buckets) {
      while (bucket.work && !finished(bucket.work)) {
        if (Clock::now() >= end) {
          napi_value none;
          check(env, napi_get_null(env, &none), "null");
          return none;
        }
        std::this_thread::sleep_for(pause);
        pause = std::min(2 * pause, std::chrono::microseconds(500));
      }
      if (bucket.work) bucket.ended = buckets.now();
      bucket.work.reset();
    }
    napi_value times;
    check(env, napi_create_array_with_length(env, 2 * buckets.buckets.size(), &times), "an array");
    uint32_t i = 0;
    for (const Bucket& bucket : buckets.buckets) {
      check(env, napi_set_element(env, times, i++, fromDouble(env, bucket.begun)), "an element");
      check(env, napi_set_element(env, times, i++, fromDouble(env, bucket.ended)), "an element");
    }
    return times;
  });
}

}  // namespace addon

#endif
