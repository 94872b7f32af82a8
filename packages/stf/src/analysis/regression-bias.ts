/** The regression bias of targets on a data set, whose exact posterior is over all of its items, or those of a class. */

import { noGrad, scope, type Tensor, tensor, weightedRowSum } from "@stf/torch";
import type { Bank } from "../data/bank.js";
import { drawPool } from "../data/order.js";
import { KeyedRandom, randomKey } from "../random/keyed.js";
import type { BiasReport, ReferenceCount } from "../run/variance-report.js";
import { classMembers } from "../targets/references.js";
import { type BiasVariant, biasVariants, type ReferenceScheme } from "./bias-variants.js";
import { NoisySamples } from "./noisy-samples.js";
import { RayPosterior, type Support, supportSize } from "./ray-posterior.js";
import { type BiasOptions, type BiasProblem, biasReports } from "./squared-bias.js";

/** Options of {@link regressionBias}. */
export interface DataBiasOptions extends BiasOptions {
  /** Whether the network is given the class: the truth is then D*(x, class). False when left out. */
  readonly sameClass?: boolean;
}

/** Whether a target differs from ours on such data. */
function applies(bank: Bank, { anyClass, mirrored }: ReferenceScheme, sameClass: boolean): boolean {
  return (!anyClass || (sameClass && bank.labels !== undefined)) && (!mirrored || bank.shape.width > 1);
}

/** Those whose difference from ours tends to show; counting the source twice hardly matters among many references. */
const telling: readonly BiasVariant[] = ["stable", "sourceExcluded", "mixedClasses", "independentFlips"];

/**
 * The targets whose bias is worth measuring on a data set: ours, and those with references without the source, of mixed classes
 * (`sameClass`), and mirrored at random.
 */
export function biasVariantsOf(bank: Bank, { sameClass = false }: { sameClass?: boolean } = {}): BiasVariant[] {
  return telling.filter((name) => applies(bank, biasVariants[name], sameClass));
}

/**
 * Measures the regression bias E ||E[T | x, condition] - D*(x, condition)||² / D of targets T on a data set, where
 * D*(x, condition) is the posterior mean over all of its items that meet the condition. The estimates are unbiased, and their errors
 * are those of the mean over noisy samples x.
 *
 * The condition is the class with `sameClass`, and for independent flips whether x was mirrored. Flips are orthogonal, so samples
 * that are not mirrored stand for all.
 *
 * @throws RangeError for a target that does not differ from ours on such data, for classes without labels, and for fewer than 2 draws
 */
export function regressionBias(bank: Bank, options: DataBiasOptions): BiasReport[] {
  const { variants, seed, sameClass = false } = options;
  if (sameClass && !bank.labels) throw new RangeError(`a bias within classes needs labels; ${bank.name} has none`);
  const useless = variants.find((name) => !applies(bank, biasVariants[name], sameClass));
  if (useless) throw new RangeError(`on ${bank.name} the target "${useless}" does not differ from the stable target`);
  const randomOf = (sample: number, target: number): KeyedRandom =>
    new KeyedRandom(randomKey(seed, "bias", sample * Object.keys(biasVariants).length + target));
  const { labels } = bank;
  const classes = sameClass && labels ? classMembers(labels) : undefined;
  const supports: Support[] = classes ? [...classes.values()] : ["all"];
  return noGrad(() =>
    scope(() => {
      const samples = new NoisySamples(bank, seed);
      const means = new Map(supports.map((support) => [support, meanOf(bank, support)] as const));
      const problemOf = (sample: number): BiasProblem => {
        const support = classes?.get(labels?.[samples.sourceOf(sample)] as number) ?? "all";
        return new BankProblem(samples, sample, { support, mean: means.get(support) as Float64Array }, options);
      };
      return biasReports(options, problemOf, randomOf);
    }),
  );
}

/** The images of one row each, with left and right swapped. */
function mirror(rows: Tensor, { shape, dimension }: Bank): Tensor {
  const { width } = shape;
  return rows
    .reshape([rows.size(0), dimension / width, width])
    .flip([2])
    .view([rows.size(0), dimension]);
}

/** Rows in own units as network input values. */
const valuesOf = (bank: Bank, rows: Tensor): Float64Array => bank.toValues(rows).toFloat64Array();

/** The mean of a support, `[D]`. */
function meanOf(bank: Bank, support: Support): Float64Array {
  const { device } = bank;
  const size = supportSize(bank, support);
  const weights = tensor(new Float64Array(size).fill(1 / size), { shape: [1, size], device });
  const index = support === "all" ? undefined : tensor(support, { device });
  return valuesOf(bank, weightedRowSum(weights, bank.rows, index));
}

