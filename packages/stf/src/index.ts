/**
 * Train, sample and explain diffusion models with the Stable Target Field objective. The letters in shapes are those of
 * [docs/notation.md](../../../docs/notation.md).
 *
 * Everything exported here, and nothing else, is public; the order is that in which it is best read.
 *
 * @module stf
 */

// Jobs: what each command does, as a function

export type { SampleRanks, SampleValues } from "./analysis/sample-ranks.js";
export { type AnalyticResult, attachAnalytic } from "./jobs/analytic.js";
export { type AnalyzeResult, analyze } from "./jobs/analyze.js";
export { type AutomaticRun, chooseOptions, type NetworkOf } from "./jobs/automatic.js";
export {
  type CheckResult,
  type Count,
  checkDataset,
  type NamedPair,
  type UnreadableFile,
} from "./jobs/check-dataset.js";
export { comparableMetrics, type NamedEvaluation, readEvaluations } from "./jobs/compare-evaluations.js";
export { type JobContext, jobContext, type Reporter, Stopped, silentReporter } from "./jobs/context.js";
export { type ConvertResult, convertDataset } from "./jobs/convert-dataset.js";
export { type DrawingEstimate, estimateDrawing } from "./jobs/drawing-estimate.js";
export { type EmaResult, type ReconstructedAverage, reconstructAverages } from "./jobs/ema.js";
export { estimateTraining, type TrainingEstimate } from "./jobs/estimate.js";
export { type EvaluateResult, evaluate } from "./jobs/evaluate.js";
export { calculateFid, type FidReferenceResult, type FidResult, referenceStatistics } from "./jobs/fid.js";
export { type GenerateResult, generate } from "./jobs/generate.js";
export { type ImportResult, importCheckpoint } from "./jobs/import.js";
export { type LikelihoodErrors, type LikelihoodResult, likelihood } from "./jobs/likelihood.js";
export { measureSpeed } from "./jobs/measure.js";
export type { Neighbours } from "./jobs/neighbours.js";
export type { Patience } from "./jobs/peers.js";
export type { TrainingBank } from "./jobs/shared-images.js";
export { Team } from "./jobs/team.js";
export { runTraining, train } from "./jobs/train.js";
export { type TrainFeaturesResult, trainFeatures } from "./jobs/train-features.js";
export type { TrainResult } from "./jobs/train-in-folder.js";
export { planTraining, type TrainingPlan } from "./jobs/training-plan.js";
export { formatProgress } from "./jobs/training-report.js";
export type { StepRanks } from "./training/ranks.js";

// The options of jobs, their defaults and ranges

export { type AnalyticCommandOptions, analyticFields } from "./config/analytic-options.js";
export type { AnalyticRequest } from "./config/analytic-request.js";
export { type AnalyzeCommandOptions, analyzeFields } from "./config/analyze-options.js";
export type { AnalyzeRequest } from "./config/analyze-request.js";
export {
  type AutomaticChoice,
  type AutomaticFacts,
  automaticOptions,
  type NetworkCandidate,
  networkCandidates,
  nextToMeasure,
  type Speeds,
} from "./config/automatic.js";
export { type CheckOptions, type ConvertOptions, checkFields, convertFields } from "./config/dataset-options.js";
export type { CheckRequest, ConvertRequest } from "./config/dataset-request.js";
export { type EmaOptions, emaFields } from "./config/ema-options.js";
export type { EmaRequest } from "./config/ema-request.js";
export { type EvaluateCommandOptions, evaluateFields } from "./config/evaluate-options.js";
export type { EvaluateRequest } from "./config/evaluate-request.js";
export { type FeaturesCommandOptions, featuresFields } from "./config/features-options.js";
export type { FeaturesRequest } from "./config/features-request.js";
export { type FidCalcRequest, type FidRefRequest, fidCalcFields, fidRefFields } from "./config/fid-options.js";
export type { Field, Fields, Values } from "./config/fields.js";
export { type GenerateCommandOptions, generateFields } from "./config/generate-options.js";
export type { GenerateRequest } from "./config/generate-request.js";
export { type ImportOptions, importFields } from "./config/import-options.js";
export type { ImportRequest } from "./config/import-request.js";
export { type LikelihoodCommandOptions, likelihoodFields } from "./config/likelihood-options.js";
export type { LikelihoodRequest } from "./config/likelihood-request.js";
export type { SizeOptions } from "./config/network-size.js";
export type { PublishedPreset } from "./config/published-presets.js";
export type { ResolvedOptions } from "./config/resolved-options.js";
export { type Preset, type PresetName, presets, type TrainOptions, trainFields } from "./config/train-options.js";
export type { TrainRequest } from "./config/train-request.js";

// Image files: one at a time, and their resampling

