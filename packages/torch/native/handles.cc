#include "handles.h"

#include <unordered_set>
#include <vector>

#include "guard.h"

namespace addon {
namespace {

constexpr int kSlotBits = 24;
constexpr Handle kSlotMask = (Handle{1} << kSlotBits) - 1;
constexpr Handle kLastGeneration = (Handle{1} << (53 - kSlotBits)) - 1;  // handles stay exact as JavaScript numbers

struct Slot {
  at::Tensor tensor;
  Handle generation = 0;
  bool live = false;
};

struct Table {
  std::vector<Slot> slots;
  std::vector<Handle> free;
  int64_t live = 0;
};

// Never destroyed: at process exit libtorch's own statics may be destroyed before ours.
Table& table() {
  static Table* instance = new Table;
  return *instance;
}

Slot* find(Handle handle) {
  auto& slots = table().slots;
  const Handle index = handle & kSlotMask;
  if (handle < 0 || index >= static_cast<Handle>(slots.size())) return nullptr;
  Slot& slot = slots[index];
  return slot.live && slot.generation == handle >> kSlotBits ? &slot : nullptr;
}

}  // namespace

Handle insertTensor(at::Tensor tensor) {
  Table& all = table();
  Handle index;
  if (all.free.empty()) {
    index = static_cast<Handle>(all.slots.size());
    if (index > kSlotMask) throw UsageError("more than 16,777,216 live tensors: dispose some, or use scope()");
    all.slots.emplace_back();
  } else {
    index = all.free.back();
    all.free.pop_back();
  }
  Slot& slot = all.slots[index];
  slot.tensor = std::move(tensor);
  slot.live = true;
  ++all.live;
  return (slot.generation << kSlotBits) | index;
}

const at::Tensor& tensorAt(Handle handle) {
  const Slot* slot = find(handle);
  if (!slot) throw UsageError("the tensor was disposed: it was used after its scope() ended or after dispose()");
  return slot->tensor;
}

bool isLive(Handle handle) { return find(handle) != nullptr; }

void releaseTensor(Handle handle) {
  Slot* slot = find(handle);
  if (!slot) return;
  // The tensor is destroyed last: its destructor may run arbitrary code (autograd nodes), and the table must be consistent by then.
  at::Tensor dying = std::move(slot->tensor);
  slot->tensor = at::Tensor();
  slot->live = false;
  --table().live;
  if (slot->generation < kLastGeneration) {
    ++slot->generation;
    table().free.push_back(handle & kSlotMask);
  }
}

MemoryUse memoryUse() {
  MemoryUse use{table().live, 0};
  std::unordered_set<const void*> counted;
  for (const Slot& slot : table().slots) {
    if (!slot.live || !slot.tensor.defined() || !slot.tensor.has_storage()) continue;
    const auto& storage = slot.tensor.storage();
    if (counted.insert(storage.unsafeGetStorageImpl()).second) use.bytes += static_cast<int64_t>(storage.nbytes());
  }
  return use;
}

}  // namespace addon
