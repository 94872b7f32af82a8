// Properties and settings of this libtorch, devices, and interrupts that must be noticed while JavaScript is busy.
#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <c10/util/Flags.h>
#include <torch/csrc/api/include/torch/cuda.h>
#include <torch/csrc/api/include/torch/version.h>

#ifdef LIBTORCH_COUNTS_DEVICE_MEMORY
#include <c10/core/CachingDeviceAllocator.h>
#endif

#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <errno.h>
#include <signal.h>
#include <sys/file.h>
#include <unistd.h>

#include <atomic>

#include "addon.h"
#include "convert.h"
#include "kernels/instruction_set.h"
#include "kernels/scratch.h"

// libtorch's own switch, which no header declares: new memory of tensors is filled with a pattern that is NaN in float32.
C10_DECLARE_bool(caffe2_cpu_allocator_do_junk_fill);

namespace addon {
namespace {

// Not at::hasCUDA(): on a machine without a GPU, that is false for every libtorch.
#ifdef LIBTORCH_WITH_CUDA
constexpr bool builtWithCuda = true;
#else
constexpr bool builtWithCuda = false;
#endif

constexpr int kInterrupts[] = {SIGINT, SIGTERM, SIGHUP, SIGUSR1};
constexpr int kInterruptKinds = sizeof kInterrupts / sizeof *kInterrupts;

std::atomic<int> interruptCount{0};
std::atomic<int> firstInterrupt{0};
// Of the first that counts, by the monotonic clock plus one, so that 0 is none.
std::atomic<int64_t> interruptedAt{0};
constexpr int64_t kRepeatSeconds = 3;

// Only async-signal-safe calls here. A second interrupt does not wait for a step that may take minutes. A closing terminal
// sends SIGHUP several times, a scheduler SIGUSR1 before its deadline, and SIGTERM may follow either: none of them is a second
// request by the user. Nor is a SIGTERM right after another: timeout(1) and schedulers send it to the process and to its group.
extern "C" void onInterrupt(int signal) {
  int none = 0;
  firstInterrupt.compare_exchange_strong(none, signal);
  if (signal == SIGHUP || signal == SIGUSR1) return;
  timespec now = {};
  clock_gettime(CLOCK_MONOTONIC, &now);
  int64_t seconds = 0;
  const bool isFirst = interruptedAt.compare_exchange_strong(seconds, now.tv_sec + 1);
  const bool isRepeated = signal == SIGTERM && !isFirst && now.tv_sec + 1 - seconds < kRepeatSeconds;
  if (isRepeated || interruptCount.fetch_add(1) == 0) return;
  const char message[] = "\ninterrupted twice: stopped at once\n";
  if (write(STDERR_FILENO, message, sizeof message - 1) < 0) {
  }
  _exit(128 + signal);
}

struct sigaction previousActions[kInterruptKinds];
bool isCaught[kInterruptKinds] = {};

void set(napi_env env, napi_value object, const char* name, napi_value value) {
  check(env, napi_set_named_property(env, object, name, value), "a property");
}

}  // namespace

// environment() -> { version, threads, instructionSet, cudaBuilt, cudaDevices, oneDnn, build }
napi_value environment(napi_env env, napi_callback_info) {
  return guarded(env, [&] {
    napi_value object;
    check(env, napi_create_object(env, &object), "an object");
    set(env, object, "version", fromString(env, TORCH_VERSION));
    set(env, object, "threads", fromInteger(env, at::get_num_threads()));
    set(env, object, "instructionSet", fromString(env, nameOf(instructionSet())));
    set(env, object, "cudaBuilt", fromBool(env, builtWithCuda));
    set(env, object, "cudaDevices", fromInteger(env, static_cast<int64_t>(torch::cuda::device_count())));
    set(env, object, "oneDnn", fromBool(env, at::hasMKLDNN()));
    set(env, object, "build", fromString(env, at::show_config()));
    return object;
  });
}

// setConvolutions(autotune, allowTf32): how cuDNN convolves from now on
napi_value setConvolutions(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    const auto [autotune, allowTf32] = arguments<2>(env, info);
    at::globalContext().setBenchmarkCuDNN(toBool(env, autotune, "a boolean"));
    at::globalContext().setAllowTF32CuDNN(toBool(env, allowTf32, "a boolean"));
    return undefinedValue(env);
  });
}

namespace {

// The device of that name, with a number; empty for one that works synchronously.
c10::optional<c10::Device> queued(napi_env env, napi_value name) {
  const c10::Device device(toString(env, name));
  if (!device.is_cuda()) return {};
  return c10::Device(device.type(), device.has_index() ? device.index() : c10::DeviceIndex{0});
}

}  // namespace

