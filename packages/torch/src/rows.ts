/** Distances from points to the rows of a matrix, usually of bytes, and weighted sums of the rows. */

import { call, operator, wrap } from "./dispatch.js";
import type { Tensor } from "./tensor.js";

/** From native/kernels/byte_rows.cc: fast loops for bytes on the CPU, stock operators elsewhere. */
const RELATIVE_SQUARED_DISTANCES = operator("stf::relative_squared_distances");
const WEIGHTED_ROW_SUM = operator("stf::weighted_row_sum");

/** B points p = origin + step * direction in D dimensions. */
export interface PointsOnRays {
  /** `[B, D]`, of the dtype of the rows that the points are compared with. */
  readonly origins: Tensor;
  /** `[B, D]`, floating point. */
  readonly directions: Tensor;
  /** float64 `[B]` */
  readonly steps: Tensor;
}

/**
 * Squared distances from points to rows r, relative to those from the points to their own origins o: ||p - r||² - ||p - o||²,
 * which is ||o - r||² + 2 step direction.(o - r), float64 `[B, rows]`.
 *
 * For rows of bytes the first term is exact and the second is rounded to float32, if the directions are float32, whatever the
 * size of the step; on the CPU a row equal to the origin gives 0. No gradient flows to bytes.
 *
 * @param rows - uint8 or floating point `[N, D]`
 * @param index - int32 or int64 `[rows]`: the rows to use, without copying them first; all rows when left out
 * @throws TorchError for shapes and dtypes that do not fit, and for an index that is out of range.
 */
export function relativeSquaredDistances(
  { origins, directions, steps }: PointsOnRays,
  rows: Tensor,
  index?: Tensor,
): Tensor {
  return wrap(
    call(RELATIVE_SQUARED_DISTANCES, origins.handle, directions.handle, steps.handle, rows.handle, index?.handle),
  );
}

/**
 * Weighted sums of rows, sum_j w_ij r_j, of the dtype of the rows, or float32 for bytes, `[B, D]`. Bytes with weights of 0
 * cost nothing on the CPU.
 *
 * @param weights - floating point `[B, rows]`
 * @param rows - uint8 or floating point `[N, D]`
 * @param index - as for {@link relativeSquaredDistances}
 * @throws TorchError for shapes and dtypes that do not fit, and for an index that is out of range.
 */
export function weightedRowSum(weights: Tensor, rows: Tensor, index?: Tensor): Tensor {
  return wrap(call(WEIGHTED_ROW_SUM, weights.handle, rows.handle, index?.handle));
}
