/** The truth of a data set: the posterior over all of its items, or over those of the sample's class. */

import { noGrad, scope, type Tensor, tensor, zeros } from "@stf/torch";
import type { Bank } from "../data/bank.js";
import type { ReferenceCount } from "../run/variance-report.js";
import { classMembers } from "../targets/references.js";
import { divergenceTerms } from "./divergence.js";
import { EmpiricalSample } from "./empirical-sample.js";
import { NoisySamples } from "./noisy-samples.js";
import { type Support, supportSize } from "./ray-posterior.js";
import type { SampleFindings, Truth } from "./truth.js";

/** Items that are summed up at a time. */
const ITEMS_AT_ONCE = 2048;

/** The mean of a support, in network input values, float64 `[1, D]`, and the mean squared distance to it, per value. */
interface Centre {
  readonly mean: Float64Array;
  readonly variance: number;
}

function centreOf(bank: Bank, support: Support): Centre {
  const { count: all, dimension, device } = bank;
  const count = supportSize(bank, support);
  const chunks = Math.ceil(count / ITEMS_AT_ONCE);
  const valuesOf = (chunk: number): Tensor => {
    const first = chunk * ITEMS_AT_ONCE;
    const length = Math.min(ITEMS_AT_ONCE, count - first);
    const rows =
      support === "all" && count === all
        ? bank.rows.narrow(0, first, length)
        : bank.gather(Int32Array.from({ length }, (_, i) => (support as Int32Array)[first + i] as number));
    return bank.toValues(rows).double();
  };
  return scope(() => {
    const mean = zeros([1, dimension], { dtype: "float64", device });
    for (let chunk = 0; chunk < chunks; chunk++) scope(() => mean.add_(valuesOf(chunk).sum(0, true)));
    mean.div_(count);
    let squares = 0;
    for (let chunk = 0; chunk < chunks; chunk++) {
      squares += scope(() => valuesOf(chunk).sub(mean).square().sum().item());
    }
    return { mean: mean.toFloat64Array(), variance: squares / count / dimension };
  });
}

/** Options of {@link EmpiricalTruth}. */
export interface EmpiricalOptions {
  /** Seed of samples and references. */
  readonly seed: number;
  /** Whether sources are only looked for in the class of their sample, as for class-conditional networks. */
  readonly sameClass?: boolean;
}

/** A data set as the truth: samples are made from its items, and the posterior is over all of them. */
export class EmpiricalTruth implements Truth {
  /** Name of the data set. */
  readonly name: string;
  readonly count: number;
  readonly dimension: number;
  readonly variance: number;
  /** The data set. */
  readonly bank: Bank;
  /** Its noisy samples. */
  readonly samples: NoisySamples;
  readonly #supports: ReadonlyMap<number, Int32Array> | undefined;
  readonly #centres = new Map<number, Centre>();

  /** @throws RangeError for classes without labels */
  constructor(bank: Bank, { seed, sameClass = false }: EmpiricalOptions) {
    const { labels, name, count, dimension } = bank;
    if (sameClass && !labels) throw new RangeError(`the posterior within a class needs labels; ${name} has none`);
    this.bank = bank;
    this.name = name;
    this.count = count;
    this.dimension = dimension;
    this.samples = new NoisySamples(bank, seed);
    this.#supports = sameClass && labels ? classMembers(labels) : undefined;
    const sizes = this.#supports ? [...this.#supports] : [[0, "all"] as const];
    this.variance = noGrad(() =>
      sizes.reduce((sum, [label, support]) => {
        const centre = centreOf(bank, support);
        this.#centres.set(label, centre);
        return sum + (centre.variance * supportSize(bank, support)) / count;
      }, 0),
    );
  }

  /** The class by which supports and centres are found: 0 for all if there are no classes. */
  #keyOf(label: number | undefined): number {
    return this.#supports ? (label ?? 0) : 0;
  }

  /** The candidate sources of samples of a class. @throws RangeError for a class without images */
  supportOfClass(label: number | undefined): Support {
    if (!this.#supports) return "all";
    const support = this.#supports.get(this.#keyOf(label));
    if (support) return support;
    throw new RangeError(`${this.name} has no images of class ${label}`);
  }

  /** The mean of the candidate sources of a class, in network input values, float64 `[1, D]`. */
  meanImage(label: number | undefined): Tensor {
    const { mean } = this.#centres.get(this.#keyOf(label)) as Centre;
    return tensor(mean, { shape: [1, this.dimension], device: this.bank.device });
  }

  /** A sample with stable targets of some numbers of references; its tensors belong to the current scope. */
  sample(number: number, references: readonly ReferenceCount[] = []): EmpiricalSample {
    const support = this.supportOfClass(this.bank.labels?.[this.samples.sourceOf(number)]);
    return new EmpiricalSample(this.samples, number, support, references);
  }

  examine(number: number, sigma: Float64Array, references: readonly ReferenceCount[]): SampleFindings {
    const findings = emptyFindings(sigma.length, references.length);
    const { dimension, labels } = this.bank;
    const perValue = (differences: Tensor): Tensor => differences.square().sum(1).div(dimension);
    noGrad(() =>
      scope(() => {
        const sample = this.sample(number, references);
        const { ray, source, size, own } = sample;
        const centre = this.meanImage(labels?.[sample.item]);
        let first = 0;
        for (const levels of ray.groupsOf(sigma)) {
          scope(() => {
            const put = (into: Float64Array, values: Tensor): void => into.set(values.toFloat64Array(), first);
            const logits = ray.logits(levels);
            const weights = logits.softmax(1);
            const exact = ray.mean(weights).double();
            // Centred at the source: no cancellation where the posterior is the source alone.
            const spread = weights.mul(ray.squares).sum(1).div(dimension);
            put(findings.variance, spread.sub(perValue(exact.sub(source))).clamp(0));
            put(findings.explained, perValue(exact.sub(centre)));
            put(findings.divergence, divergenceTerms(weights.mul(size)).mean([1]));
            putPosterior(findings.posterior, weights, own, first);
            sample.squaredErrors(logits, exact).forEach((squares, k) => {
              findings.errors[k]?.set(
                squares.map((square) => square / dimension),
                first,
              );
            });
          });
          first += levels.length;
        }
      }),
    );
    return findings;
  }
}

type MutableFindings = SampleFindings & { readonly posterior: NonNullable<SampleFindings["posterior"]> };

function emptyFindings(levels: number, counts: number): MutableFindings {
  const empty = (): Float64Array => new Float64Array(levels);
  return {
    variance: empty(),
    errors: Array.from({ length: counts }, empty),
    divergence: empty(),
    explained: empty(),
    posterior: { effective: empty(), entropy: empty(), source: empty() },
  };
}

function putPosterior(
  { effective, entropy, source }: MutableFindings["posterior"],
  weights: Tensor,
  own: number,
  first: number,
): void {
  effective.set(weights.square().sum(1).reciprocal().toFloat64Array(), first);
  // 0 ln 0 is 0.
  entropy.set(weights.mul(weights.clamp(Number.MIN_VALUE).log()).sum(1).neg().abs().toFloat64Array(), first);
  source.set(weights.select(1, own).toFloat64Array(), first);
}
