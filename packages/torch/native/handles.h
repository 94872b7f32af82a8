// Tensors are slots: JavaScript holds an integer, this table holds the at::Tensor.
// A handle is generation * 2^24 + slot. The generation grows when a slot is freed, so a handle is never valid twice.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace addon {

using Handle = int64_t;

struct MemoryUse {
  int64_t tensors;  // live handles
  int64_t bytes;    // storage behind them, shared storage counted once
};

Handle insertTensor(at::Tensor tensor);
const at::Tensor& tensorAt(Handle handle);  // throws UsageError when the handle was released
bool isLive(Handle handle);
void releaseTensor(Handle handle);  // a handle that was released before is ignored
MemoryUse memoryUse();

}  // namespace addon
