/** What is known exactly about a distribution and its noisy samples: the ground truth of an analysis. */

import type { ReferenceCount } from "../run/variance-report.js";
import { type SampleOptions, type SampleValues, valuesOfSamples } from "./sample-ranks.js";

/** What one noisy sample, y + sigma eps with one y and one eps, tells about each of L noise levels. `[L]` each, per value. */
export interface SampleFindings {
  /** Tr Cov(y | x) / D. */
  readonly variance: Float64Array;
  /**
   * ||T_n - D*||² / D for each number of references asked for, with T_n the stable target of n references: for the source of the sample,
   * or in expectation over the sources that x may have.
   */
  readonly errors: readonly Float64Array[];
  /** D_f(p_0 || p_0|t), see `divergence.ts`. */
  readonly divergence: Float64Array;
  /** ||D* - E y||² / D. */
  readonly explained: Float64Array;
  /** What is known of a posterior that is a list of weights. */
  readonly posterior?: {
    /** 1 / sum_k w_k² */
    readonly effective: Float64Array;
    /** -sum_k w_k ln w_k, in nats. */
    readonly entropy: Float64Array;
    /** The weight of y itself. */
    readonly source: Float64Array;
  };
}

/** A distribution whose posterior is known exactly. */
export interface Truth {
  /** Its name. */
  readonly name: string;
  /** Number of items; null for a distribution in closed form. */
  readonly count: number | null;
  /** D */
  readonly dimension: number;
  /** Tr Cov(y) / D: within the classes, if sources are only looked for in the class of their sample. */
  readonly variance: number;
  /**
   * Examines a noisy sample. Every sample has a source and noise of its own, the same at all levels.
   *
   * @param sample - its number
   * @param sigma - noise levels, `[L]`
   * @param references - numbers of references; those of a sample are nested
   */
  examine(sample: number, sigma: Float64Array, references: readonly ReferenceCount[]): SampleFindings;
}

const toValues = ({ variance, divergence, explained, posterior, errors }: SampleFindings): SampleValues => [
  ...[variance, divergence, explained],
  ...errors,
  ...(posterior ? [posterior.effective, posterior.entropy, posterior.source] : []),
];

/** The findings in values of {@link toValues}. @param counts - numbers of references */
function fromValues(values: SampleValues, counts: number): SampleFindings {
  const [variance, divergence, explained, ...others] = values as [Float64Array, Float64Array, Float64Array];
  const errors = (others as Float64Array[]).slice(0, counts);
  const [effective, entropy, source] = (others as Float64Array[]).slice(counts);
  const findings = { variance, divergence, explained, errors };
  return effective && entropy && source ? { ...findings, posterior: { effective, entropy, source } } : findings;
}

/** Examines the first samples of a distribution, in order. */
export function examineSamples(
  truth: Truth,
  sigma: Float64Array,
  references: readonly ReferenceCount[],
  options: SampleOptions,
): SampleFindings[] {
  const found = valuesOfSamples(options, (sample) => toValues(truth.examine(sample, sigma, references)));
  return found.map((values) => fromValues(values, references.length));
}