// synchronize(device): waits until the device has finished its queued work
napi_value synchronize(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    const auto [name] = arguments<1>(env, info);
    if (const auto device = queued(env, name)) torch::cuda::synchronize(device->index());
    return undefinedValue(env);
  });
}

// deviceMemory(device, resetPeak) -> [bytes of live tensors, the most since the peak was reset, bytes held], or null where libtorch
// does not count; then resets the peak if requested
napi_value deviceMemory(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    const auto [name, resetPeak] = arguments<2>(env, info);
#ifdef LIBTORCH_COUNTS_DEVICE_MEMORY
    if (const auto device = queued(env, name)) {
      auto* allocator = c10::getDeviceAllocator(device->type());
      if (!allocator->initialized()) return fromIntegers(env, {0, 0, 0});
      const auto stats = allocator->getDeviceStats(device->index());
      if (toBool(env, resetPeak, "a boolean")) allocator->resetPeakStats(device->index());
      return fromIntegers(env, {stats.allocated_bytes[0].current, stats.allocated_bytes[0].peak, stats.reserved_bytes[0].current});
    }
#endif
    napi_value none;
    check(env, napi_get_null(env, &none), "null");
    return none;
  });
}

// setThreads(count)
napi_value setThreads(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    const auto [count] = arguments<1>(env, info);
    at::set_num_threads(static_cast<int>(toInteger(env, count, "a number of threads")));
    return undefinedValue(env);
  });
}

// keepFreeMemory(): from now on, memory freed anywhere in this process is kept by it
napi_value keepFreeMemory(napi_env env, napi_callback_info) {
  return guarded(env, [&] {
#ifdef __GLIBC__
    // Activations are megabytes and come back every step. By default glibc maps and unmaps each of them, and the kernel
    // zeroes the pages every time; kept on the heap they are reused.
    mallopt(M_MMAP_MAX, 0);
    mallopt(M_TRIM_THRESHOLD, -1);
#endif
    return undefinedValue(env);
  });
}

// releaseFreeMemory(): returns memory to the system, including the kernels' scratch memory
napi_value releaseFreeMemory(napi_env env, napi_callback_info) {
  return guarded(env, [&] {
    releaseScratch();
#ifdef __GLIBC__
    malloc_trim(0);
#endif
    return undefinedValue(env);
  });
}

// poisonMemory(): from now on, uninitialised tensors and the kernels' scratch memory hold NaNs, for tests
napi_value poisonMemory(napi_env env, napi_callback_info) {
  return guarded(env, [&] {
    FLAGS_caffe2_cpu_allocator_do_junk_fill = true;
    poisonScratch();
    return undefinedValue(env);
  });
}

// catchInterrupts(enabled, hangups): from now on SIGINT, SIGTERM, SIGUSR1 and, if hangups is true, SIGHUP are counted, and the
// second SIGINT or SIGTERM ends the process; false restores the default
napi_value catchInterrupts(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    const auto [enabled, hangups] = arguments<2>(env, info);
    const bool enable = toBool(env, enabled, "a boolean");
    const bool withHangups = toBool(env, hangups, "a boolean");
    if (enable) interruptCount = firstInterrupt = 0, interruptedAt = 0;
    struct sigaction action = {};
    action.sa_handler = onInterrupt;
    action.sa_flags = SA_RESTART;
    sigemptyset(&action.sa_mask);
    for (int i = 0; i < kInterruptKinds; ++i) {
      const bool isWanted = enable && (kInterrupts[i] != SIGHUP || withHangups);
      if (isWanted && !isCaught[i]) sigaction(kInterrupts[i], &action, &previousActions[i]);
      if (!isWanted && isCaught[i]) sigaction(kInterrupts[i], &previousActions[i], nullptr);
      isCaught[i] = isWanted;
    }
    return undefinedValue(env);
  });
}

// interrupt() -> the number of the first signal that has arrived, 0 for none
napi_value interrupt(napi_env env, napi_callback_info) {
  return guarded(env, [&] { return fromInteger(env, firstInterrupt.load()); });
}

// lockFile(descriptor) -> whether this process now holds the file's lock; the system releases it when the descriptor is closed, also
// at the end of the process, however it ends
napi_value lockFile(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    const auto [descriptor] = arguments<1>(env, info);
    const int file = static_cast<int>(toInteger(env, descriptor, "a descriptor"));
    // A file system without locks must not prevent training.
    return fromBool(env, flock(file, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK);
  });
}

}  // namespace addon
