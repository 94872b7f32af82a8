/**
 * The Fréchet distance between two sets of features (Dowson and Landau 1982; Heusel et al. 2017 on Inception's features, where
 * it is called FID): the squared Wasserstein-2 distance of the normal distributions with their means and covariances,
 *
 *     ||mu_a - mu_b||² + tr(S_a) + tr(S_b) - 2 tr (S_a S_b)^(1/2).
 *
 * The published programs take the square root of S_a S_b, which is not symmetric and may come out complex. Its trace is the sum of
 * the square roots of the eigenvalues of R S_b R, with R the symmetric square root of S_a, which is symmetric and
 * positive semidefinite: the eigenvalues are real, and negative ones are rounding.
 */

import { type Device, scope, type Tensor } from "@stf/torch";
import { InputError } from "../common/errors.js";
import { forEachBlock } from "./feature-matrix.js";
import type { FeatureStatistics } from "./feature-statistics.js";

/** Statistics of G groups of k features each. */
export interface GroupStatistics {
  /** N; undefined if it is not known. */
  readonly count: number | undefined;
  /** float64 `[G, k]` */
  readonly mean: Tensor;
  /** float64 `[G, k, k]` */
  readonly covariance: Tensor;
}

/** Elements of covariances that are decomposed at a time. */
const ELEMENTS_AT_ONCE = 2 ** 22;

/** The largest rank that a covariance can have: N items span at most N - 1 directions about their mean. */
function rankOf({ count = Number.POSITIVE_INFINITY, mean }: GroupStatistics): number {
  return Math.min(mean.size(1), count - 1);
}

/** The roots of the `rank` largest eigenvalues, negative ones as 0. Others are 0 in exact arithmetic; a root magnifies rounding. */
function rootsOf(eigenvalues: Tensor, rank: number): Tensor {
  return eigenvalues
    .narrow(1, eigenvalues.size(1) - rank, rank)
    .clampMin(0)
    .sqrt_();
}

/** tr (S_a S_b)^(1/2) of each group, `[G]`. */
function tracesOfRoot(a: GroupStatistics, b: GroupStatistics): Tensor {
  const [rankA, rankB] = [rankOf(a), rankOf(b)];
  const [eigenvalues, eigenvectors] = a.covariance.linalgEigh();
  // In the basis of the eigenvectors R is diagonal, and directions without spread drop out.
  const directions = eigenvectors.narrow(2, a.mean.size(1) - rankA, rankA);
  const basis = directions.mul(rootsOf(eigenvalues, rankA).unsqueeze(1));
  const product = basis.transpose(1, 2).bmm(b.covariance.bmm(basis));
  const symmetric = product.add(product.transpose(1, 2)).div_(2);
  return rootsOf(symmetric.linalgEigvalsh(), Math.min(rankA, rankB)).sum([1]);
}

const tracesOf = ({ covariance }: GroupStatistics): Tensor => covariance.diagonal(0, 1, 2).sum([1]);

/** Some groups of `statistics`, on a device. */
function groupsOf({ count, mean, covariance }: GroupStatistics, at: [number, number], device: Device): GroupStatistics {
  const part = (values: Tensor): Tensor => values.narrow(0, ...at).to({ device });
  return { count, mean: part(mean), covariance: part(covariance) };
}

/** The Fréchet distance of each group. The shapes must agree. */
export function groupDistances(a: GroupStatistics, b: GroupStatistics): Float64Array {
  const [groups, size] = a.mean.shape as [number, number];
  const distances = new Float64Array(groups);
  const { device } = a.mean;
  // The square root is taken where fewer directions have spread: it is cheaper.
  const [first, second] = rankOf(a) <= rankOf(b) ? [a, b] : [b, a];
  forEachBlock(groups, Math.max(1, Math.floor(ELEMENTS_AT_ONCE / size ** 2)), (start, length) => {
    const [own, other] = [first, second].map((statistics) => groupsOf(statistics, [start, length], device)) as [
      GroupStatistics,
      GroupStatistics,
    ];
    const shift = own.mean.sub(other.mean).square().sum([1]);
    const spread = tracesOf(own).add(tracesOf(other)).sub(tracesOfRoot(own, other), { alpha: 2 });
    distances.set(shift.add(spread).clampMin(0).toFloat64Array(), start);
  });
  return distances;
}

/** @throws InputError when the statistics cannot be compared. */
function checkComparable(a: FeatureStatistics, b: FeatureStatistics): void {
  const [found, other] = [a.mean.numel, b.mean.numel];
  if (found === other) return;
  throw new InputError(
    `statistics of ${found} features cannot be compared with statistics of ${other} features; both must come from the same feature network`,
  );
}

/**
 * The Fréchet distance of two sets of features, in squared units of the features; 0 when means and covariances are equal.
 * Symmetric and never negative. Rounding is about 1e-12 of the traces; for covariances without full rank that do not tell
 * their number of images, 1e-7. It is biased: with fewer images it is larger, so only numbers from equally many
 * compare. d = 2048 takes seconds.
 *
 * @throws InputError when the numbers of features differ.
 */
export function frechetDistance(a: FeatureStatistics, b: FeatureStatistics): number {
  checkComparable(a, b);
  const group = ({ count, mean, covariance }: FeatureStatistics): GroupStatistics => ({
    count,
    mean: mean.unsqueeze(0),
    covariance: covariance.unsqueeze(0),
  });
  return scope(() => groupDistances(group(a), group(b))[0] as number);
}
