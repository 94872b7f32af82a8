#include "parallel.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <atomic>
#include <exception>

// The function that GCC compiles "#pragma omp parallel" to: calls function(data) on every thread of a team, of the default size if
// `threads` is 0. LLVM's and Intel's OpenMP also have it, for programs compiled with GCC. Weak: a libtorch without OpenMP has none.
extern "C" {
__attribute__((weak)) void GOMP_parallel(void (*function)(void*), void* data, unsigned threads, unsigned flags);
__attribute__((weak)) int omp_get_thread_num();
__attribute__((weak)) int omp_get_num_threads();
}

namespace addon {
namespace {

struct Work {
  const int64_t count, grain;
  const std::function<void(int64_t, int64_t)>& body;
  std::atomic_flag hasFailed = ATOMIC_FLAG_INIT;
  std::exception_ptr failure = nullptr;  // the first one
};

// The part of this thread of the team.
void runPart(void* data) {
  Work& work = *static_cast<Work*>(data);
  const auto quotientUp = [](int64_t dividend, int64_t divisor) { return (dividend + divisor - 1) / divisor; };
  const int64_t parts = std::min<int64_t>(omp_get_num_threads(), quotientUp(work.count, work.grain));
  const int64_t part = omp_get_thread_num(), size = quotientUp(work.count, parts), begin = part * size;
  if (begin >= work.count) return;
  try {
    const at::internal::ThreadIdGuard guard(static_cast<int>(part));
    work.body(begin, std::min(begin + size, work.count));
  } catch (...) {
    if (!work.hasFailed.test_and_set()) work.failure = std::current_exception();
  }
}

}  // namespace

void parallelFor(int64_t count, int64_t grain, const std::function<void(int64_t begin, int64_t end)>& body) {
  if (!GOMP_parallel) return at::parallel_for(0, count, grain, body);
  if (count <= 0) return;
  if (count <= grain || at::in_parallel_region() || at::get_num_threads() == 1) {
    const at::internal::ThreadIdGuard guard(0);
    return body(0, count);
  }
  Work work{count, grain, body};
  GOMP_parallel(runPart, &work, 0, 0);
  if (work.failure) std::rethrow_exception(work.failure);
}

}  // namespace addon
