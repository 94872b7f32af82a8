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

import { scope, type Tensor } from "@stf/torch";
import { InputError } from "../common/errors.js";
import type { FeatureStatistics } from "./feature-statistics.js";

/** The largest rank that a covariance can have: N items span at most N - 1 directions about their mean. */
function rankOf({ count = Number.POSITIVE_INFINITY, mean }: FeatureStatistics): number {
  return Math.min(mean.numel, count - 1);
}

/** The `rank` largest eigenvalues, ascending, negative ones as 0. Others are 0 in exact arithmetic, and roots magnify rounding. */
function rootsOf(eigenvalues: Tensor, rank: number): Tensor {
  return eigenvalues
    .narrow(0, eigenvalues.numel - rank, rank)
    .clampMin(0)
    .sqrt_();
}

/** tr (S_a S_b)^(1/2) */
function traceOfRoot(a: FeatureStatistics, b: FeatureStatistics): number {
  return scope(() => {
    const [rankA, rankB] = [rankOf(a), rankOf(b)];
    const [eigenvalues, eigenvectors] = a.covariance.linalgEigh();
    const roots = rootsOf(eigenvalues, rankA);
    // In the basis of the eigenvectors R is diagonal, and directions without spread drop out.
    const basis = eigenvectors.narrow(1, a.mean.numel - rankA, rankA).mul(roots);
    const product = basis.t().mm(b.covariance.mm(basis));
    const symmetric = product.add(product.t()).div_(2);
    return rootsOf(symmetric.linalgEigvalsh(), Math.min(rankA, rankB)).sum().item();
  });
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
 * Symmetric and never negative; rounding is about 1e-12 of the traces. It is biased: with fewer
 * images it is larger, so only numbers from equally many images compare. d = 2048 takes seconds.
 *
 * @throws InputError when the numbers of features differ.
 */
export function frechetDistance(a: FeatureStatistics, b: FeatureStatistics): number {
  checkComparable(a, b);
  return scope(() => {
    const { device } = a.mean;
    const other = { ...b, mean: b.mean.to({ device }), covariance: b.covariance.to({ device }) };
    const shift = a.mean.sub(other.mean).square().sum().item();
    const traces = a.covariance.trace().item() + other.covariance.trace().item();
    // The square root is taken where fewer directions have spread: it is cheaper.
    const [first, second] = rankOf(a) <= rankOf(b) ? [a, other] : [other, a];
    return Math.max(0, shift + (traces - 2 * traceOfRoot(first, second)));
  });
}
