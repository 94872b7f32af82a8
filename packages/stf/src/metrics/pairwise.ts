/** Squared distances between rows, block by block. */

import { scope, type Tensor } from "@stf/torch";

/** Rows whose distances are held at a time, by rows of the other set. */
export const BLOCK = 2048;

/**
 * Rows relative to a common centre, with their squared norms. Products of float32 rows lose the digits that the norms have
 * before the distances, so the centre matters when the mean is large compared with the spread.
 */
export interface CentredRows {
  /** `[N, d]` */
  readonly rows: Tensor;
  /** `[N, 1]` */
  readonly norms: Tensor;
}

/** A block of rows about a centre `[d]`. */
export function centred(features: Tensor, centre: Tensor, first: number, length: number): CentredRows {
  const rows = features.narrow(0, first, length).sub(centre);
  return { rows, norms: rows.square().sum([1], true) };
}

/** ||a_i - b_j||², `[n, m]`; rounding is relative to the norms, and never makes a distance negative. */
export function squaredDistances(a: CentredRows, b: CentredRows): Tensor {
  return scope(() => a.norms.add(b.norms.t()).addmm_(a.rows, b.rows.t(), { alpha: -2 }).clampMin_(0));
}
