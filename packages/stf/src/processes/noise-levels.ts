/** The law of the noise level in training. */

import type { KeyedRandom } from "../random/keyed.js";

/** Draws one noise level, positive. */
export type NoiseLevels = (random: KeyedRandom) => number;

/** ln sigma ~ N(mean, deviation²): EDM's law with mean -1.2 and deviation 1.2 (Karras et al. 2022, table 1). */
export const logNormalLevels =
  (mean: number, deviation: number): NoiseLevels =>
  (random) =>
    Math.exp(mean + deviation * random.normal());
