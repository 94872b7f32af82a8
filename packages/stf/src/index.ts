/**
 * Train, sample and explain diffusion models with the Stable Target Field objective.
 *
 * @packageDocumentation
 */

export { readIdxImages } from "./data/idx.js";
export { ImageBank, type ImageShape, normalize } from "./data/image-bank.js";
export { openDataset } from "./data/open.js";
export { DataOrder, drawPool } from "./data/order.js";
export { Denoiser, type Precision } from "./networks/denoiser.js";
export { FourierEmbedding, PositionalEmbedding } from "./networks/embedding.js";
export { type Coefficients, edmPreconditioning, type Preconditioning } from "./networks/precondition.js";
export { type Conditions, SongUNet, type SongUNetOptions } from "./networks/song-unet.js";
export { logNormalLevels, type NoiseLevels } from "./processes/noise-levels.js";
export { edmProcess, type Process } from "./processes/process.js";
export { KeyedRandom, type Purpose, randomKey } from "./random/keyed.js";
export { InputError, UsageError } from "./run/errors.js";
export { denoisingTarget } from "./targets/denoising.js";
export { type StableFieldOptions, stableFieldTarget } from "./targets/stable-field.js";
export type { PerturbedBatch, ReferenceSet, Target } from "./targets/target.js";