export { type Picture, resizeLanczos } from "./codecs/lanczos.js";
export { type DecodedPicture, type PictureFile, pictureFile } from "./codecs/picture-file.js";
export { encodeStoredPng } from "./codecs/stored-png.js";
export { type ImageSequence, openImages, type SequenceOptions } from "./data/image-sequence.js";

// Data sets in memory, read from files or drawn from closed forms

export type { Bank, Items } from "./data/bank.js";
export { type ClosedForms, type KnownDistribution, type ToyDistribution, toyBank } from "./data/distribution.js";
export { DividedBank, type RowRanks } from "./data/divided-bank.js";
export type { Split } from "./data/file-source.js";
export { type BankDivision, divideImages, imagesNotIn, selectImages } from "./data/held-out.js";
export { type Classes, ImageBank, normalize } from "./data/image-bank.js";
export { digestOfImages } from "./data/image-digest.js";
export type { OnProgress } from "./data/images.js";
export { classCount, type Numbering } from "./data/labels.js";
export { withMirrorImages } from "./data/mirror.js";
export { type GaussianComponent, gaussianMixture, mixtureOf } from "./data/mixture.js";
export { LEAST_CORRELATION, type NearPair, Thumbnails } from "./data/near-duplicates.js";
export { type DistanceOptions, nearestDistances } from "./data/neighbours.js";
export { type DatasetOptions, openDataset } from "./data/open.js";
export { DataOrder, drawPool } from "./data/order.js";
export { checkerboard, ringOfGaussians, swissRoll, twoGaussians } from "./data/toy.js";
export {
  onBackground,
  type TransformName,
  type TransformOptions,
  transformImage,
  transformNames,
} from "./data/transforms.js";
export { ValueMoments, type ValueStatistics } from "./data/value-statistics.js";
export { VectorBank } from "./data/vector-bank.js";

// Diffusion processes: signal and noise over time

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
} from "./processes/scheduled.js";

// Preconditioning: what the network sees and returns at each noise level

export type { Constants } from "./preconditioning/constants.js";
export { type EdmConstants, edmPreconditioning } from "./preconditioning/edm.js";
export { type FlowConstants, flowPreconditioning } from "./preconditioning/flow.js";
export { type IddpmPreconditioningConstants, iddpmPreconditioning, nearestLevel } from "./preconditioning/iddpm.js";
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

// Networks and denoisers

export { type ActivationConfig, activationsPerImage, drawnPerImage } from "./networks/activations.js";
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
export { forwardFlops, PASSES_PER_STEP } from "./networks/flops.js";
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

// Targets: what the denoiser should return. The stable target field, and the posterior it averages over

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
  type PartialMean,
  type PerturbedBatch,
  perturbedImages,
  type ReferencePart,
  type ReferenceSet,
  type ReferenceTarget,
  type SampleTarget,
  selectSamples,
  type Target,
  type TransformedReferences,
} from "./targets/target.js";
export { posteriorWindow, sigmaRange } from "./targets/window.js";

// Analysis: how good a denoiser can be, how good one is, and what a target tends to

export { type BiasVerdict, biasFinding, biasVerdict } from "./analysis/bias-findings.js";
export { type BiasVariant, biasVariants, type ReferenceScheme } from "./analysis/bias-variants.js";
export {
  type DenoisingErrors,
  denoisingErrors,
  type ExactTargetOptions,
  exactTargets,
} from "./analysis/denoising-error.js";
export { type BoundInput, divergenceTerms, varianceBound } from "./analysis/divergence.js";
export { EmpiricalSample } from "./analysis/empirical-sample.js";
export { type EmpiricalOptions, EmpiricalTruth } from "./analysis/empirical-truth.js";
export { findingsOf } from "./analysis/findings.js";
export { type AnalysisLevel, analysisLevels } from "./analysis/levels.js";
export { type MixtureBiasOptions, mixtureBias } from "./analysis/mixture-bias.js";
export { KnownTruth } from "./analysis/mixture-truth.js";
export { type MeasuredNetwork, type NetworkErrorOptions, networkErrors } from "./analysis/network-errors.js";
export { NoisySamples } from "./analysis/noisy-samples.js";
export { phasesOf } from "./analysis/phases.js";
export {
  type PossibleSource,
  type PosteriorView,
  posteriorViews,
  type ViewOptions,
} from "./analysis/posterior-pictures.js";
export { RayPosterior, type Support } from "./analysis/ray-posterior.js";
export { biasVariantsOf, type DataBiasOptions, regressionBias } from "./analysis/regression-bias.js";
export type { BiasOptions } from "./analysis/squared-bias.js";
export { type NeededOptions, neededReferences, suggestedLevels } from "./analysis/suggestions.js";
export type { SampleFindings, Truth } from "./analysis/truth.js";
export { type DataMoments, dataMoments } from "./analysis/value-moments.js";
export { type VarianceOptions, varianceCurves } from "./analysis/variance.js";

