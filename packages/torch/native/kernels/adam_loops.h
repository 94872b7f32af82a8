// The loop of adam_, one implementation per instruction set.
#pragma once

#include <cstdint>

#include "every_instruction_set.h"

namespace addon {

// The constants of one step, the same for all parameters.
struct AdamStep {
  float shrink;         // of the parameter, for weight decay; 1 for none
  float beta1, beta2;
  float newWeight1, newWeight2;  // 1 - beta, which would have only 5 correct digits if computed from float32 betas
  float stepSize;       // lr over the bias correction of the first moment
  float root;           // of the bias correction of the second moment
  float eps;
  float averageWeight;  // of the new parameter in the average
};

// `average` may be null.
using AdamLoop = void (*)(const AdamStep&, float* values, const float* gradients, float* expAvg, float* expAvgSq, float* average,
                          int64_t count);

FOR_EVERY_INSTRUCTION_SET(AdamLoop adamLoop())

}  // namespace addon
