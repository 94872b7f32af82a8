/** Noise levels for sampling: a descending list that ends in 0. */

import { UsageError } from "../run/errors.js";

/** The shape of {@link karrasSteps}. */
export interface KarrasOptions {
  /** The last noise level but the final 0. */
  readonly sigmaMin?: number;
  /** The first noise level. */
  readonly sigmaMax?: number;
  /** How much shorter the steps get towards sigmaMin. */
  readonly rho?: number;
}

/**
 * EDM's schedule (Karras et al. 2022, equation 5): `count` levels from sigmaMax to sigmaMin, evenly spaced in
 * sigma^(1/rho), and a final 0.
 *
 * @returns `count + 1` noise levels, descending
 *
 * @throws UsageError unless count >= 2 and 0 < sigmaMin < sigmaMax.
 */
export function karrasSteps(count: number, { sigmaMin = 0.002, sigmaMax = 80, rho = 7 }: KarrasOptions = {}): number[] {
  if (!(Number.isInteger(count) && count >= 2))
    throw new UsageError(`a schedule needs at least 2 steps, found ${count}`);
  if (!(sigmaMin > 0 && sigmaMin < sigmaMax)) {
    throw new UsageError(`a schedule needs 0 < sigma_min < sigma_max, found ${sigmaMin} and ${sigmaMax}`);
  }
  const first = sigmaMax ** (1 / rho);
  const last = sigmaMin ** (1 / rho);
  const levels = Array.from({ length: count }, (_, i) => (first + (i / (count - 1)) * (last - first)) ** rho);
  return [...levels, 0];
}
