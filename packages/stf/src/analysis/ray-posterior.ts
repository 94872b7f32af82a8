/**
 * The posteriors of y + sigma eps for one y, one eps and any number of noise levels. Their weights are
 *
 *     w_k = softmax_k( -(||y - r_k||² + 2 sigma eps.(y - r_k)) / (2 sigma²) ),
 *
 * so everything that takes time, ||y - r_k||² and eps.(y - r_k), is computed once for all levels.
 */

import { cat, relativeSquaredDistances, scope, type Tensor, tensor, weightedRowSum } from "@stf/torch";
import { column } from "../column.js";
import type { Bank } from "../data/bank.js";

/** Candidate sources: items of a bank by index, or all of them. */
export type Support = Int32Array | "all";

/** Number of items in a support. */
export const supportSize = (bank: Bank, support: Support): number => (support === "all" ? bank.count : support.length);

/** Weights that are held at a time: 32 MiB of float64. */
const MOST_WEIGHTS = 2 ** 22;

/** The posteriors along a ray y + sigma eps over n candidate sources. Tensors belong to the scope that it is made in. */
export class RayPosterior {
  /** ||y - r_k||², in network input values, float64 `[1, n]`; exact for images. */
  readonly squares: Tensor;
  readonly #along: Tensor;
  readonly #bank: Bank;
  readonly #index: Tensor | undefined;

  /**
   * @param origin - y in the bank's own units, `[1, D]`: a row of the bank, or of another one in the same units
   * @param noise - eps, float32 `[1, D]`
   */
  constructor(bank: Bank, support: Support, origin: Tensor, noise: Tensor) {
    const { device, unit, rows } = bank;
    this.#bank = bank;
    this.#index = support === "all" ? undefined : tensor(support, { device });
    const distances = (step: number): Tensor => {
      const steps = tensor(Float64Array.of(step), { device });
      return relativeSquaredDistances({ origins: origin, directions: noise, steps }, rows, this.#index);
    };
    const squares = distances(0);
    // In own units the step is half a unit, so that the difference is eps.(y - r).
    this.#along = distances(0.5).sub_(squares).div_(unit);
    this.squares = squares.div_(unit ** 2);
  }

  /** ln w_k up to a constant of each level, float64 `[L, n]`; 0 for an item that equals y. */
  logits(sigma: Float64Array): Tensor {
    return scope(() => {
      const factor = (value: (level: number) => number): Tensor => column(sigma.map(value), this.squares);
      return this.squares
        .mul(factor((level) => -0.5 / level ** 2))
        .add_(this.#along.mul(factor((level) => -1 / level)));
    });
  }

  /** sum_k w_k r_k, in network input values, float32 `[L, D]`. @param weights - `[L, n]` */
  mean(weights: Tensor): Tensor {
    return scope(() => this.#bank.toValues(weightedRowSum(weights, this.#bank.rows, this.#index)));
  }

  /** Noise levels in groups whose weights fit in memory together. */
  groupsOf(sigma: Float64Array): Float64Array[] {
    const atOnce = Math.max(1, Math.floor(MOST_WEIGHTS / this.squares.size(1)));
    return Array.from({ length: Math.ceil(sigma.length / atOnce) }, (_, i) =>
      sigma.subarray(i * atOnce, (i + 1) * atOnce),
    );
  }

  /** The posterior mean at each level, D*(y + sigma eps; sigma) if all candidates are there, float32 `[L, D]`. */
  posteriorMean(sigma: Float64Array): Tensor {
    return scope(() =>
      cat(this.groupsOf(sigma).map((levels) => scope(() => this.mean(this.logits(levels).softmax(1))))),
    );
  }

  /** The candidates at the given positions, in network input values, float64 `[positions.length, D]`. */
  values(positions: Int32Array): Tensor {
    return scope(() => this.#bank.toValues(this.#bank.gather(this.itemsAt(positions))).double());
  }

  /** The candidates at the given positions, as the bank numbers them. */
  itemsAt(positions: Int32Array): Int32Array {
    if (!this.#index) return positions;
    const index = this.#index;
    return scope(() =>
      Int32Array.from(index.indexSelect(0, tensor(positions, { device: index.device })).toFloat64Array()),
    );
  }
}
