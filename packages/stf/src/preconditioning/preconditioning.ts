/** Preconditioning: what the raw network F sees, and how its output becomes the denoiser D. */

import type { NoiseLevels } from "../processes/noise-levels.js";
import type { Process } from "../processes/process.js";
import type { Constants } from "./constants.js";

/**
 * D(x; sigma) = skip x + out F(in x; noise), with F the raw network and x = y + sigma eps, the unscaled noisy image (Karras
 * et al. 2022, equation 7).
 */
export interface Coefficients {
  /** c_skip: the part of the noisy image that goes around the network. */
  readonly skip: number;
  /** c_out: the factor on the network's output. */
  readonly out: number;
  /** c_in: the factor on the network's input. */
  readonly in: number;
  /** c_noise: what the network is told of the noise level. */
  readonly noise: number;
}

/** How a raw network becomes a denoiser, how it is trained, and the process that it was made for. */
export interface Preconditioning {
  /** Short name, such as "edm". */
  readonly name: string;
  /** Everything that it was made with. Checkpoints store name and constants, to make the same one again. */
  readonly constants: Constants;
  /** The process that turns images into the noise that the network is meant for. */
  readonly process: Process;
  /** The smallest noise level that the network is meant for. */
  readonly sigmaMin: number;
  /** The largest noise level that the network is meant for. */
  readonly sigmaMax: number;
  /** The four coefficients at a noise level, used by loss and sampler alike. */
  coefficients(sigma: number): Coefficients;
  /** lambda(sigma): the weight of the squared error of D at this noise level. */
  lossWeight(sigma: number): number;
  /** The distribution of the noise level in training, unless another one is asked for. */
  readonly noiseLevels: NoiseLevels;
  /** Channels of the network's output for images with `channels`. D is made of the first `channels` of them. */
  outputChannels(channels: number): number;
  /** The only noise levels that the network knows, descending to 0; absent when it knows all. */
  readonly levels?: Float64Array;
  /** The same for other levels, as a network stores them. */
  readonly withLevels?: (levels: Float64Array) => Preconditioning;
}

/** The loss weight of networks whose output estimates the noise: all errors of the output weigh the same. */
export const noiseWeight = (sigma: number): number => 1 / sigma ** 2;

/** The output of most networks has the channels of the images. */
export const sameChannels = (channels: number): number => channels;
