/** Preconditioning: what the raw network F sees, and how its output becomes the denoiser D. */

import { iddpmLevels } from "../processes/iddpm-levels.js";
import { type BetaOptions, flowProcess, subVpProcess, vpProcess } from "../processes/process.js";

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

/** How a raw network becomes a denoiser, and how its error is weighted in training. */
export interface Preconditioning {
  /** Short name, such as "edm". */
  readonly name: string;
  /** The smallest noise level that the network is meant for. */
  readonly sigmaMin: number;
  /** The largest noise level that the network is meant for. */
  readonly sigmaMax: number;
  /** The four coefficients at a noise level, used by loss and sampler alike. */
  coefficients(sigma: number): Coefficients;
  /** lambda(sigma): the weight of the squared error of D at this noise level. */
  lossWeight(sigma: number): number;
  /** The only noise levels that the network knows, descending to 0; absent when it knows all. */
  readonly levels?: Float64Array;
  /** The same for other levels, as a network stores them. */
  readonly withLevels?: (levels: Float64Array) => Preconditioning;
}

/** EDM's preconditioning (Karras et al. 2022, table 1). `sigmaData` is the standard deviation of the data. */
export function edmPreconditioning({ sigmaData = 0.5 }: { sigmaData?: number } = {}): Preconditioning {
  const total = (sigma: number): number => sigma ** 2 + sigmaData ** 2;
  return {
    name: "edm",
    sigmaMin: 0,
    sigmaMax: Number.POSITIVE_INFINITY,
    coefficients: (sigma) => ({
      skip: sigmaData ** 2 / total(sigma),
      out: (sigma * sigmaData) / Math.sqrt(total(sigma)),
      in: 1 / Math.sqrt(total(sigma)),
      noise: Math.log(sigma) / 4,
    }),
    lossWeight: (sigma) => total(sigma) / (sigma * sigmaData) ** 2,
  };
}

/** Every network whose output estimates the noise is trained with equal weight on its errors. */
const noiseWeight = (sigma: number): number => 1 / sigma ** 2;

/** The variance-preserving one (Song et al. 2021, in the form of Karras et al. 2022, table 1): F estimates the noise. */
export function vpPreconditioning({
  timeSteps = 1000,
  epsilon = 1e-5,
  ...betas
}: BetaOptions & { timeSteps?: number; epsilon?: number } = {}): Preconditioning {
  const process = vpProcess(betas);
  return {
    name: "vp",
    sigmaMin: process.sigma(epsilon),
    sigmaMax: process.sigma(1),
    coefficients: (sigma) => ({
      skip: 1,
      out: -sigma,
      in: 1 / Math.sqrt(sigma ** 2 + 1),
      noise: (timeSteps - 1) * process.sigmaInverse(sigma),
    }),
    lossWeight: noiseWeight,
  };
}

/** The variance-exploding one (Song et al. 2021, in the form of Karras et al. 2022, table 1): -F estimates the noise. */
export function vePreconditioning({ sigmaMin = 0.02, sigmaMax = 100 } = {}): Preconditioning {
  return {
    name: "ve",
    sigmaMin,
    sigmaMax,
    coefficients: (sigma) => ({ skip: 1, out: sigma, in: 1, noise: Math.log(sigma / 2) }),
    lossWeight: noiseWeight,
  };
}

/** The sub-variance-preserving one (Song et al. 2021): F sees x_t and 999 t, and estimates the noise. */
export function subVpPreconditioning({
  epsilon = 1e-5,
  ...betas
}: BetaOptions & { epsilon?: number } = {}): Preconditioning {
  const process = subVpProcess(betas);
  return {
    name: "subvp",
    sigmaMin: process.sigma(epsilon),
    sigmaMax: process.sigma(1),
    coefficients: (sigma) => {
      const t = process.sigmaInverse(sigma);
      return { skip: 1, out: -sigma, in: process.scale(t), noise: 999 * t };
    },
    lossWeight: noiseWeight,
  };
}

/**
 * Flow matching: F sees x_t = (1 - t) y + t eps and 999 t, and estimates the velocity eps - y, all errors of which weigh
 * the same. D = x_t - t F.
 */
export function flowPreconditioning({ epsilon = 1e-4 } = {}): Preconditioning {
  return {
    name: "flow",
    sigmaMin: flowProcess.sigma(epsilon),
    sigmaMax: flowProcess.sigma(1 - epsilon),
    coefficients: (sigma) => {
      const t = flowProcess.sigmaInverse(sigma);
      return { skip: 1 - t, out: -t, in: 1 - t, noise: 999 * t };
    },
    lossWeight: (sigma) => 1 / flowProcess.sigmaInverse(sigma) ** 2,
  };
}

/**
 * Rounded to float32 as they were where the published networks were made: exact arithmetic gives levels that are off by 5e-4 at
 * the small end. The last bit of the sine, in which libraries differ, still moves them by 3e-4, so a network stores its levels.
 */
const storedLevels = (timeSteps: number): Float64Array => iddpmLevels(timeSteps, Math.fround);

/**
 * The improved DDPM of Nichol and Dhariwal (2021, in the form of Karras et al. 2022, table 1): F knows some noise levels, those
 * of the cosine schedule, is told their number, and its first half of channels estimates the noise.
 *
 * @param options.levels - descending to 0; 1001 levels when left out
 */
export function iddpmPreconditioning({ levels = storedLevels(1000) }: { levels?: Float64Array } = {}): Preconditioning {
  const timeSteps = levels.length - 1;
  return {
    name: "iddpm",
    sigmaMin: levels[timeSteps - 1] as number,
    sigmaMax: levels[0] as number,
    coefficients: (sigma) => ({
      skip: 1,
      out: -sigma,
      in: 1 / Math.sqrt(sigma ** 2 + 1),
      noise: timeSteps - 1 - nearestLevel(levels, sigma),
    }),
    lossWeight: noiseWeight,
    levels,
    withLevels: (stored) => iddpmPreconditioning({ levels: stored }),
  };
}

/** Index of the level closest to sigma, which is taken as a float32 number as networks take it; the first of two. */
export function nearestLevel(levels: Float64Array, sigma: number): number {
  const wanted = Math.fround(sigma);
  let low = 0;
  let high = levels.length - 1;
  // levels[low] >= wanted >= levels[high], where that is possible
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if ((levels[middle] as number) >= wanted) low = middle;
    else high = middle;
  }
  return (levels[low] as number) - wanted <= wanted - (levels[high] as number) ? low : high;
}
