/** The preconditionings of the two processes with a linear beta(t). */

import { uniformTimesWithin } from "../processes/noise-levels.js";
import { type BetaOptions, type Process, subVpProcess, vpProcess } from "../processes/process.js";
import { requireConstant, requirePositive, requireTimeSteps } from "./constants.js";
import { noiseWeight, type Preconditioning, sameChannels } from "./preconditioning.js";

/** The constants of {@link vpPreconditioning} and {@link subVpPreconditioning}; beta(t) goes from 0.1 to 20. */
export interface VpConstants extends BetaOptions {
  /** M: c_noise is (M - 1) t. 1000. */
  readonly timeSteps?: number;
  /** The earliest time in training, which gives the smallest noise level: 1e-5. */
  readonly epsilon?: number;
}

/** The common parts of both. */
function overTime(
  processOf: (betas: BetaOptions) => Process,
  { betaMin = 0.1, betaMax = 20, timeSteps = 1000, epsilon = 1e-5 }: VpConstants,
): Omit<Preconditioning, "name" | "coefficients"> & { noiseOf(t: number): number } {
  requirePositive({ betaMin, betaMax, epsilon });
  requireTimeSteps(timeSteps);
  requireConstant(epsilon < 1, "epsilon must be below 1", epsilon);
  const process = processOf({ betaMin, betaMax });
  const range = { sigmaMin: process.sigma(epsilon), sigmaMax: process.sigma(1) };
  return {
    constants: { betaMin, betaMax, timeSteps, epsilon },
    process,
    ...range,
    noiseOf: (t) => (timeSteps - 1) * t,
    lossWeight: noiseWeight,
    noiseLevels: uniformTimesWithin(process, range),
    outputChannels: sameChannels,
  };
}

/**
 * The variance-preserving preconditioning (Song et al. 2021, in the form of Karras et al. 2022, table 1): F sees x_t and
 * (M - 1) t, and estimates the noise. In training the time is uniform.
 *
 * @throws UsageError unless beta is positive, M a whole number of at least 2, and 0 < epsilon < 1
 */
export function vpPreconditioning(constants: VpConstants = {}): Preconditioning {
  const { noiseOf, ...shared } = overTime(vpProcess, constants);
  const { sigmaInverse } = shared.process;
  return {
    name: "vp",
    ...shared,
    coefficients: (sigma) => ({
      skip: 1,
      out: -sigma,
      in: 1 / Math.sqrt(sigma ** 2 + 1),
      noise: noiseOf(sigmaInverse(sigma)),
    }),
  };
}

/**
 * The sub-variance-preserving preconditioning (Song et al. 2021): F sees x_t and (M - 1) t, and estimates the noise. In training
 * the time is uniform.
 *
 * @throws UsageError as {@link vpPreconditioning}
 */
export function subVpPreconditioning(constants: VpConstants = {}): Preconditioning {
  const { noiseOf, ...shared } = overTime(subVpProcess, constants);
  const { scale, sigmaInverse } = shared.process;
  return {
    name: "subvp",
    ...shared,
    coefficients: (sigma) => {
      const t = sigmaInverse(sigma);
      return { skip: 1, out: -sigma, in: scale(t), noise: noiseOf(t) };
    },
  };
}
