// What the files about several processes share: libtorch's c10d, where this libtorch and its headers have it.
#pragma once

#ifdef WITH_GLOO

#include <ATen/core/Tensor.h>
#include <torch/version.h>
#if TORCH_VERSION_MAJOR >= 2
#include <torch/csrc/distributed/c10d/Backend.hpp>
#else
#include <torch/csrc/distributed/c10d/ProcessGroup.hpp>
#endif
#include <torch/csrc/distributed/c10d/Work.hpp>

#include <cstdint>

namespace addon {

#if TORCH_VERSION_MAJOR >= 2
using GroupBase = c10d::Backend;
#else
using GroupBase = c10d::ProcessGroup;
#endif

using Work = c10::intrusive_ptr<c10d::Work>;

GroupBase& groupAt(int64_t id);                           // throws UsageError when the group is not connected or was released
Work allReduceSum(GroupBase& group, at::Tensor tensor);   // in place
bool finished(const Work& work);                          // throws what the work failed with

}  // namespace addon

#endif
