/** Distances from points to the rows of a matrix, usually of bytes, and weighted sums of the rows. */

import { call, operator, wrap } from "./dispatch.js";
import { zeros } from "./operators.js";
import { scope } from "./scope.js";
import type { Tensor } from "./tensor.js";

/** From native/kernels/byte_rows.cc: fast loops for bytes on the CPU, stock operators elsewhere. */
const RELATIVE_SQUARED_DISTANCES = operator("stf::relative_squared_distances");
const WEIGHTED_ROW_SUM = operator("stf::weighted_row_sum");
/** From native/kernels/row_posterior.cc. */
const ROW_POSTERIOR_MEAN = operator("stf::row_posterior_mean");

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

/** What {@link rowPosteriorMean} knows of rows before it reads them: a few coordinates of each. Made by {@link sketchRows}. */
export interface RowSketch {
  /** Squared norms of the rows, int32 `[N]`. */
  readonly norms: Tensor;
  /** Coordinates times `scale`, rounded, int16 `[N / 16, q / 2, 16, 2]`, N being rounded up to a multiple of 64. */
  readonly coordinates: Tensor;
  /** Squared norms of the coordinates, infinite after the last row, float32 `[N]`, rounded up in the same way. */
  readonly lengths: Tensor;
  /** `scale` times the norm of what the coordinates leave out, float32 `[N]`, rounded up in the same way. */
  readonly tails: Tensor;
  /** Orthonormal vectors along which coordinates are measured, from the mean; float32 `[q, D]`. */
  readonly basis: Tensor;
  /** The point from which coordinates are measured, float32 `[D]`. */
  readonly mean: Tensor;
  /** Coordinates per unit of the rows: as many as 16-bit products allow. */
  readonly scale: number;
}

/** Rows of a sketch that are compared together, and those of a group. */
const [BLOCK, GROUP] = [64, 16];
/** Rows that are converted to floats together. */
const ROWS_AT_ONCE = 1024;

/**
 * The coordinates of rows of bytes along a few directions.
 *
 * @param rows - uint8 `[N, D]`, on the CPU
 * @param basis - float32 `[q, D]`, orthonormal, q even; the better it represents the rows, the fewer are read later
 * @param mean - float32 `[D]`
 */
export function sketchRows(rows: Tensor, basis: Tensor, mean: Tensor): RowSketch {
  return scope(() => {
    const [count, dimensions] = [rows.size(0), basis.size(0)];
    const padded = Math.ceil(count / BLOCK) * BLOCK;
    const norms = zeros([count], { dtype: "int32" });
    const tails = zeros([padded]);
    const values = zeros([padded, dimensions]);
    for (let first = 0; first < count; first += ROWS_AT_ONCE) {
      scope(() => {
        const length = Math.min(ROWS_AT_ONCE, count - first);
        const bytes = rows.narrow(0, first, length).double();
        const centred = bytes.sub(mean);
        const along = centred.float().mm(basis.t());
        norms.narrow(0, first, length).copy_(bytes.square().sum(1));
        values.narrow(0, first, length).copy_(along);
        const rest = centred.square().sum(1).sub(along.double().square().sum(1));
        tails.narrow(0, first, length).copy_(rest.clampMin(0).sqrt());
      });
    }
    // Products of two lists of q integers, below 2^15 and of this norm, are less than 2^31.
    const root = Math.sqrt(dimensions);
    const longest = Math.max(values.square().sum(1).max().item(), 1);
    const scale = Math.fround((2 ** 16 / root - root) / Math.sqrt(longest));
    const coordinates = values.mul_(scale).round();
    const lengths = coordinates.square().sum(1);
    lengths.narrow(0, count, padded - count).fill_(Number.POSITIVE_INFINITY);
    return {
      norms,
      coordinates: coordinates
        .to({ dtype: "int16" })
        .view([padded / GROUP, GROUP, dimensions / 2, 2])
        .permute([0, 2, 1, 3])
        .contiguous(),
      lengths,
      tails: tails.mul(scale),
      basis,
      mean,
      scale,
    };
  });
}

/**
 * Means of rows r of bytes, weighted by softmax(-||p - r||² / (2 step²)), of points p whose directions are standard normal and whose
 * origins are among the rows: float32 `[B, D]`.
 *
 * A row is left out if its weight relative to the origin's is below 2^-30. The coordinates of a sketch show that for most
 * rows without reading them, with an error of probability 2^-30 for each. Squared distances are exact for points that are rounded to
 * 2^-29 of their largest value, and a row equal to the origin has exactly its weight.
 *
 * @param rows - uint8 `[N, D]` on the CPU, those of the sketch
 * @throws TorchError for shapes and dtypes that do not fit
 */
export function rowPosteriorMean(
  { origins, directions, steps }: PointsOnRays,
  rows: Tensor,
  sketch: RowSketch,
): Tensor {
  const { norms, coordinates, lengths, tails, basis, mean, scale } = sketch;
  const known = [norms, coordinates, lengths, tails, basis, mean].map(({ handle }) => handle);
  return wrap(call(ROW_POSTERIOR_MEAN, origins.handle, directions.handle, steps.handle, rows.handle, ...known, scale));
}
