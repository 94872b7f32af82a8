// Compiled once per instruction set, with INSTRUCTION_SET naming the namespace.
#include "residual_loops.h"

#include "vector.h"

namespace addon {
namespace INSTRUCTION_SET {
namespace {

template <class T>
void scaledAdd(T* a, const T* b, float scale, int64_t count) {
  int64_t i = 0;
  for (; i + kWidth <= count; i += kWidth) store(a + i, (load(a + i) + load(b + i)) * scale);
  if (i < count) store(a + i, (load(a + i, count - i) + load(b + i, count - i)) * scale, count - i);
}

}  // namespace

ResidualKernels residualKernels() { return {scaledAdd<float>, scaledAdd<c10::BFloat16>}; }

}  // namespace INSTRUCTION_SET
}  // namespace addon
