// Process groups of c10d: Gloo for the memory of CPUs, NCCL for that of GPUs. Collectives return at once; their works are polled,
// because a call that blocks could neither be interrupted nor say whom it waits for.
#include "addon.h"
#include "convert.h"
#include "distributed.h"

#ifdef WITH_GLOO

#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>
#ifdef WITH_NCCL
#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>
#endif

#include <atomic>
#include <chrono>
#include <memory>
#include <thread>
#include <unordered_map>

namespace addon {
namespace {

// Whoever waits decides how long.
constexpr auto kNoLimit = std::chrono::hours(24 * 365);

// A group that a thread of its own connects: that may wait for other processes.
struct Connecting {
  std::atomic<bool> isDone{false};
  std::string failure;
  c10::intrusive_ptr<GroupBase> group;
};

template <class Value>
struct Table {
  std::unordered_map<int64_t, Value> values;
  int64_t next = 1;

  int64_t insert(Value value) {
    values.emplace(next, std::move(value));
    return next++;
  }
};

// Never destroyed: a group's destructor waits for works that may never end.
auto& stores = *new Table<c10::intrusive_ptr<c10d::TCPStore>>;
auto& groups = *new Table<std::shared_ptr<Connecting>>;
auto& works = *new Table<Work>;

Connecting& connectingAt(int64_t id) {
  const auto found = groups.values.find(id);
  if (found == groups.values.end()) throw UsageError("the process group was closed");
  return *found->second;
}

c10::intrusive_ptr<GroupBase> openGloo(const c10::intrusive_ptr<c10d::Store>& store, int rank, int size,
                                       const std::string& interface, const std::string& address) {
  auto options = c10d::ProcessGroupGloo::Options::create();
  options->timeout = std::chrono::duration_cast<std::chrono::milliseconds>(kNoLimit);
  options->devices.push_back(!interface.empty() ? c10d::ProcessGroupGloo::createDeviceForInterface(interface)
                             : !address.empty() ? c10d::ProcessGroupGloo::createDeviceForHostname(address)
                                                : c10d::ProcessGroupGloo::createDefaultDevice());
  return c10::make_intrusive<c10d::ProcessGroupGloo>(store, rank, size, options);
}

c10::intrusive_ptr<GroupBase> openNccl(const c10::intrusive_ptr<c10d::Store>& store, int rank, int size) {
#ifdef WITH_NCCL
  auto options = c10d::ProcessGroupNCCL::Options::create();
  options->timeout = std::chrono::duration_cast<std::chrono::milliseconds>(kNoLimit);
  return c10::make_intrusive<c10d::ProcessGroupNCCL>(store, rank, size, options);
#else
  (void)store, (void)rank, (void)size;
  throw UsageError("this addon was built without NCCL, which processes with GPUs need: its header nccl.h was not found");
#endif
}

napi_value insertWork(napi_env env, Work work) { return fromInteger(env, works.insert(std::move(work))); }

}  // namespace

GroupBase& groupAt(int64_t id) {
  auto& connecting = connectingAt(id);
  if (!connecting.isDone || !connecting.group) throw UsageError("the process group is not connected");
  return *connecting.group;
}

Work allReduceSum(GroupBase& group, at::Tensor tensor) {
  std::vector<at::Tensor> tensors{std::move(tensor)};
  return group.allreduce(tensors);
}

bool finished(const Work& work) {
  if (!work->isCompleted()) return false;
  if (const auto failure = work->exception()) std::rethrow_exception(failure);
  work->synchronize();
  return true;
}

// openStore(host, port or 0 for any, whether this process serves it, milliseconds to connect) -> [id, port]
napi_value openStore(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    const auto [host, port, isServer, timeout] = arguments<4>(env, info);
    c10d::TCPStoreOptions options;
    options.port = static_cast<uint16_t>(toInteger(env, port, "a port"));
    options.isServer = toBool(env, isServer, "a boolean");
    options.waitWorkers = false;
    options.timeout = std::chrono::milliseconds(toInteger(env, timeout, "milliseconds"));
    auto store = c10::make_intrusive<c10d::TCPStore>(toString(env, host), options);
    const int64_t bound = store->getPort();
    return fromIntegers(env, {stores.insert(std::move(store)), bound});
  });
}

// closeStore(id): a server's clients lose it
napi_value closeStore(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    const auto [id] = arguments<1>(env, info);
    stores.values.erase(toInteger(env, id, "a store"));
    return undefinedValue(env);
  });
}

// openGroup(store, prefix of its keys, backend, rank, size, network interface or "", address of this process or "") -> id; it is being connected
napi_value openGroup(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    const auto [storeId, prefixText, backendName, rankNumber, sizeNumber, interfaceName, addressText] = arguments<7>(env, info);
    const auto found = stores.values.find(toInteger(env, storeId, "a store"));
    if (found == stores.values.end()) throw UsageError("the store was closed");
    const auto store = c10::make_intrusive<c10d::PrefixStore>(toString(env, prefixText), found->second);
    const std::string backend = toString(env, backendName), interface = toString(env, interfaceName), address = toString(env, addressText);
    const int rank = static_cast<int>(toInteger(env, rankNumber, "a rank"));
    const int size = static_cast<int>(toInteger(env, sizeNumber, "a number of ranks"));
    auto connecting = std::make_shared<Connecting>();
    std::thread([=] {
      try {
        connecting->group = backend == "nccl" ? openNccl(store, rank, size) : openGloo(store, rank, size, interface, address);
      } catch (const c10::Error& error) {
        connecting->failure = error.what_without_backtrace();
      } catch (const std::exception& error) {
        connecting->failure = error.what();
      }
      connecting->isDone = true;
    }).detach();
    return fromInteger(env, groups.insert(std::move(connecting)));
  });
}

