// Memory for what kernels compute in between. Loops get it passed in: what is compiled for one processor must not hold
// functions of the standard library, of which the linker keeps one for all (CMakeLists.txt).
//
// It stays from call to call: tens of megabytes that come and go between activations would leave holes in the heap that nothing
// fits into. It belongs to the thread that calls the kernel, and grows to what the largest layer needs.
#pragma once

#include <ATen/Parallel.h>

#include <cstdint>

namespace addon {

// One kernel may need all of them at a time.
enum class Scratch { threads, weights, sums };

// Memory for so many numbers, whose values are unknown.
float* scratch(Scratch purpose, int64_t floats);

// A piece for each thread of a parallelFor.
class ScratchPerThread {
 public:
  explicit ScratchPerThread(int64_t floats)
      : stride_((floats + kLine - 1) / kLine * kLine), memory_(scratch(Scratch::threads, stride_ * at::get_num_threads())) {}

  float* ofThisThread() const { return memory_ + at::get_thread_num() * stride_; }

 private:
  static constexpr int64_t kLine = 16;  // floats in a line of the cache, which no two threads are to share

  const int64_t stride_;
  float* const memory_;
};

// Frees what this thread's kernels have kept.
void releaseScratch();

// From now on every piece is handed out full of NaNs, for tests: a kernel that reads what it has not written shows it.
void poisonScratch();

}  // namespace addon
