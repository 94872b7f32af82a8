/** The noise levels at which an analysis looks. */

import type { Preconditioning } from "../preconditioning/preconditioning.js";
import type { NoiseRange } from "../processes/scheduled.js";

/** A noise level, with what depends on the process and the loss. */
export interface AnalysisLevel {
  /** The noise level of the unscaled noisy image. */
  readonly sigma: number;
  /** The time of the process at which the noise level is sigma. */
  readonly time: number;
  /** s(t) */
  readonly scale: number;
  /** lambda(sigma) */
  readonly lossWeight: number;
}

/**
 * Levels from the lowest to the highest of a range: at equal distances in the time of the process, or in ln sigma if the process has no
 * last time.
 *
 * @param count - at least 1; a single level is the middle of the range
 */
export function analysisLevels(
  { process, lossWeight }: Preconditioning,
  { sigmaMin, sigmaMax }: NoiseRange,
  count: number,
): AnalysisLevel[] {
  const isTimed = Number.isFinite(process.end);
  const first = isTimed ? process.sigmaInverse(sigmaMin) : Math.log(sigmaMin);
  const last = isTimed ? process.sigmaInverse(sigmaMax) : Math.log(sigmaMax);
  return Array.from({ length: count }, (_, i) => {
    const place = first + (last - first) * (count > 1 ? i / (count - 1) : 0.5);
    const sigma = isTimed ? process.sigma(place) : Math.exp(place);
    const time = isTimed ? place : process.sigmaInverse(sigma);
    return { sigma, time, scale: process.scale(time), lossWeight: lossWeight(sigma) };
  });
}
