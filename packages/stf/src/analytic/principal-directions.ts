/** The largest eigenvalues of a covariance, and their directions, from its product with a few vectors. */

import { linalgQr, scope, type Tensor } from "@stf/torch";

/** Largest eigenvalues of a matrix, approximately, and their eigenvectors. */
export interface Directions {
  /** Orthonormal columns, `[D, q]`, in the order of descending eigenvalues. */
  readonly vectors: Tensor;
  /** `[q]`, none negative. */
  readonly eigenvalues: Tensor;
}

/** Eigenvalues below this share of the largest one are lost in the rounding of float32 products. */
const LEAST_SHARE = 1e-7;

/** Stands for the largest eigenvalue of images that are all the same. */
const LEAST_VARIANCE = 1e-200;

/**
 * Nyström's approximation of a positive semidefinite C from C Q with orthonormal Q `[D, q]`: C Q (Q^T C Q)^-1 (C Q)^T,
 * never above C, and equal to it if C has rank q (Tropp, Yurtsever, Udell and Cevher 2017). Its eigenvectors span C Q, so
 * that repeating this with them as Q is subspace iteration: the largest eigenpairs of C are its fixed points.
 *
 * @param product - C Q, float64 `[D, q]`
 */
export function nystromDirections(basis: Tensor, product: Tensor): Directions {
  return scope(() => {
    const [vectors, triangle] = linalgQr(product);
    const inner = basis.t().mm(product);
    const [values, turns] = inner.add(inner.t()).div(2).linalgEigh();
    const largest = Math.max(values.max().item(), LEAST_VARIANCE);
    const isKept = values.gt(LEAST_SHARE * largest);
    const inverse = isKept.to({ dtype: "float64" }).div(values.clampMin(LEAST_SHARE * largest));
    const half = triangle.mm(turns);
    const core = half.mul(inverse).mm(half.t());
    const [eigenvalues, columns] = core.add(core.t()).div(2).linalgEigh();
    return { vectors: vectors.mm(columns.flip([1])), eigenvalues: eigenvalues.flip([0]).clampMin(0) };
  });
}
