import { type IddpmConstants as ChainConstants, iddpmLevels } from "../processes/iddpm-levels.js";
import { oneOfLevels } from "../processes/noise-levels.js";
import { edmProcess } from "../processes/process.js";
import { requireConstant, requirePositive, requireTimeSteps } from "./constants.js";
import { noiseWeight, type Preconditioning } from "./preconditioning.js";

/** The constants of {@link iddpmPreconditioning}; C_1 is 0.001 and C_2 0.008. */
export interface IddpmPreconditioningConstants extends ChainConstants {
  /** M: there are M + 1 noise levels, the last of which is 0. 1000. */
  readonly timeSteps?: number;
}

/**
 * The improved DDPM of Nichol and Dhariwal (2021, in the form of Karras et al. 2022, table 1): F has discrete noise levels, those
 * of the cosine schedule, and gets their index; its first half of channels estimates the noise, the second half variances.
 * In training each level but 0 is equally likely.
 *
 * Its own levels are rounded to float32 as for the published networks: exact arithmetic gives levels that
 * are off by 5e-4 at the small end. The last bit of the sine, in which libraries differ, still moves them by 3e-4, so a network
 * stores its levels.
 *
 * @param stored - the levels of a network that stores them, descending to 0
 * @throws UsageError unless M is a whole number of at least 2, 0 < C_1 < 1, 0 < C_2, and there are M + 1 levels
 */
export function iddpmPreconditioning(
  { timeSteps = 1000, c1 = 0.001, c2 = 0.008 }: IddpmPreconditioningConstants = {},
  stored?: Float64Array,
): Preconditioning {
  requireTimeSteps(timeSteps);
  requirePositive({ c1, c2 });
  requireConstant(c1 < 1, "c1 must be below 1", c1);
  const constants = { timeSteps, c1, c2 };
  const levels = stored ?? iddpmLevels(timeSteps, Math.fround, constants);
  requireConstant(levels.length === timeSteps + 1, `there must be ${timeSteps + 1} noise levels`, levels.length);
  return {
    name: "iddpm",
    constants,
    process: edmProcess,
    sigmaMin: levels[timeSteps - 1] as number,
    sigmaMax: levels[0] as number,
    coefficients: (sigma) => ({
      skip: 1,
      out: -sigma,
      in: 1 / Math.sqrt(sigma ** 2 + 1),
      noise: timeSteps - 1 - nearestLevel(levels, sigma),
    }),
    lossWeight: noiseWeight,
    noiseLevels: oneOfLevels(levels.subarray(0, timeSteps)),
    outputChannels: (channels) => 2 * channels,
    levels,
    withLevels: (others) => iddpmPreconditioning(constants, others),
  };
}

/** Index of the level closest to sigma, rounded to float32 as in networks; the first of two equally close. */
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
