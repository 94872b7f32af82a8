/**
 * Power-function averages of the weights (Karras et al. 2024, "Analyzing and Improving the Training Dynamics of Diffusion Models",
 * section 3.1). The weights theta(tau) that training had after tau images enter the average at time t with the profile
 *
 *     p(tau) = (gamma + 1) tau^gamma / t^(gamma + 1),    0 < tau <= t,
 *
 * which widens in proportion to t. Its width is its standard deviation divided by t, sigma_rel in the paper.
 */

/** A profile p: that of the average with this exponent at this time. */
export interface PowerProfile {
  /** gamma, not negative. */
  readonly exponent: number;
  /** t, in images, above 0. */
  readonly time: number;
}

/**
 * The widths of the two averages that a training keeps, those of Karras et al. The narrower one is drawn and measured with: early in a
 * run, when weights still travel far, it has the smaller error by several percent, and later both have nearly the same.
 */
export const powerWidths = {
  /** That of `ema` and `averaged` in a training state. */
  drawn: 0.05,
  /** That of `secondAverage`. */
  other: 0.1,
} as const;

/** Widths are at most this, that of the plain mean (gamma = 0). */
const WIDEST = 1 / Math.sqrt(12);

/**
 * The width of the profile with an exponent, sqrt((gamma + 1) / ((gamma + 2)² (gamma + 3))): the standard deviation of tau / t.
 *
 * @param exponent - gamma, not negative
 * @returns from 0.289, the plain mean of all weights, towards 0, the latest weights
 */
export function relativeWidth(exponent: number): number {
  return Math.sqrt((exponent + 1) / (exponent + 3)) / (exponent + 2);
}

/**
 * The exponent gamma of the profile of a width: the inverse of {@link relativeWidth}, as the largest root of a cubic.
 *
 * @param width - above 0 and at most 1 / sqrt(12) = 0.2887
 * @throws RangeError for another width
 */
export function powerExponent(width: number): number {
  if (!(width > 0 && width <= WIDEST)) {
    throw new RangeError(`the width of an average must be above 0 and at most ${WIDEST.toFixed(4)}, found ${width}`);
  }
  // With g = gamma + 1: g³ + 4 g² + (5 - 1 / width²) g + 2 = 0, by Viète's formula for three real roots.
  const square = width ** -2;
  const p = -(square + 1 / 3);
  const q = 2 / 27 + (4 / 3) * square;
  const angle = Math.acos(((1.5 * q) / p) * Math.sqrt(-3 / p)) / 3;
  return Math.max(0, 2 * Math.sqrt(-p / 3) * Math.cos(angle) - 4 / 3 - 1);
}

/**
 * Decay of a power-function average over a step: (1 - batch / t)^(gamma + 1), where t counts the images after the step. With
 * weights that are constant between the ends of two steps, the average is the integral over the profile exactly, whatever the steps.
 *
 * @param images - images processed before the step
 * @param options.batch - images in the step
 * @param options.exponent - gamma
 * @returns from 0, at the first step, to 1
 */
export function powerDecay(images: number, { batch, exponent }: { batch: number; exponent: number }): number {
  return (images / (images + batch)) ** (exponent + 1);
}

/**
 * The inner product of two profiles, the integral of p_a p_b over the time that both cover.
 *
 * @returns in 1 / images
 */
export function profileProduct(a: PowerProfile, b: PowerProfile): number {
  const [early, late] = a.time <= b.time ? [a, b] : [b, a];
  const factor = ((a.exponent + 1) * (b.exponent + 1)) / (a.exponent + b.exponent + 1);
  return (factor * (early.time / late.time) ** late.exponent) / late.time;
}
