/** Estimates from samples beyond the plain mean. */

import { type Estimate, meanOf } from "../metrics/estimate.js";

const product = (one: ArrayLike<number>, other: ArrayLike<number>): number => {
  const [a, b] = [meanOf(one).value, meanOf(other).value];
  return Array.from(one).reduce((sum, value, i) => sum + (value - a) * ((other[i] as number) - b), 0);
};

/**
 * Values with the same expectation and less variance: less a multiple of a control whose expectation is known to be 0 (a control variate).
 * The factor is the best one for these samples from 0 to 1, which biases the result by O(1 / samples).
 *
 * @param values - one per sample, which vary with the control and no more than it does
 * @param control - one per sample
 */
export function controlled(values: ArrayLike<number>, control: ArrayLike<number>): Float64Array {
  const squares = product(control, control);
  const factor = squares > 0 ? Math.min(Math.max(product(values, control) / squares, 0), 1) : 0;
  return Float64Array.from(values, (value, i) => value - factor * (control[i] as number));
}

/** The ratio of two means over the same samples, with its standard error to first order; 1 for 0 / 0. */
export function ratioOf(numerators: ArrayLike<number>, denominators: ArrayLike<number>): Estimate {
  const [above, below] = [meanOf(numerators).value, meanOf(denominators).value];
  if (below === 0) return { value: above === 0 ? 1 : Number.POSITIVE_INFINITY };
  const value = above / below;
  const residuals = Float64Array.from(numerators, (x, i) => (x - value * (denominators[i] as number)) / below);
  const { error } = meanOf(residuals);
  return error === undefined ? { value } : { value, error };
}
