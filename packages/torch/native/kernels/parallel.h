// Work divided among libtorch's own threads, whichever compiler builds the addon.
//
// at::parallel_for is a template: its loop runs on the threads of the OpenMP that the addon is compiled with, and on one thread
// without. With GCC that is the OpenMP that libtorch uses; clang has another one, whose threads would
// compete with libtorch's for the processors. So the addon is compiled without, and calls the runtime already loaded.
#pragma once

#include <cstdint>
#include <functional>

namespace addon {

// Calls body(begin, end) for parts that make up 0 <= i < count, on at most at::get_num_threads() threads, and at most one per
// part of `grain`. at::get_thread_num() identifies the threads. Exceptions of a body are rethrown here.
void parallelFor(int64_t count, int64_t grain, const std::function<void(int64_t begin, int64_t end)>& body);

}  // namespace addon
