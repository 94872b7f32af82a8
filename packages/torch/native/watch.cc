// Whether the other processes live. A thread of its own tells them through the store, twice a second, that this process does, and reads
// what they tell: libtorch computes for minutes, and a store whose process is stopped never answers, so neither may depend on the
// thread that calls.
#include "addon.h"
#include "convert.h"
#include "distributed.h"

#ifdef WITH_GLOO

#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>
#include <unordered_map>

namespace addon {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kPeriod = std::chrono::milliseconds(500);

double secondsSince(Clock::time_point time) { return std::chrono::duration<double>(Clock::now() - time).count(); }

std::vector<uint8_t> bytesOf(const std::string& text) { return {text.begin(), text.end()}; }
std::string textOf(const std::vector<uint8_t>& bytes) { return {bytes.begin(), bytes.end()}; }

struct Peer {
  bool isKnown = false;
  std::string beat;  // a counter, a newline, its words
  Clock::time_point changed = Clock::now();
};

class Watch {
 public:
  Watch(std::string host, int port, std::string prefix, int rank, int size, std::string words)
      : host_(std::move(host)), port_(port), prefix_(std::move(prefix)), rank_(rank), words_(std::move(words)), peers_(size) {}

  static void run(const std::shared_ptr<Watch>& self) {
    std::thread([self] { self->loop(); }).detach();
  }

  void say(std::string words) {
    std::lock_guard<std::mutex> lock(mutex_);
    words_ = std::move(words);
    isUrgent_ = true;
    changed_.notify_all();
  }

  // Waits until the others can read it, but not for long.
  void fail(std::string reason, std::chrono::milliseconds atMost) {
    std::unique_lock<std::mutex> lock(mutex_);
    if (reason_.empty()) reason_ = std::move(reason);
    isUrgent_ = true;
    changed_.notify_all();
    changed_.wait_for(lock, atMost, [&] { return isReasonTold_ || isOver_; });
  }

  void stop() {
    std::unique_lock<std::mutex> lock(mutex_);
    shouldStop_ = true;
    changed_.notify_all();
    changed_.wait_for(lock, std::chrono::seconds(2), [&] { return isOver_; });
  }

  napi_value state(napi_env env) {
    std::lock_guard<std::mutex> lock(mutex_);
    napi_value result, ages, words;
    check(env, napi_create_array_with_length(env, 5, &result), "an array");
    check(env, napi_create_array_with_length(env, peers_.size(), &ages), "an array");
    check(env, napi_create_array_with_length(env, peers_.size(), &words), "an array");
    for (uint32_t i = 0; i < peers_.size(); ++i) {
      const Peer& peer = peers_[i];
      const auto newline = peer.beat.find('\n');
      check(env, napi_set_element(env, ages, i, fromDouble(env, secondsSince(peer.changed))), "an element");
      check(env, napi_set_element(env, words, i, fromString(env, newline == std::string::npos ? "" : peer.beat.substr(newline + 1))), "an element");
    }
    check(env, napi_set_element(env, result, 0, fromDouble(env, secondsSince(answered_))), "an element");
    check(env, napi_set_element(env, result, 1, fromString(env, failure_)), "an element");
    check(env, napi_set_element(env, result, 2, fromBool(env, isDoubled_)), "an element");
    check(env, napi_set_element(env, result, 3, ages), "an element");
    check(env, napi_set_element(env, result, 4, words), "an element");
    return result;
  }

 private:
  std::string keyOf(size_t rank) const { return prefix_ + "beat/" + std::to_string(rank); }

  void loop() {
    try {
      c10d::TCPStoreOptions options;
      options.port = static_cast<uint16_t>(port_);
      options.waitWorkers = false;
      options.timeout = std::chrono::seconds(30);
      c10d::TCPStore store(host_, options);
      std::unique_lock<std::mutex> lock(mutex_);
      for (int64_t count = 1; !shouldStop_; ++count) {
        isUrgent_ = false;
        const std::string beat = std::to_string(count) + "\n" + words_;
        const std::string reason = reason_;
        lock.unlock();
        exchange(store, count == 1, beat, reason);
        lock.lock();
        answered_ = Clock::now();
        if (!reason.empty()) isReasonTold_ = true;
        changed_.notify_all();
        changed_.wait_for(lock, kPeriod, [&] { return shouldStop_ || isUrgent_; });
      }
    } catch (const std::exception&) {
      // The store is gone: the age of its last answer says so.
    }
    std::lock_guard<std::mutex> lock(mutex_);
    isOver_ = true;
    changed_.notify_all();
  }

