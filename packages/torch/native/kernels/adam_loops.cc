// Compiled once per instruction set, with INSTRUCTION_SET naming the namespace.
#include "adam_loops.h"

#include <algorithm>
#include <cmath>

#include "vector.h"

namespace addon {
namespace INSTRUCTION_SET {
namespace {

inline Vector squareRoot(Vector x) {
  for (int64_t i = 0; i < kWidth; ++i) x[i] = std::sqrt(x[i]);
  return x;
}

void adam(const AdamStep& step, float* values, const float* gradients, float* expAvg, float* expAvgSq, float* average, int64_t count) {
  for (int64_t i = 0; i < count; i += kWidth) {
    const int64_t lanes = std::min(kWidth, count - i);
    const Vector gradient = load(gradients + i, lanes);
    const Vector first = load(expAvg + i, lanes) * step.beta1 + gradient * step.newWeight1;
    const Vector second = load(expAvgSq + i, lanes) * step.beta2 + gradient * gradient * step.newWeight2;
    const Vector value = load(values + i, lanes) * step.shrink - step.stepSize * first / (squareRoot(second) / step.root + step.eps);
    store(expAvg + i, first, lanes);
    store(expAvgSq + i, second, lanes);
    store(values + i, value, lanes);
    if (!average) continue;
    // Interpolated from the nearer end: with a weight of 1 the average equals the value to the last bit.
    const Vector old = load(average + i, lanes);
    const float weight = step.averageWeight;
    store(average + i, weight < 0.5f ? old + weight * (value - old) : value - (1 - weight) * (value - old), lanes);
  }
}

}  // namespace

AdamLoop adamLoop() { return adam; }

}  // namespace INSTRUCTION_SET
}  // namespace addon
