/** One noisy sample of a data set at any number of noise levels: its posterior, and its stable targets. */

import { cat, type Tensor, tensor, zeros } from "@stf/torch";
import { drawPool } from "../data/order.js";
import type { ReferenceCount } from "../run/variance-report.js";
import type { NoisySamples } from "./noisy-samples.js";
import { RayPosterior, type Support, supportSize } from "./ray-posterior.js";

/** A sample y + sigma eps. Tensors belong to the scope that it is made in. */
export class EmpiricalSample {
  /** y, as the bank numbers it. */
  readonly item: number;
  /** Its position among the candidate sources. */
  readonly own: number;
  /** Number of candidate sources. */
  readonly size: number;
  /** y, in network input values, float64 `[1, D]`. */
  readonly source: Tensor;
  /** Its posteriors. */
  readonly ray: RayPosterior;
  readonly #counts: readonly number[];
  readonly #most: number;
  readonly #positions: Tensor;
  readonly #references: RayPosterior;

  /**
   * @param sample - its number
   * @param support - its candidate sources
   * @param references - the numbers of references of its targets; they are nested, and y is the first
   */
  constructor(samples: NoisySamples, sample: number, support: Support, references: readonly ReferenceCount[]) {
    const { bank } = samples;
    this.item = samples.sourceOf(sample);
    this.own = support === "all" ? this.item : support.indexOf(this.item);
    this.size = supportSize(bank, support);
    const origin = bank.gather(Int32Array.of(this.item));
    const noise = samples.noiseOf(sample);
    this.source = bank.toValues(origin).double();
    this.ray = new RayPosterior(bank, support, origin, noise);
    this.#counts = references.map((count) => (count === "all" ? this.size : Math.min(count, this.size)));
    // All of them need no draw: their target is the posterior mean.
    this.#most = Math.max(1, ...this.#counts.filter((count) => count < this.size));
    const positions = drawPool(Int32Array.of(this.own), this.#most, this.size, samples.randomOf(sample));
    this.#positions = tensor(positions, { device: bank.device });
    this.#references = new RayPosterior(bank, this.ray.itemsAt(positions), origin, noise);
  }

  /**
   * The stable target of each number of references, float64 `[L, D]` or `[1, D]` if it is the same at all levels.
   *
   * @param logits - `ray.logits` at L levels
   * @param exact - the posterior means at these levels, the target of all references
   */
  targets(logits: Tensor, exact: Tensor): Tensor[] {
    const chosen = logits.indexSelect(1, this.#positions);
    return this.#counts.map((count) => {
      if (count === this.size) return exact;
      if (count === 1) return this.source;
      return this.#references.mean(this.#padded(chosen.narrow(1, 0, count).softmax(1))).double();
    });
  }

  /** Weights of the first references, and 0 for the others. */
  #padded(weights: Tensor): Tensor {
    const [levels, count] = weights.shape as [number, number];
    const rest = this.#most - count;
    return rest === 0
      ? weights
      : cat([weights, zeros([levels, rest], { dtype: "float64", device: weights.device })], 1);
  }
}