// Analytic denoisers: a data set in closed form, as far as a few Gaussians describe it, and exactly

export type { AnalyticDenoiser } from "./analytic/analytic-denoiser.js";
export { ClassMixtures, fitClassMixtures } from "./analytic/class-mixtures.js";
export { fitMixture, type MixtureOptions } from "./analytic/fit-mixture.js";
export {
  type ClassDenoiser,
  type HandOver,
  type HandOverLevel,
  type HandOverOptions,
  handOverAt,
  measureHandOver,
} from "./analytic/hand-over.js";
export { LowRankMixture, type MixtureParameters, type Responsibilities } from "./analytic/low-rank-mixture.js";
export { type DirectionsType, mixtureFromTensors, mixtureTensors } from "./analytic/mixture-tensors.js";
export { PosteriorDenoiser, type PosteriorDenoiserOptions } from "./analytic/posterior-denoiser.js";

// Augmentation

export { applyAugmentation, flipsOf, isFlipOnly, transformWith } from "./augmentation/apply.js";
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

// Training: one step, its two halves, and the loop

export { emaDecay, learningRate } from "./training/clock.js";
export { ErrorMeasurement, type ErrorMeasurementOptions } from "./training/error-measurement.js";
export {
  type CheckpointFacts,
  type LoopHooks,
  type LoopOptions,
  type LoopResult,
  type LoopSnapshot,
  type Progress,
  type TrainingWriter,
  trainingLoop,
} from "./training/loop.js";
export { addGradients, type ErrorOptions, type Loss, weightedError, weightedSquaredError } from "./training/loss.js";
export type { TickTime } from "./training/measurement-budget.js";
export { type PerturbSettings, perturb } from "./training/perturb.js";
export {
  type PowerProfile,
  powerDecay,
  powerExponent,
  powerWidths,
  profileProduct,
  relativeWidth,
} from "./training/power-average.js";
export { fitProfile, type ProfileFit } from "./training/profile-fit.js";
export { initialStability, type Stability } from "./training/stability.js";
export { disposeState, initialState, type StateOptions, type TrainingState } from "./training/state.js";
export {
  applyGradients,
  computeGradients,
  DivergenceError,
  type StepLoss,
  type StepResult,
  type StepSums,
  type TrainingData,
  type TrainingSettings,
  trainingStep,
  type UpdateSettings,
} from "./training/step.js";
export { type StepSources, type StepTargets, stepTargets, type TargetSettings } from "./training/step-targets.js";

// Sampling and likelihood

export { addNoise, type Churn, type Churned, type ChurnOptions } from "./sampling/churn.js";
export { type Corrector, type CorrectorName, type CorrectorState, correctors } from "./sampling/correctors.js";
export { dpmSolver, type SdeDpmSolverOptions, type SolverType, sdeDpmSolver } from "./sampling/dpm-solver.js";
export { euler } from "./sampling/euler.js";
export {
  denoiseClasses,
  denoiseWith,
  edmMethod,
  type GeneratedImages,
  type GenerateOptions,
  type Guidance,
  generateImages,
  type Method,
  methodOf,
  SamplingError,
  toBytes,
} from "./sampling/generate.js";
export { guided } from "./sampling/guidance.js";
export {
  type AnalyticPart,
  analyticWeight,
  type ClassDenoise,
  denoiseAnalytically,
  handedOver,
  SMOOTH_BLEND,
} from "./sampling/hand-over.js";
export { type HeunOptions, heun } from "./sampling/heun.js";
export { denoiseKnowing, type KnownPart, knownGrey, knownPixels, withPart } from "./sampling/known-part.js";
export {
  bitsPerDimension,
  dequantize,
  type LikelihoodOptions,
  type LogDensity,
  logDensity,
} from "./sampling/log-density.js";
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

// Metrics: what tells two sets of images apart

export {
  ChannelAccumulator,
  type ChannelDifference,
  type ChannelMoments,
  compareChannels,
} from "./metrics/channel-moments.js";
export { type CopyOptions, type CopyPair, type CopyReport, findCopies } from "./metrics/copies.js";
export type { Estimate } from "./metrics/estimate.js";
export {
  FeatureAccumulator,
  type FeatureStatistics,
  type FeatureSums,
  featureStatistics,
} from "./metrics/feature-statistics.js";
export { frechetDistance } from "./metrics/frechet.js";
export { identicalRows } from "./metrics/identical-rows.js";
export { type InceptionScoreOptions, inceptionScore } from "./metrics/inception-score.js";
export { type KernelDistanceOptions, kernelDistance } from "./metrics/kernel-distance.js";
export { type PrecisionRecall, type PrecisionRecallOptions, precisionRecall } from "./metrics/precision-recall.js";
export {
  type SlicedWassersteinOptions,
  slicedWasserstein,
  slicedWassersteinFloor,
} from "./metrics/sliced-wasserstein.js";
export {
  defaultPacketLevel,
  PacketAccumulator,
  type PacketDistance,
  type PacketProtocol,
  type PacketStatistics,
  packetDistance,
  waveletPackets,
} from "./metrics/wavelet-packets.js";

