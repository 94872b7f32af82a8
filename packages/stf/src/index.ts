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
export { publishedPreconditioning } from "./checkpoints/wrappers.js";
export { column } from "./column.js";
export type { Field, Fields, Values } from "./config/fields.js";
export { type GenerateCommandOptions, generateFields } from "./config/generate-options.js";
export type { GenerateRequest } from "./config/generate-request.js";
export { type ImportOptions, importFields } from "./config/import-options.js";
export type { ImportRequest } from "./config/import-request.js";
export { type LikelihoodCommandOptions, likelihoodFields } from "./config/likelihood-options.js";
export type { LikelihoodRequest } from "./config/likelihood-request.js";
export type { ResolvedOptions } from "./config/resolved-options.js";
export { type Preset, type PresetName, presets, type TrainOptions, trainFields } from "./config/train-options.js";
export type { TrainRequest } from "./config/train-request.js";
export type { Bank, ImageShape } from "./data/bank.js";
export { digestOfImages } from "./data/digest.js";
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
export { imagesOf } from "./images/bytes.js";
export { writeGrid, writePng } from "./images/png.js";
export { type JobContext, jobContext, type Reporter, Stopped, silentReporter } from "./jobs/context.js";
export { type GenerateResult, generate } from "./jobs/generate.js";
export { type ImportResult, importCheckpoint } from "./jobs/import.js";
export {
  type LikelihoodErrors,
  type LikelihoodProtocol,
  type LikelihoodResult,
  likelihood,
} from "./jobs/likelihood.js";
export { formatProgress, runTraining, type TrainResult, train } from "./jobs/train.js";
export { planTraining, type TrainingPlan } from "./jobs/training-plan.js";
export {
  type Architecture,
  architectures,
  defaultSizes,
  type NetworkSize,
  type Precision,
  precisions,
} from "./networks/architectures.js";
export { type BuildOptions, buildDenoiser, type NetworkConfig } from "./networks/build.js";
export { Denoiser } from "./networks/denoiser.js";
export { DhariwalUNet } from "./networks/dhariwal-unet.js";
export { FourierEmbedding, PositionalEmbedding } from "./networks/embedding.js";
export { Mlp, type MlpOptions } from "./networks/mlp.js";
export { type Conditions, DropoutKeys, type Network, oneHot } from "./networks/network.js";
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
export type { Constants } from "./preconditioning/constants.js";
export { type EdmConstants, edmPreconditioning } from "./preconditioning/edm.js";
export { type FlowConstants, flowPreconditioning } from "./preconditioning/flow.js";
export {
  type IddpmPreconditioningConstants,
  iddpmPreconditioning,
  nearestLevel,
} from "./preconditioning/iddpm.js";
export type { Coefficients, Preconditioning } from "./preconditioning/preconditioning.js";
export {
  type NamedPreconditioning,
  type PreconditioningName,
  preconditioningNames,
  preconditioningOf,
  preconditionings,
} from "./preconditioning/table.js";
export { type VeConstants, vePreconditioning } from "./preconditioning/ve.js";
export { subVpPreconditioning, type VpConstants, vpPreconditioning } from "./preconditioning/vp.js";
export { type IddpmConstants, iddpmLevels } from "./processes/iddpm-levels.js";
export {
  logNormalLevels,
  type NoiseLevels,
  oneOfLevels,
  uniformTimes,
  uniformTimesWithin,
} from "./processes/noise-levels.js";
export { type Affine, affineForm, convertOutput, type Output } from "./processes/outputs.js";
export {
  type BetaOptions,
  type ChainStep,
  type DiscreteProcess,
  edmProcess,
  flowProcess,
  type Process,
  subVpProcess,
  veProcess,
  vpProcess,
} from "./processes/process.js";
export {
  type NoiseRange,
  type Scaling,
  type Schedule,
  scalings,
  scheduledProcess,
  schedules,
  vpProcessBetween,
} from "./processes/schedules.js";
export { KeyedRandom, type Purpose, randomKey } from "./random/keyed.js";
export { InputError, UsageError } from "./run/errors.js";
export type { Statistic, StatsLine } from "./run/format.js";
export type { Rank } from "./run/ranks.js";
export { addNoise, type Churn, type Churned, type ChurnOptions } from "./sampling/churn.js";
export { type Corrector, type CorrectorName, type CorrectorState, correctors } from "./sampling/correctors.js";
export { type DpmSolverOptions, dpmSolver, sdeDpmSolver } from "./sampling/dpm-solver.js";
export { euler } from "./sampling/euler.js";
export {
  denoiseWith,
  edmMethod,
  type GenerateOptions,
  type Guidance,
  generateImages,
  type Method,
  methodOf,
  SamplingError,
  toBytes,
} from "./sampling/generate.js";
export { guided } from "./sampling/guidance.js";
export { type HeunOptions, heun } from "./sampling/heun.js";
export { denoiseKnowing, type KnownPart, knownGrey, knownPixels, withPart } from "./sampling/known-part.js";
export {
  bitsPerDimension,
  dequantize,
  type LikelihoodOptions,
  type LogDensity,
  logDensity,
} from "./sampling/likelihood.js";
export { drawnClasses, SeededNoise } from "./sampling/noise.js";
export { type PredictorCorrectorOptions, predictorCorrector } from "./sampling/predictor-corrector.js";
export {
  type Predictor,
  type PredictorName,
  predictors,
  type ReverseState,
  type ReverseStep,
} from "./sampling/predictors.js";
export { type Rk45Options, rk45 } from "./sampling/rk45.js";
export {
  type ButcherTableau,
  dormandPrince,
  type Integrated,
  type IntegrateOptions,
  IntegrationError,
  integrate,
  type Tolerances,
} from "./sampling/runge-kutta.js";
export {
  type Denoise,
  denoiseAt,
  estimateAt,
  forEachImage,
  type PerImage,
  type Sampler,
  type SamplerOptions,
  type StepReport,
  type TimeSteps,
} from "./sampling/sampler.js";
export {
  type Discretization,
  type DiscretizationName,
  type DiscretizationOptions,
  discretizationNames,
  discretizations,
  discretizationsWith,
  evenSteps,
  type KarrasOptions,
  karrasSteps,
  timeSteps,
} from "./sampling/steps.js";
export { augmentedTarget, type StepReferences, targetFrom } from "./targets/augmented.js";
export { denoisingTarget } from "./targets/denoising.js";
export { exactTarget } from "./targets/exact.js";
export {
  effectiveSampleSize,
  type Posterior,
  type PosteriorOptions,
  posterior,
  posteriorEntropy,
  posteriorWeight,
} from "./targets/posterior.js";
export {
  type ClassMembers,
  classMembers,
  type DrawReferences,
  drawReferences,
  drawWarpedReferences,
  type IsNeeded,
  type ReferenceRule,
  type References,
} from "./targets/references.js";
export { type StableFieldOptions, stableFieldTarget } from "./targets/stable-field.js";
export {
  type PerturbedBatch,
  perturbedImages,
  type ReferenceSet,
  type ReferenceTarget,
  type SampleTarget,
  selectSamples,
  type Target,
  type TransformedReferences,
} from "./targets/target.js";
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
  type TrainingWriter,
  trainingLoop,
} from "./training/loop.js";
export { addGradients, type ErrorOptions, type Loss, weightedError, weightedSquaredError } from "./training/loss.js";
export { type PerturbSettings, perturb } from "./training/perturb.js";
export { type RunDescription, runWriter } from "./training/run-writer.js";
export { emaDecay, learningRate } from "./training/schedules.js";
export { disposeState, initialState, type TrainingState } from "./training/state.js";
export {
  applyGradients,
  computeGradients,
  DivergenceError,
  type StepLoss,
  type StepSums,
  type TrainingData,
  type TrainingSettings,
  trainingStep,
  type UpdateSettings,
} from "./training/step.js";
export { type StepTargets, stepTargets, type TargetSettings } from "./training/targets.js";
