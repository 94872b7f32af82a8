/**
 * Train, sample and explain diffusion models with the Stable Target Field objective. The letters in shapes are those of
 * [docs/notation.md](../../../docs/notation.md).
 *
 * @module stf
 */

export {
  applyAugmentation,
  flipsOf,
  isFlipOnly,
  transformWith,
} from "./augmentation/apply.js";
export { augmentationLabels, augmentDim } from "./augmentation/labels.js";
export {
  type AugmentationParameters,
  drawAugmentation,
  drawTransform,
  noTransform,
  type RandomSource,
  type Transform,
  transformOf,
} from "./augmentation/parameters.js";
export type { Flips } from "./augmentation/permutation.js";
export {
  type Augmentation,
  type AugmentationOptions,
  type AugmentationSettings,
  type AugmentationStrengths,
  augmentationSettings,
  augmentations,
  trainingMultipliers,
} from "./augmentation/settings.js";
export type { ConfigOverrides } from "./checkpoints/config.js";
export { type ImportedNetwork, importNetwork } from "./checkpoints/import.js";
export { type Checkpoint, readCheckpoint, type Which } from "./checkpoints/read.js";
export type { Construction } from "./checkpoints/stored-network.js";
export { type Transferred, transferWeights } from "./checkpoints/transfer.js";
export type { Bank, ImageShape } from "./data/bank.js";
export { readIdxImages } from "./data/idx.js";
export { ImageBank, normalize } from "./data/image-bank.js";
export type { OnProgress } from "./data/images.js";
export { classCount } from "./data/labels.js";
export { withMirrorImages } from "./data/mirror.js";
export { nearestDistances } from "./data/neighbours.js";
export { type DatasetOptions, openDataset } from "./data/open.js";
export { DataOrder, drawPool } from "./data/order.js";
export {
  checkerboard,
  type GaussianComponent,
  gaussianMixture,
  ringOfGaussians,
  swissRoll,
  type ToyDistribution,
  toyBank,
  twoGaussians,
} from "./data/toy.js";
export { VectorBank } from "./data/vector-bank.js";
export {
  type Architecture,
  architectures,
  defaultSizes,
  type NetworkSize,
  type PreconditioningName,
  preconditionings,
} from "./networks/architectures.js";
export { buildDenoiser, type NetworkConfig } from "./networks/build.js";
export { Denoiser, type Precision } from "./networks/denoiser.js";
export { DhariwalUNet } from "./networks/dhariwal-unet.js";
export { FourierEmbedding, PositionalEmbedding } from "./networks/embedding.js";
export { Mlp, type MlpOptions } from "./networks/mlp.js";
export { type Conditions, DropoutKeys, type Network, oneHot } from "./networks/network.js";
export {
  type Coefficients,
  edmPreconditioning,
  flowPreconditioning,
  iddpmPreconditioning,
  nearestLevel,
  type Preconditioning,
  subVpPreconditioning,
  vePreconditioning,
  vpPreconditioning,
} from "./networks/precondition.js";
export type { Resampling } from "./networks/resample.js";
export { SongUNet, type SongUNetOptions } from "./networks/song-unet.js";
export {
  type BlockDropout,
  type BlockOptions,
  type BlockStyle,
  type Initializers,
  UNetBlock,
  type UNetOptions,
} from "./networks/unet-block.js";
export { logNormalLevels, type NoiseLevels, oneOfLevels, uniformTimes } from "./processes/noise-levels.js";
export { convertOutput, type Output } from "./processes/outputs.js";
export {
  type BetaOptions,
  edmProcess,
  flowProcess,
  type Process,
  subVpProcess,
  veProcess,
  vpProcess,
} from "./processes/process.js";
export { KeyedRandom, type Purpose, randomKey } from "./random/keyed.js";
export { InputError, UsageError } from "./run/errors.js";
export type { Statistic, StatsLine } from "./run/format.js";
export { denoiseWith, type GenerateOptions, generateImages, toBytes } from "./sampling/generate.js";
export { type Churn, type HeunOptions, heun } from "./sampling/heun.js";
export { SeededNoise } from "./sampling/noise.js";
export type { Denoise, Sampler, SamplerOptions, StepReport } from "./sampling/sampler.js";
export { type KarrasOptions, karrasSteps } from "./sampling/steps.js";
export { augmentedTarget, type IsNeeded, type StepReferences } from "./targets/augmented.js";
export { denoisingTarget } from "./targets/denoising.js";
export { exactTarget } from "./targets/exact.js";
export {
  type ClassMembers,
  classMembers,
  drawReferences,
  type ReferenceOptions,
  type References,
  targetFrom,
} from "./targets/references.js";
export { type StableFieldOptions, stableFieldTarget } from "./targets/stable-field.js";
export { type PerturbedBatch, type ReferenceSet, selectSamples, type Target } from "./targets/target.js";
export { posteriorWindow, sigmaRange } from "./targets/window.js";
export {
  loadSnapshot,
  loadState,
  type SavedState,
  type Snapshot,
  saveNetwork,
  saveSnapshot,
  saveState,
} from "./training/checkpoint.js";
export {
  type LoopHooks,
  type LoopOptions,
  type LoopResult,
  type Progress,
  trainingLoop,
} from "./training/loop.js";
export { emaDecay, learningRate } from "./training/schedules.js";
export { disposeState, initialState, type TrainingState } from "./training/state.js";
export {
  DivergenceError,
  perturb,
  type StepLoss,
  type TrainingData,
  type TrainingSettings,
  trainingStep,
} from "./training/step.js";
export { type ReferenceData, type StepTargets, stepTargets, type TargetSettings } from "./training/targets.js";