  // One round: our beat, theirs, and the first failure.
  void exchange(c10d::TCPStore& store, bool isFirst, const std::string& beat, const std::string& reason) {
    const std::string own = keyOf(rank_), failureKey = prefix_ + "failure";
    if (isFirst) {
      // Whoever came before keeps the rank: it may belong to a job that has run for days.
      if (textOf(store.compareSet(own, {}, bytesOf(beat))) != beat) {
        std::lock_guard<std::mutex> lock(mutex_);
        isDoubled_ = shouldStop_ = true;
        return;
      }
    } else {
      store.set(own, bytesOf(beat));
    }
    if (!reason.empty() && !store.check({failureKey})) store.set(failureKey, bytesOf(reason));
    std::string failure;
    if (store.check({failureKey})) failure = textOf(store.get(failureKey));
    for (size_t i = 0; i < peers_.size(); ++i) {
      const std::string key = keyOf(i);
      if (!peers_[i].isKnown && !store.check({key})) continue;
      std::string found = textOf(store.get(key));
      std::lock_guard<std::mutex> lock(mutex_);
      peers_[i].isKnown = true;
      if (found == peers_[i].beat) continue;
      peers_[i].beat = std::move(found);
      peers_[i].changed = Clock::now();
    }
    std::lock_guard<std::mutex> lock(mutex_);
    failure_ = std::move(failure);
  }

  const std::string host_;
  const int port_;
  const std::string prefix_;
  const size_t rank_;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::string words_, reason_, failure_;
  std::vector<Peer> peers_;
  Clock::time_point answered_ = Clock::now();
  bool shouldStop_ = false, isUrgent_ = false, isReasonTold_ = false, isOver_ = false, isDoubled_ = false;
};

auto& watches = *new std::unordered_map<int64_t, std::shared_ptr<Watch>>;
int64_t nextId = 1;

Watch& watchAt(napi_env env, napi_value id) {
  const auto found = watches.find(toInteger(env, id, "a watch"));
  if (found == watches.end()) throw UsageError("the watch was closed");
  return *found->second;
}

// At the end of the process a thread that still uses libtorch would race with its destructors.
void stopAll(void*) {
  for (const auto& entry : watches) entry.second->stop();
  watches.clear();
}

}  // namespace

// openWatch(host and port of the store, prefix of its keys, rank, size, words for the others) -> id
napi_value openWatch(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    const auto [host, port, prefix, rank, size, words] = arguments<6>(env, info);
    auto watch = std::make_shared<Watch>(toString(env, host), static_cast<int>(toInteger(env, port, "a port")), toString(env, prefix),
                                         static_cast<int>(toInteger(env, rank, "a rank")),
                                         static_cast<int>(toInteger(env, size, "a number of ranks")), toString(env, words));
    if (nextId == 1) napi_add_env_cleanup_hook(env, stopAll, nullptr);
    Watch::run(watch);
    watches.emplace(nextId, std::move(watch));
    return fromInteger(env, nextId++);
  });
}

// closeWatch(id): for the others this process then falls silent
napi_value closeWatch(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    const auto [id] = arguments<1>(env, info);
    watchAt(env, id).stop();
    watches.erase(toInteger(env, id, "a watch"));
    return undefinedValue(env);
  });
}

// watchSay(id, words): what the others read from now on
napi_value watchSay(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    const auto [id, words] = arguments<2>(env, info);
    watchAt(env, id).say(toString(env, words));
    return undefinedValue(env);
  });
}

// watchFail(id, reason, milliseconds to tell it): the first reason of any process is what all read
napi_value watchFail(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    const auto [id, reason, milliseconds] = arguments<3>(env, info);
    watchAt(env, id).fail(toString(env, reason), std::chrono::milliseconds(toInteger(env, milliseconds, "milliseconds")));
    return undefinedValue(env);
  });
}

// watchState(id) -> [seconds since the store answered, failure or "", whether another process has this rank, seconds since each process
// was heard, words of each]
napi_value watchState(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    const auto [id] = arguments<1>(env, info);
    return watchAt(env, id).state(env);
  });
}

}  // namespace addon

#endif
