#pragma once

#include <ATen/core/Generator.h>

#include <cstdint>

namespace addon {

const at::Generator& generatorAt(int64_t id);  // throws UsageError when it was released

}  // namespace addon
