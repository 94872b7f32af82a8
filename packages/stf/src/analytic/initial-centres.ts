/** Where a fit of several components begins: k-means on some of the images. */

import { cat, scope, type Tensor } from "@stf/torch";
import type { KeyedRandom } from "../random/keyed.js";

/** Rounds of assigning images to centres. The fit that follows refines what they find. */
const ROUNDS = 10;

/** ||x_i - c_k||², float64 `[n, K]`. */
function squaredDistances(points: Tensor, centres: Tensor): Tensor {
  return scope(() =>
    points.square().sum(1, true).sub(points.mm(centres.t()).mul(2)).add(centres.square().sum(1)).clampMin_(0),
  );
}

/**
 * Rows that are far from each other: the first with equal probabilities, each further one with a probability proportional
 * to its squared distance to the nearest of those before (k-means++, Arthur and Vassilvitskii 2007). Fewer than K if no
 * others differ.
 */
function spreadOut(points: Tensor, K: number, random: KeyedRandom): Tensor {
  return scope(() => {
    const count = points.size(0);
    const nearest = new Float64Array(count).fill(Number.POSITIVE_INFINITY);
    const chosen: Tensor[] = [];
    let next = random.integer(count);
    for (;;) {
      const centre = points.narrow(0, next, 1);
      chosen.push(centre);
      if (chosen.length === K) break;
      const distances = squaredDistances(points, centre).toFloat64Array();
      distances.forEach((distance, i) => {
        nearest[i] = i === next ? 0 : Math.min(nearest[i] as number, distance);
      });
      let left = random.uniform() * nearest.reduce((sum, distance) => sum + distance, 0);
      next = nearest.findIndex((distance) => {
        left -= distance;
        return left < 0;
      });
      if (next < 0) break;
    }
    return cat(chosen);
  });
}

/** The mean of the points nearest to each centre; a centre without points stays. */
function moved(points: Tensor, centres: Tensor): Tensor {
  return scope(() => {
    const nearest = squaredDistances(points, centres).argmin(1);
    const members = nearest.oneHot(centres.size(0)).double();
    const counts = members.sum(0).unsqueeze(1);
    return members
      .t()
      .mm(points)
      .add(centres.mul(counts.eq(0)))
      .div(counts.clampMin(1));
  });
}

/** At most K centres of the points by k-means, float64 `[K, D]`. */
export function initialCentres(points: Tensor, K: number, random: KeyedRandom): Tensor {
  return scope(() => {
    const exact = points.double();
    let centres = spreadOut(exact, K, random);
    if (centres.size(0) === 1) return exact.mean(0, true);
    for (let round = 0; round < ROUNDS; round++) centres = moved(exact, centres);
    return centres;
  });
}

/** Mean squared distance per value of the points to the nearest of some centres. */
export function meanSpread(points: Tensor, centres: Tensor): number {
  return scope(() => squaredDistances(points.double(), centres).amin(1).mean().div(points.size(1)).item());
}
