/**
 * Tensors, automatic differentiation, networks and optimizers: libtorch from TypeScript. Names are PyTorch's in
 * camelCase. Functions and methods whose description is a schema are operators of libtorch: PyTorch's documentation
 * describes them.
 *
 * @module @stf/torch
 */

export { enableGrad, type GradOptions, grad, noGrad } from "./autograd.js";
export { arange, full, type TensorOptions, tensor } from "./create.js";
export * from "./distributed/index.js";
export {
  type Device,
  type DType,
  dtypeOfArray,
  elementSize,
  type MemoryFormat,
  type Scalar,
  type TypedArray,
  type TypedArrays,
} from "./dtype.js";
export * from "./engine.js";
export { EngineUnavailableError, FileFormatError, isOutOfMemory, ShapeError, TorchError } from "./errors.js";
export { mapFile } from "./mapped-file.js";
export * from "./nn/index.js";
export * from "./operators.js";
export { Adam, type AdamOptions } from "./optim/adam.js";
export { clipGradientNorm, gradientNorm } from "./optim/clip.js";
export { ExponentialMovingAverage } from "./optim/ema.js";
export { Generator, keyedNormal, manualSeed, rngState, setRngState } from "./random.js";
export { affineResample, LONGEST_RESAMPLED_SIDE } from "./resample.js";
export {
  type PointsOnRays,
  type RowSketch,
  relativeSquaredDistances,
  rowPosteriorMean,
  sketchRows,
  weightedRowSum,
} from "./rows.js";
export { type Frame, keep, type MemoryUse, memory, type Synchronous, scope, type Tracked } from "./scope.js";
export { syncFolder, writeAll, writeFileAtomically } from "./serialization/atomic-file.js";
export { inOrderOfC, NumpyArray, numpyNames } from "./serialization/numpy.js";
export {
  InertClass,
  InertObject,
  type PickleCallable,
  type PickleObject,
  type PickleOptions,
  type PickleValue,
  pickleText,
  readPickle,
} from "./serialization/pickle.js";
export {
  isSafetensors,
  loadSafetensors,
  readSafetensorsMetadata,
  type SafetensorsContent,
  saveSafetensors,
} from "./serialization/safetensors.js";
export { StoredTensor } from "./serialization/stored-tensor.js";
export { type TorchContent, type TorchFileOptions, withTorchFile } from "./serialization/torch-file.js";
export { checkShape, elementCount, formatShape, type ShapePattern } from "./shape.js";
export { type BackwardOptions, type NestedArray, Tensor } from "./tensor.js";
