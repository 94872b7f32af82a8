/**
 * Precision and recall of generated images (Kynkäänniemi et al. 2019): a set of features covers the balls around its members that
 * reach to their k-th nearest neighbour in the set. Precision is the share of generated images that the real ones cover,
 * recall the share of real images that the generated ones cover.
 */

import { cat, full, scope, type Tensor } from "@stf/torch";
import { type Estimate, shareOf } from "./estimate.js";
import { checkFeatures, forEachBlock } from "./feature-matrix.js";
import { BLOCK, type CentredRows, centred, squaredDistances } from "./pairwise.js";

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
  /** Called with the pairs of blocks compared so far. */
  readonly onProgress?: (done: number, total: number) => void;
}

/** Every block of a set about the common centre; `call` is called with its place among all rows. */
function forEachCentred(features: Tensor, centre: Tensor, call: (block: CentredRows, first: number) => void): void {
  forEachBlock(features.size(0), BLOCK, (first, length) => call(centred(features, centre, first, length), first));
}

/** Infinities like some features: `[rows, columns]`. */
function infinities({ dtype, device }: Tensor, rows: number, columns: number): Tensor {
  return full([rows, columns], Number.POSITIVE_INFINITY, { dtype, device });
}

/** Lowers each row of ascending values, `[n, k]`, to the k smallest of its own and some candidates', `[n, m]`. */
function keepSmallest(sorted: Tensor, candidates: Tensor): void {
  const k = sorted.size(1);
  const [least] = candidates.topk(Math.min(k, candidates.size(1)), 1, false);
  const [kept] = cat([sorted, least], 1).topk(k, 1, false);
  sorted.copy_(kept);
}

/** The squared distance from each row to its k-th nearest other row, `[N]`. Each pair of blocks is compared once. */
function squaredRadii(features: Tensor, centre: Tensor, k: number, onBlocks: () => void): Tensor {
  return scope(() => {
    const count = features.size(0);
    const nearest = infinities(features, count, k);
    forEachCentred(features, centre, (block, first) => {
      const own = nearest.narrow(0, first, block.rows.size(0));
      forEachCentred(features.narrow(0, first, count - first), centre, (other, ahead) => {
        const distances = squaredDistances(block, other);
        if (ahead === 0) distances.diagonal().fill_(Number.POSITIVE_INFINITY);
        keepSmallest(own, distances);
        if (ahead > 0) keepSmallest(nearest.narrow(0, first + ahead, other.rows.size(0)), distances.t());
        onBlocks();
      });
    });
    return nearest.select(1, k - 1).clone();
  });
}

/** Rows, and the squared radii of balls around them. */
interface Balls {
  readonly centres: Tensor;
  readonly squaredRadii: Tensor;
}

/** How many centres of each set lie in at least one ball of the other. */
function coveredCounts(a: Balls, b: Balls, centre: Tensor, onBlocks: () => void): [ofA: number, ofB: number] {
  return scope(() => {
    // Squared distance minus squared radius, the least over the balls of the other set.
    const [depthsA, depthsB] = [a, b].map(({ centres }) => infinities(centres, centres.size(0), 1).squeeze(1)) as [
      Tensor,
      Tensor,
    ];
    const lower = (depths: Tensor, first: number, found: Tensor): void => {
      const part = depths.narrow(0, first, found.size(0));
      part.copy_(part.minimum(found));
    };
    forEachCentred(a.centres, centre, (block, first) => {
      const radii = a.squaredRadii.narrow(0, first, block.rows.size(0)).unsqueeze(1);
      forEachCentred(b.centres, centre, (other, second) => {
        const distances = squaredDistances(block, other);
        lower(depthsB, second, distances.sub(radii).amin([0]));
        lower(depthsA, first, distances.sub(b.squaredRadii.narrow(0, second, other.rows.size(0))).amin([1]));
        onBlocks();
      });
    });
    return [depthsA.le(0).sum().item(), depthsB.le(0).sum().item()];
  });
}

/**
 * Precision and recall by balls to the k-th nearest neighbour. The errors are those of a share of independent
 * images, for the given other set. Both depend on the numbers of images, so only numbers from equally many compare; the published
 * ones are from 50,000 each. The cost is (N + M)² d / 2 products in the precision of the features; memory is for blocks of distances.
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
  const [n, m] = [reference, samples].map((features) => Math.ceil(features.size(0) / BLOCK)) as [number, number];
  let done = 0;
  const onBlocks = (): void => onProgress?.(++done, (n * (n + 1) + m * (m + 1)) / 2 + n * m);
  return scope(() => {
    const other = samples.to({ dtype: reference.dtype, device: reference.device });
    const centre = reference.mean([0]);
    const ballsOf = (centres: Tensor): Balls => ({ centres, squaredRadii: squaredRadii(centres, centre, k, onBlocks) });
    const [recalled, precise] = coveredCounts(ballsOf(reference), ballsOf(other), centre, onBlocks);
    return {
      precision: shareOf(precise, samples.size(0)),
      recall: shareOf(recalled, reference.size(0)),
      neighbours: k,
    };
  });
}
