/** One noisy sample of a data set at any number of noise levels: its posterior, and its stable targets. */

import { cat, scope, searchsorted, type Tensor, tensor } from "@stf/torch";
import { drawPool } from "../data/order.js";
import type { KeyedRandom } from "../random/keyed.js";
import type { ReferenceCount } from "../run/variance-report.js";
import type { NoisySamples } from "./noisy-samples.js";
import { RayPosterior, type Support, supportSize } from "./ray-posterior.js";

/** Possible sources whose targets are computed at each level: the most probable ones, and one drawn from the others. */
const MOST_SOURCES = 4;

/** Possible sources of a noisy image at L levels, S each. */
interface Sources {
  /** Their positions among the candidates, row by row, `[L * S]`. */
  readonly positions: Int32Array;
  /** Weights whose sum over the sources of a level gives an expectation over its posterior, without bias, `[L * S]`. */
  readonly shares: Float64Array;
}

const positionsOf = (indices: Tensor): Int32Array => Int32Array.from(indices.toFloat64Array());

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
  readonly #random: KeyedRandom;
  readonly #counts: readonly number[];
  /** Other references in the order in which they are taken, by position among the candidates. */
  readonly #others: Int32Array;
  readonly #places: ReadonlyMap<number, number>;
  readonly #positions: Tensor;
  readonly #references: RayPosterior;

  /**
   * @param sample - its number
   * @param support - its candidate sources
   * @param references - the numbers of references of its targets, which are nested
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
    this.#random = samples.randomOf(sample);
    this.#counts = references.map((count) => (count === "all" ? this.size : Math.min(count, this.size)));
    // All of them need no draw: their target is the posterior mean.
    const most = Math.max(1, ...this.#counts.filter((count) => count < this.size));
    this.#others = drawPool(new Int32Array(), most, this.size, this.#random);
    this.#places = new Map(Array.from(this.#others, (position, place) => [position, place]));
    this.#positions = tensor(this.#others, { device: bank.device });
    this.#references = new RayPosterior(bank, this.ray.itemsAt(this.#others), origin, noise);
  }

  /**
   * ||T_n - D*||², summed over the values, in expectation over the sources that the noisy image may have, for each number of references:
   * exactly over the most probable sources, and by one draw over the others. `[L]` each.
   *
   * @param logits - `ray.logits` at L levels
   * @param exact - the posterior means at these levels, float64 `[L, D]`
   */
  squaredErrors(logits: Tensor, exact: Tensor): Float64Array[] {
    const sources = this.#sourcesAt(logits.softmax(1));
    const [levels] = exact.shape as [number];
    const each = sources.positions.length / levels;
    const rows = tensor(
      Int32Array.from(sources.positions, (_, row) => Math.floor(row / each)),
      { device: exact.device },
    );
    const around = exact.indexSelect(0, rows);
    const shares = tensor(sources.shares, { shape: [levels, each], device: exact.device });
    return this.#counts.map((count) => {
      if (count === this.size) return new Float64Array(levels);
      return scope(() => {
        const target = this.#targets(logits.indexSelect(0, rows), sources.positions, count);
        const squares = target.sub(around).square().sum(1).view([levels, each]);
        return squares.mul(shares).sum(1).toFloat64Array();
      });
    });
  }

  /**
   * The stable target of y for each number of references, float64 `[L, D]`.
   *
   * @param logits - `ray.logits` at L levels
   * @param exact - the posterior means at these levels, the target of all references
   */
  targets(logits: Tensor, exact: Tensor): Tensor[] {
    const sources = new Int32Array(logits.size(0)).fill(this.own);
    return this.#counts.map((count) => (count === this.size ? exact : this.#targets(logits, sources, count)));
  }

  #sourcesAt(weights: Tensor): Sources {
    const [levels, size] = weights.shape as [number, number];
    const each = Math.min(MOST_SOURCES, size);
    const [probable, indices] = weights.topk(each);
    if (each === size) return { positions: positionsOf(indices), shares: probable.toFloat64Array() };
    const known = indices.narrow(1, 0, each - 1);
    // The last of the sources is drawn from all that are not among the first.
    const cumulative = weights.scatter(1, known, 0).cumsum(1);
    const rest = cumulative.narrow(1, size - 1, 1);
    const places = tensor(
      Float64Array.from({ length: levels }, () => this.#random.uniform()),
      {
        shape: [levels, 1],
        device: weights.device,
      },
    );
    const drawn = searchsorted(cumulative, places.mul(rest), { right: true }).clamp(0, size - 1);
    return {
      positions: positionsOf(cat([known, drawn], 1)),
      shares: cat([probable.narrow(1, 0, each - 1), rest], 1).toFloat64Array(),
    };
  }

  /** Targets of n references for given sources, one for each row of logits, float64 `[rows, D]`. */
  #targets(logits: Tensor, sources: Int32Array, count: number): Tensor {
    const { device } = logits;
    const at = tensor(sources, { dtype: "int64", shape: [sources.length, 1], device });
    const images = this.ray.values(sources);
    if (count === 1) return images;
    const own = logits.gather(1, at);
    const most = this.#others.length;
    // A source that is among the first references is not added to them, and the set gets one more.
    const isAmong = Array.from(sources, (source) => (this.#places.get(source) ?? most) < count - 1);
    const mask = new Float64Array(sources.length * most);
    for (const [row, among] of isAmong.entries()) {
      mask.fill(Number.NEGATIVE_INFINITY, row * most + count - (among ? 0 : 1), (row + 1) * most);
    }
    const others = logits.indexSelect(1, this.#positions).add(tensor(mask, { shape: [sources.length, most], device }));
    const added = tensor(
      Float64Array.from(isAmong, (among) => (among ? Number.NEGATIVE_INFINITY : 0)),
      {
        shape: [sources.length, 1],
        device,
      },
    );
    const share = own.add(added).sub(others.logsumexp(1, true)).sigmoid();
    const mean = this.#references.mean(others.softmax(1)).double();
    return mean.add(images.sub(mean).mul(share));
  }
}