/** Sums of the weights up to each of them. */
function cumulated(weights: Float64Array): Float64Array {
  let sum = 0;
  return weights.map((weight) => {
    sum += weight;
    return sum;
  });
}

/** A position, drawn with probability proportional to its weight, by the sums of weights up to each. */
function choose(sums: Float64Array, random: KeyedRandom): number {
  const wanted = random.uniform() * (sums.at(-1) as number);
  let [low, high] = [0, sums.length - 1];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((sums[middle] as number) > wanted) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** A sample of a data set. */
class BankProblem implements BiasProblem {
  readonly exact: Float64Array;
  readonly mean: Float64Array;
  readonly #bank: Bank;
  readonly #references: ReferenceCount;
  /** The candidate sources. */
  readonly #support: Support;
  /** Sums of their weights, for each level. */
  readonly #posterior: readonly Float64Array[];
  /** ln w_k of every item up to a constant of each level, `[L, N]`: of the items as they are, and mirrored. */
  readonly #logits: readonly [plain: Float64Array, mirrored: Float64Array | undefined];

  constructor(
    samples: NoisySamples,
    sample: number,
    { support, mean }: { support: Support; mean: Float64Array },
    { sigma, references, variants }: BiasOptions,
  ) {
    const { bank } = samples;
    const levels = Float64Array.from(sigma);
    const origin = bank.gather(Int32Array.of(samples.sourceOf(sample)));
    const noise = samples.noiseOf(sample);
    const plain = new RayPosterior(bank, "all", origin, noise).logits(levels);
    // ||x - T r|| = ||T x - r||: the mirrored noisy image against the images as they are.
    const mirrored = variants.some((name) => biasVariants[name].mirrored)
      ? new RayPosterior(bank, "all", mirror(origin, bank), mirror(noise, bank)).logits(levels)
      : undefined;
    const index = support === "all" ? undefined : tensor(support, { device: bank.device });
    const posterior = (index ? plain.indexSelect(1, index) : plain).softmax(1);
    this.mean = mean;
    this.exact = valuesOf(bank, weightedRowSum(posterior, bank.rows, index));
    this.#bank = bank;
    this.#references = references;
    this.#support = support;
    this.#posterior = posterior.unbind(0).map((weights) => cumulated(weights.toFloat64Array()));
    this.#logits = [plain.toFloat64Array(), mirrored?.toFloat64Array()];
  }

  /** An item for each level, drawn from the posterior. */
  #drawSources(random: KeyedRandom): number[] {
    return this.#posterior.map((sums) => {
      const position = choose(sums, random);
      return this.#support === "all" ? position : (this.#support[position] as number);
    });
  }

  draw({ copies, anyClass, mirrored }: ReferenceScheme, random: KeyedRandom): Float64Array {
    const bank = this.#bank;
    const pool = anyClass || this.#support === "all" ? bank.count : this.#support;
    const size = typeof pool === "number" ? pool : pool.length;
    // An item that is alone in its class is its own reference in any case.
    const own = size === 1 ? 1 : copies;
    const wanted = (this.#references === "all" ? size : this.#references) - Math.min(own, 1);
    const others = Math.min(wanted, size - 1);
    // One more than needed: given any source, those that are not the source are a uniform draw of the others.
    const drawn = drawPool(new Int32Array(), others + 1, pool, random);
    const flipped = Array.from(drawn, () => mirrored && random.uniform() < 0.5);
    const sources = this.#drawSources(random);
    const items = Int32Array.from([...drawn, ...sources]);
    const [plain, turned] = this.#logits;
    // The columns of items as they are, then those of mirrored items.
    const width = items.length * (mirrored ? 2 : 1);
    const logits = new Float64Array(sources.length * width).fill(Number.NEGATIVE_INFINITY);
    sources.forEach((source, level) => {
      const [row, at] = [level * width, level * bank.count];
      let left = others;
      drawn.forEach((item, j) => {
        if (item === source || left-- <= 0) return;
        logits[row + j + (flipped[j] ? items.length : 0)] = (flipped[j] ? turned : plain)?.[at + item] as number;
      });
      if (own > 0) logits[row + drawn.length + level] = (plain[at + source] as number) + Math.log(own);
    });
    return scope(() => {
      const index = tensor(items, { device: bank.device });
      const weights = tensor(logits, { shape: [sources.length, width], device: bank.device }).softmax(1);
      const [asTheyAre, flippedWeights] = weights.split(items.length, 1) as [Tensor, Tensor?];
      const mean = weightedRowSum(asTheyAre, bank.rows, index);
      return valuesOf(
        bank,
        flippedWeights ? mean.add(mirror(weightedRowSum(flippedWeights, bank.rows, index), bank)) : mean,
      );
    });
  }
}
