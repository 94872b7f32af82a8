/** Distributions of the training noise level. */

import { KeyedRandom, randomKey } from "../random/keyed.js";
import type { Process } from "./process.js";
import type { NoiseRange } from "./scheduled.js";

/** Draws one noise level, positive. */
export type NoiseLevels = (random: KeyedRandom) => number;

/**
 * ln sigma ~ N(mean, deviation²); EDM's has mean -1.2 and standard deviation 1.2 (Karras et al. 2022, table 1). Within a range it
 * is that distribution given that sigma lies in it.
 *
 * @param deviation - above 0
 * @param range - lowest and highest noise level, which may be 0 and infinite, as when left out
 */
export function logNormalLevels(
  mean: number,
  deviation: number,
  { sigmaMin = 0, sigmaMax = Number.POSITIVE_INFINITY }: Partial<NoiseRange> = {},
): NoiseLevels {
  if (sigmaMin === 0 && sigmaMax === Number.POSITIVE_INFINITY) {
    return (random) => Math.exp(mean + deviation * random.normal());
  }
  const standardised = (sigma: number): number => (Math.log(sigma) - mean) / deviation;
  const draw = normalWithin(standardised(sigmaMin), standardised(sigmaMax));
  // The clamp is for rounding.
  return (random) => Math.min(Math.max(Math.exp(mean + deviation * draw(random)), sigmaMin), sigmaMax);
}

/** Draws a standard normal number given that it lies between `low` and `high`, which may be infinite. */
function normalWithin(low: number, high: number): (random: KeyedRandom) => number {
  // A probable interval: numbers inside are those that are drawn without it. At least one in seven is.
  if (low < 1 && high > -1 && high - low > 1) {
    return (random) => {
      for (;;) {
        const value = random.normal();
        if (value >= low && value <= high) return value;
      }
    };
  }
  // Rejection from the density's tangent in logarithms at the point of highest density, which encloses it (Robert 1995).
  const top = Math.min(Math.max(0, low), high);
  const slope = Math.abs(top);
  const width = high - low;
  const proposal = (u: number): number => {
    if (slope === 0) return low + width * u;
    const distance = -Math.log1p(u * Math.expm1(-slope * width)) / slope;
    return top > 0 ? top + distance : top - distance;
  };
  return (random) => {
    for (;;) {
      const value = proposal(random.uniform());
      if (random.uniform() < Math.exp(-0.5 * (value - top) ** 2)) return value;
    }
  };
}

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

/** Noise levels that are drawn to see whether enough of them are below a limit, and how many of them must be. */
const DRAWS = 4000;
const LEAST_BELOW = DRAWS / 100;

/** Whether a distribution has one in a hundred of its levels below a limit at least, so that {@link levelsBelow} can draw them. */
export function hasLevelsBelow(levels: NoiseLevels, limit: number): boolean {
  const drawn = Array.from({ length: DRAWS }, (_, i) => levels(new KeyedRandom(randomKey(0, "noiseLevel", i))));
  return drawn.filter((sigma) => sigma < limit).length >= LEAST_BELOW;
}

/** Draws that one below a limit may take: a distribution with one in a hundred of its levels there needs more once in 10^13 times. */
const MOST_DRAWS = 3000;

/**
 * A distribution given that the level is below a limit.
 *
 * @throws RangeError, when drawn from, for one that has hardly any levels there
 */
export const levelsBelow =
  (levels: NoiseLevels, limit: number): NoiseLevels =>
  (random) => {
    for (let i = 0; i < MOST_DRAWS; i++) {
      const sigma = levels(random);
      if (sigma < limit) return sigma;
    }
    throw new RangeError(`of ${MOST_DRAWS} noise levels of the distribution, none was below ${limit}`);
  };
