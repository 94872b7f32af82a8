/**
 * Precision and recall of generated images (Kynkäänniemi et al. 2019): a set of features covers the balls around its members that
 * reach to their k-th nearest neighbour in the set. Precision is the share of generated images that the real ones cover,
 * recall the share of real images that the generated ones cover.
 */

import { full, scope, type Tensor, zeros } from "@stf/torch";
import { type Estimate, shareOf } from "./estimate.js";
import { checkFeatures, forEachBlock } from "./feature-matrix.js";
import { BLOCK, centred, squaredDistances } from "./pairwise.js";

/** {@link precisionRecall}'s result. */
export interface PrecisionRecall {
  /** Share of samples within the reference set's balls: are they realistic? */
  readonly precision: Estimate;
  /** Share of reference images within the samples' balls: is everything there? */
  readonly recall: Estimate;
  /** k, which neighbour a ball reaches to. */
  readonly neighbours: number;
}

/** Options of {@link precisionRecall}. */
export interface PrecisionRecallOptions {
  /** k, which neighbour a ball reaches to; 3 when left out, as published. */
  readonly neighbours?: number;
  /** Called as rows of both sets are compared. */
  readonly onProgress?: (done: number, total: number) => void;
}

/** The squared distance from each row to its k-th nearest other row, `[N]`. */
function squaredRadii(features: Tensor, centre: Tensor, k: number, onRows: (rows: number) => void): Tensor {
  const count = features.size(0);
  const radii = zeros([count], { dtype: features.dtype, device: features.device });
  forEachBlock(count, BLOCK, (first, length) => {
    const block = centred(features, centre, first, length);
    const options = { dtype: features.dtype, device: features.device };
    const nearest = full([length, k], Number.POSITIVE_INFINITY, options);
    forEachBlock(count, BLOCK, (other, width) => {
      const distances = squaredDistances(block, centred(features, centre, other, width));
      if (other === first) distances.diagonal().fill_(Number.POSITIVE_INFINITY);
      const [least] = distances.topk(Math.min(k, width), 1, false);
      for (let column = 0; column < least.size(1); column++) insert(nearest, least.select(1, column));
    });
    radii.narrow(0, first, length).copy_(nearest.select(1, k - 1));
    onRows(length);
  });
  return radii;
}

/** Inserts a value into each row of ascending values, and drops the largest. */
function insert(sorted: Tensor, values: Tensor): void {
  scope(() => {
    let carried = values;
    for (let column = 0; column < sorted.size(1); column++) {
      const place = sorted.select(1, column);
      const larger = place.maximum(carried);
      place.copy_(place.minimum(carried));
      carried = larger;
    }
  });
}

/** Rows that balls of given squared radii surround. */
interface Balls {
  readonly centres: Tensor;
  readonly squaredRadii: Tensor;
}

/** How many points lie in at least one ball. */
function coveredCount(
  points: Tensor,
  { centres, squaredRadii: radii }: Balls,
  centre: Tensor,
  onRows: (rows: number) => void,
): number {
  let covered = 0;
  forEachBlock(points.size(0), BLOCK, (first, length) => {
    const block = centred(points, centre, first, length);
    const options = { dtype: points.dtype, device: points.device };
    const depth = full([length], Number.POSITIVE_INFINITY, options);
    forEachBlock(centres.size(0), BLOCK, (other, width) => {
      const distances = squaredDistances(block, centred(centres, centre, other, width));
      depth.copy_(depth.minimum(distances.sub_(radii.narrow(0, other, width)).amin([1])));
    });
    covered += depth.le(0).sum().item();
    onRows(length);
  });
  return covered;
}

/**
 * Precision and recall by balls to the k-th nearest neighbour. The errors are those of a share of independent
 * images, for the given other set. Both depend on the numbers of images, so only numbers from equally many compare; the published
 * ones are from 50,000 each. The cost is (N + M)² d products in the precision of the features; memory is for blocks of distances.
 *
 * @param reference - features of real images, `[N, d]`
 * @param samples - features of generated images, `[M, d]`
 * @throws InputError when the numbers of features differ, and for sets of k images or fewer.
 */
export function precisionRecall(
  reference: Tensor,
  samples: Tensor,
  { neighbours: k = 3, onProgress }: PrecisionRecallOptions = {},
): PrecisionRecall {
  checkFeatures(reference, samples, k + 1);
  let done = 0;
  const total = 2 * (reference.size(0) + samples.size(0));
  const onRows = (rows: number): void => {
    done += rows;
    onProgress?.(done, total);
  };
  return scope(() => {
    const centre = reference.mean([0]);
    const share = (points: Tensor, centres: Tensor): Estimate => {
      const balls = { centres, squaredRadii: squaredRadii(centres, centre, k, onRows) };
      return shareOf(coveredCount(points, balls, centre, onRows), points.size(0));
    };
    const [precision, recall] = [share(samples, reference), share(reference, samples)];
    return { precision, recall, neighbours: k };
  });
}
