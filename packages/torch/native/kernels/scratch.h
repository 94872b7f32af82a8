// Memory for intermediate results of kernels. It is passed in to the loops: code compiled for one processor must not contain
// functions of the standard library, of which the linker keeps one copy for all (CMakeLists.txt).
//
// It is kept from call to call: allocating and freeing tens of megabytes between activations would leave holes in the heap that
// nothing fits into. It belongs to the thread that calls the kernel, and grows to the size that the largest layer needs.
#pragma once

#include <ATen/Parallel.h>

#include <cstdint>

namespace addon {

// One kernel may need all of them at the same time.
enum class Scratch { threads, weights, sums };

// Memory for `floats` numbers, uninitialised.
float* scratch(Scratch purpose, int64_t floats);

// A buffer for each thread of a parallelFor.
class ScratchPerThread {
 public:
  explicit ScratchPerThread(int64_t floats)
      : stride_((floats + kLine - 1) / kLine * kLine), memory_(scratch(Scratch::threads, stride_ * at::get_num_threads())) {}

  float* ofThisThread() const { return memory_ + at::get_thread_num() * stride_; }

 private:
  static constexpr int64_t kLine = 16;  // floats in a cache line, which no two threads should share

  const int64_t stride_;
  float* const memory_;
};

// Frees the memory kept for this thread's kernels.
void releaseScratch();

// From now on every buffer is filled with NaNs, for tests: a kernel that reads uninitialised memory then shows it.
void poisonScratch();

}  // namespace addon