// groupIsReady(id) -> whether it is connected
napi_value groupIsReady(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    const auto [id] = arguments<1>(env, info);
    const auto& connecting = connectingAt(toInteger(env, id, "a group"));
    if (!connecting.isDone) return fromBool(env, false);
    if (!connecting.group) throw std::runtime_error(connecting.failure);
    return fromBool(env, true);
  });
}

// closeGroup(id): only when no work of any process is left
napi_value closeGroup(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    const auto [id] = arguments<1>(env, info);
    groups.values.erase(toInteger(env, id, "a group"));
    return undefinedValue(env);
  });
}

// allReduce(group, tensor) -> work that replaces the tensor by its sum over the processes
napi_value allReduce(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    const auto [id, tensor] = arguments<2>(env, info);
    return insertWork(env, allReduceSum(groupAt(toInteger(env, id, "a group")), tensorAt(toHandle(env, tensor))));
  });
}

// broadcast(group, tensor, rank) -> work that replaces the tensor by that of a process
napi_value broadcast(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    const auto [id, tensor, rank] = arguments<3>(env, info);
    std::vector<at::Tensor> tensors{tensorAt(toHandle(env, tensor))};
    c10d::BroadcastOptions options;
    options.rootRank = static_cast<int>(toInteger(env, rank, "a rank"));
    return insertWork(env, groupAt(toInteger(env, id, "a group")).broadcast(tensors, options));
  });
}

// allGather(group, outputs, tensor) -> work that writes the tensor of process r into output r
napi_value allGather(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    const auto [id, outputs, tensor] = arguments<3>(env, info);
    std::vector<std::vector<at::Tensor>> lists{toTensors(env, outputs)};
    std::vector<at::Tensor> inputs{tensorAt(toHandle(env, tensor))};
    return insertWork(env, groupAt(toInteger(env, id, "a group")).allgather(lists, inputs));
  });
}

// workIsDone(work, milliseconds) -> whether it has ended within that time; one that has is released, also when it failed
napi_value workIsDone(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    const auto [workId, milliseconds] = arguments<2>(env, info);
    const int64_t id = toInteger(env, workId, "a work");
    const auto found = works.values.find(id);
    if (found == works.values.end()) throw UsageError("the work has ended before");
    const Work work = found->second;
    const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(toInteger(env, milliseconds, "milliseconds"));
    auto pause = std::chrono::microseconds(20);
    while (!work->isCompleted()) {
      if (std::chrono::steady_clock::now() >= end) return fromBool(env, false);
      std::this_thread::sleep_for(pause);
      pause = std::min(2 * pause, std::chrono::microseconds(500));
    }
    works.values.erase(id);
    return fromBool(env, finished(work));
  });
}

}  // namespace addon

#else

namespace addon {
namespace {

napi_value refuse(napi_env env) {
  return guarded(env, []() -> napi_value {
    throw UsageError("this addon was built without Gloo, by which several processes work together; install its headers (Debian: libgloo-dev) and build again");
  });
}

}  // namespace

napi_value openStore(napi_env env, napi_callback_info) { return refuse(env); }
napi_value closeStore(napi_env env, napi_callback_info) { return refuse(env); }
napi_value openGroup(napi_env env, napi_callback_info) { return refuse(env); }
napi_value groupIsReady(napi_env env, napi_callback_info) { return refuse(env); }
napi_value closeGroup(napi_env env, napi_callback_info) { return refuse(env); }
napi_value allReduce(napi_env env, napi_callback_info) { return refuse(env); }
napi_value broadcast(napi_env env, napi_callback_info) { return refuse(env); }
napi_value allGather(napi_env env, napi_callback_info) { return refuse(env); }
napi_value workIsDone(napi_env env, napi_callback_info) { return refuse(env); }
napi_value openWatch(napi_env env, napi_callback_info) { return refuse(env); }
napi_value closeWatch(napi_env env, napi_callback_info) { return refuse(env); }
napi_value watchSay(napi_env env, napi_callback_info) { return refuse(env); }
napi_value watchFail(napi_env env, napi_callback_info) { return refuse(env); }
napi_value watchState(napi_env env, napi_callback_info) { return refuse(env); }
napi_value openBuckets(napi_env env, napi_callback_info) { return refuse(env); }
napi_value closeBuckets(napi_env env, napi_callback_info) { return refuse(env); }
napi_value beginBuckets(napi_env env, napi_callback_info) { return refuse(env); }
napi_value flushBuckets(napi_env env, napi_callback_info) { return refuse(env); }
napi_value bucketsAreDone(napi_env env, napi_callback_info) { return refuse(env); }

}  // namespace addon

#endif
