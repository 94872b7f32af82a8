/** The noise levels at which stable targets are worth computing: those where a sample may come from more than one image. */

import type { IsNeeded } from "./references.js";

/** Stable targets for minimum <= sigma <= maximum, the source elsewhere. */
export const sigmaRange =
  (minimum: number, maximum: number): IsNeeded =>
  (_, sigma) =>
    sigma >= minimum && sigma <= maximum;

/** The largest change of a target that may be neglected, in network input values. */
const TOLERANCE = 1e-4;
/** Largest difference between two values of images. */
const RANGE = 2;
/** A standard normal number is below minus this with a probability of 6e-16. */
const EXTREME = 8;
/**
 * How much closer than the images their transforms are assumed to be. Not a bound: a shift or a magnification can lose
 * the part of the images in which they differ. On CIFAR-10 no target changed up to three times the noise level that follows.
 */
const SHRINKAGE = 0.5;

/**
 * Stable targets where they can differ from the source by more than 1e-4.
 *
 * With a = ||y - r|| / sigma and z = eps.(y - r) / ||y - r||, which is standard normal, the weight of a reference relative to
 * the source's is exp(-a² / 2 - a z). When all of N references are at least a sigma away, the target moves by less than
 * 2 N exp(-a² / 2 + 8 a) unless some z is below -8. That is below 1e-4 from a = 8 + sqrt(64 + 2 ln(2 N / 1e-4)) on. The
 * decision is made from sigma and distances known beforehand, never from the noisy image: that would bias the target. For
 * warped samples, half the distance replaces the unknown one between the transforms.
 *
 * @param distances - for each item a lower bound of the distance to its nearest neighbour, `[N]`
 */
export function posteriorWindow(distances: Float64Array): IsNeeded {
  const enough = EXTREME + Math.sqrt(EXTREME ** 2 + 2 * Math.log((RANGE * distances.length) / TOLERANCE));
  return (source, sigma, warped) => {
    const distance = (distances[source] as number) * (warped ? SHRINKAGE : 1);
    return distance < enough * sigma;
  };
}
