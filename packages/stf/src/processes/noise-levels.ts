/** Distributions of the training noise level. */

import type { KeyedRandom } from "../random/keyed.js";
import type { Process } from "./process.js";
import type { NoiseRange } from "./scheduled.js";

/** Draws one noise level, positive. */
export type NoiseLevels = (random: KeyedRandom) => number;

/** ln sigma ~ N(mean, deviation²); EDM's has mean -1.2 and standard deviation 1.2 (Karras et al. 2022, table 1). */
export const logNormalLevels =
  (mean: number, deviation: number): NoiseLevels =>
  (random) =>
    Math.exp(mean + deviation * random.normal());

/** The noise level at a time drawn uniformly between `first` and `last`. */
export const uniformTimes =
  ({ sigma }: Process, first: number, last: number): NoiseLevels =>
  (random) =>
    sigma(first + (last - first) * random.uniform());

/** The same between the times of the highest and of the lowest noise level of a range. */
export const uniformTimesWithin = (process: Process, { sigmaMin, sigmaMax }: NoiseRange): NoiseLevels =>
  uniformTimes(process, process.sigmaInverse(sigmaMax), process.sigmaInverse(sigmaMin));

/** One of a few levels, all equally likely. */
export const oneOfLevels =
  (levels: ArrayLike<number>): NoiseLevels =>
  (random) =>
    levels[random.integer(levels.length)] as number;
