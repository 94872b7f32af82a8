// Work shared out among libtorch's own threads, whichever compiler makes the addon.
//
// at::parallel_for is a template: its loop runs on the threads of the OpenMP that the addon is compiled with, and on one thread
// without. With GCC that is the OpenMP which libtorch has brought along; clang comes with another one, whose threads would
// compete with libtorch's for the processors. So the addon is compiled without, and asks the runtime that is there.
#pragma once

#include <cstdint>
#include <functional>

namespace addon {

// Calls body(begin, end) for parts that make up 0 <= i < count, on no more threads than at::get_num_threads() says, nor than there
// are parts of `grain`. at::get_thread_num() tells the threads apart. What a body throws comes out here.
void parallelFor(int64_t count, int64_t grain, const std::function<void(int64_t begin, int64_t end)>& body);

}  // namespace addon
