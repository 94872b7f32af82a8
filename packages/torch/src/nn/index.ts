export { attention } from "./attention.js";
export { ModuleDict } from "./containers.js";
export { Conv2d, type Conv2dOptions, conv3x3 } from "./conv.js";
export { Embedding } from "./embedding.js";
export { FlatParameters, type PlacedParameter } from "./flat.js";
export {
  type Fans,
  type Initializer,
  kaimingNormal,
  kaimingUniform,
  torchDefault,
  xavierNormal,
  xavierUniform,
  zerosInitializer,
} from "./init.js";
export { Linear, type LinearOptions } from "./linear.js";
export { Module, type StateDict } from "./module.js";
export {
  type DropoutMask,
  GroupNorm,
  type GroupNormExtras,
  type GroupNormOptions,
  type Modulation,
} from "./normalization.js";
export { type Part, Recomputation } from "./recomputation.js";
export { scaledAdd_ } from "./residual.js";