// Checkpoints: our own, and those of other programs

export {
  type AverageTensors,
  describeAverages,
  loadAverages,
  type SaveAveragesOptions,
  type StoredAverages,
  saveAverages,
} from "./checkpoints/averages-file.js";
export type { ConfigOverrides } from "./checkpoints/foreign/config.js";
export { type ImportedNetwork, importNetwork } from "./checkpoints/foreign/import.js";
export {
  type Checkpoint,
  type NetworkCheckpoint,
  readCheckpoint,
  readNetwork,
  type Which,
} from "./checkpoints/foreign/read.js";
export type { Construction, StoredLoss } from "./checkpoints/foreign/stored-network.js";
export { type Transferred, transferWeights } from "./checkpoints/foreign/transfer.js";
export { publishedPreconditioning } from "./checkpoints/foreign/wrappers.js";
export {
  loadSnapshot,
  type SaveNetworkOptions,
  type Snapshot,
  saveNetwork,
  saveSnapshot,
} from "./checkpoints/network-file.js";
export { type RunDescription, runWriter } from "./checkpoints/run-writer.js";
export { loadState, type SavedState, saveState } from "./checkpoints/state-file.js";
export type { StoredAnalytic } from "./checkpoints/stored-analytic.js";

// Feature networks

export {
  type ClassifierAccuracy,
  type ClassifierDescription,
  isClassifierFile,
  readClassifier,
  type StoredClassifier,
  saveClassifier,
} from "./checkpoints/classifier-file.js";
export { type FeatureNetworkOptions, loadFeatureNetwork } from "./checkpoints/feature-network-file.js";
export { shippedFeatures, shippedFeaturesPath } from "./checkpoints/shipped-features.js";
export { Classifier, type ClassifierConfig, type ClassifierOutput, classifierFeatures } from "./features/classifier.js";
export {
  type ClassifierHooks,
  type ClassifierProgress,
  type ClassifierSettings,
  classificationLoss,
  countCorrect,
  type Division,
  holdOut,
  trainClassifier,
  triangle,
} from "./features/classifier-training.js";
export { type Dinov2Sizes, dinov2Network, dinov2Shapes, type WeightSource } from "./features/dinov2.js";
export type { ExtractedFeatures, FeatureNetwork } from "./features/feature-network.js";
export { type InceptionOptions, type InceptionResize, inceptionNetwork } from "./features/inception.js";
export { inceptionShapes } from "./features/inception-layers.js";
export { tensorflowResize } from "./features/tensorflow-resize.js";

// Image files, the run folder, random numbers, errors

export { writeGrid } from "./codecs/grid.js";
export { imagesOf } from "./codecs/planes.js";
export { writePng } from "./codecs/png.js";
export { column } from "./column.js";
export type { Environment } from "./common/environment.js";
export { InputError, TeamError, UsageError } from "./common/errors.js";
export type { ImageShape } from "./common/image-shape.js";
export { type Meeting, type Rank, rankOf, type StartedRank } from "./common/ranks.js";
export { KeyedRandom, type Purpose, randomKey } from "./random/keyed.js";
export { type Evaluation, type Measured, type MetricName, metricLabel, metricNames } from "./run/evaluation.js";
export { historyOf, type RunHistory, setAsideAfter } from "./run/history.js";
export {
  type Difference,
  type Fact,
  type Facts,
  formatDifference,
  methodDifferences,
  type Protocol,
} from "./run/protocol.js";
export {
  type ErrorStatistics,
  type MetricStatistics,
  type NoiseBand,
  noiseBands,
  type Quantity,
  type Statistic,
  type StatisticName,
  type StatsLine,
  type TickQuantity,
  type TickStatistics,
  tickQuantities,
} from "./run/statistics.js";

// The report of an analysis, its page and its plot

export { variancePage } from "./pages/variance-page.js";
export { variancePlot } from "./pages/variance-plot.js";
export type {
  BiasReport,
  LevelReport,
  NetworkLevel,
  NetworkReport,
  Phases,
  PosteriorExample,
  PosteriorPicture,
  ReferenceCount,
  SuggestedSettings,
  TargetCost,
  VariancePage,
  VarianceReport,
} from "./run/variance-report.js";
