/** Preconditioning: the input of the raw network F, and how its output becomes the denoiser D. */

import type { NoiseLevels } from "../processes/noise-levels.js";
import type { Process } from "../processes/process.js";
import type { Constants } from "./constants.js";

/**
 * D(x; sigma) = skip x + out F(in x; noise), with F the raw network and x = y + sigma eps, the unscaled noisy image (Karras
 * et al. 2022, equation 7).
 */
export interface Coefficients {
  /** c_skip: the factor on the noisy image that bypasses the network. */
  readonly skip: number;
  /** c_out: the factor on the network's output. */
  readonly out: number;
  /** c_in: the factor on the network's input. */
  readonly in: number;
  /** c_noise: the noise label of the network. */
  readonly noise: number;
}

/** How a raw network becomes a denoiser, how it is trained, and the process it was designed for. */
export interface Preconditioning {
  /** Short name, such as "edm". */
  readonly name: string;
  /** All its constants. Checkpoints store name and constants, to restore it. */
  readonly constants: Constants;
  /** The noise process that the network was designed for. */
  readonly process: Process;
  /** The smallest noise level that the network covers. */
  readonly sigmaMin: number;
  /** The largest noise level that the network covers. */
  readonly sigmaMax: number;
  /** The four coefficients at a noise level, used by loss and sampler alike. */
  coefficients(sigma: number): Coefficients;
  /** lambda(sigma): the weight of the squared error of D at this noise level. */
  lossWeight(sigma: number): number;
  /** The default distribution of the training noise level. */
  readonly noiseLevels: NoiseLevels;
  /** Channels of the network's output for images with `channels`. D uses the first `channels` of them. */
  outputChannels(channels: number): number;
  /** The discrete noise levels of the network, descending to 0; absent if it covers all. */
  readonly levels?: Float64Array;
  /** The same with other levels, such as those stored by a network. */
  readonly withLevels?: (levels: Float64Array) => Preconditioning;
}

/** The loss weight of networks whose output estimates the noise: uniform in the error of the output. */
export const noiseWeight = (sigma: number): number => 1 / sigma ** 2;

/** Most networks have as many output channels as the images. */
export const sameChannels = (channels: number): number => channels;
