/**
 * The squared regression bias of a target, from repeated draws at the same noisy image.
 *
 * A network that regresses on a target T tends to E[T | x, condition], which is biased by b(x) = E[T | x, condition] - D*(x, condition).
 * Given x, a source from its exact posterior with references of its own is one draw of T. For R independent draws with
 * d_r = T_r - D*, the mean of d_r . d_s over all pairs r != s,
 *
 *     (||sum_r d_r||² - sum_r ||d_r||²) / (R (R - 1)),
 *
 * has expectation ||b(x)||² exactly: the variance of T adds nothing to it, and without bias it scatters around 0.
 *
 * Without bias its distribution is skewed, the more so the fewer dimensions T varies in: often a little below 0, seldom far above. Over a
 * hundred samples a mean of four standard errors below 0 may be chance; as many above are not.
 */

import { scope } from "@stf/torch";
import { type Estimate, meanOf } from "../metrics/estimate.js";
import type { KeyedRandom } from "../random/keyed.js";
import type { BiasReport, ReferenceCount } from "../run/variance-report.js";
import { type BiasVariant, biasVariants, type ReferenceScheme } from "./bias-variants.js";
import { type SampleOptions, valuesOfSamples } from "./sample-ranks.js";

/** Options of a check of bias. */
export interface BiasOptions extends SampleOptions {
  /** The targets to check. */
  readonly variants: readonly BiasVariant[];
  /** Noise levels, `[L]`. */
  readonly sigma: readonly number[];
  /** References per sample, its source included where the target includes it. */
  readonly references: ReferenceCount;
  /** Draws of the target for each of them, 2 at least. The error falls with their number until the scatter of the samples is all. */
  readonly draws: number;
  /** Seed of samples, sources and references. */
  readonly seed: number;
}

/** A noisy sample at L noise levels, whose target can be drawn again and again. */
export interface BiasProblem {
  /** D*(x, condition), `[L, D]`. */
  readonly exact: Float64Array;
  /** E[y | condition], `[D]`. */
  readonly mean: Float64Array;
  /** The target for a source from the posterior given x, and new references; `[L, D]`. */
  draw(scheme: ReferenceScheme, random: KeyedRandom): Float64Array;
}

/** What one sample tells about a target at each level, per value; `[L]` each. */
export interface BiasFindings {
  /** An unbiased estimate of ||b(x)||² / D. */
  readonly squaredBias: Float64Array;
  /** ||T - D*||² / D, the mean of the draws. */
  readonly squaredError: Float64Array;
}

/** Sums of squares of each of L rows, `[L]`. */
const squaresOf = (values: Float64Array, levels: number): Float64Array => {
  const sums = new Float64Array(levels);
  const dimension = values.length / levels;
  values.forEach((value, i) => {
    const level = Math.floor(i / dimension);
    sums[level] = (sums[level] as number) + value ** 2;
  });
  return sums;
};

/** Draws a target a number of times at one noisy sample. */
export function biasFindings(
  problem: BiasProblem,
  scheme: ReferenceScheme,
  { draws, sigma }: Pick<BiasOptions, "draws" | "sigma">,
  random: KeyedRandom,
): BiasFindings {
  const { exact, mean } = problem;
  const sum = new Float64Array(exact.length);
  const squares = new Float64Array(sigma.length);
  for (let r = 0; r < draws; r++) {
    const deviation = problem.draw(scheme, random).map((value, i) => value - (exact[i] as number));
    deviation.forEach((value, i) => {
      sum[i] = (sum[i] as number) + value;
    });
    squaresOf(deviation, sigma.length).forEach((square, level) => {
      squares[level] = (squares[level] as number) + square;
    });
  }
  const pairs = squaresOf(sum, sigma.length);
  return {
    squaredBias: pairs.map((pair, l) => (pair - (squares[l] as number)) / (draws * (draws - 1) * mean.length)),
    squaredError: squares.map((square) => square / (draws * mean.length)),
  };
}

/**
 * The bias of targets at many noisy samples.
 *
 * @param problemOf - the sample of a number; called in a scope
 * @param randomOf - random numbers for a sample and the number of a target
 */
export function biasReports(
  options: BiasOptions,
  problemOf: (sample: number) => BiasProblem,
  randomOf: (sample: number, target: number) => KeyedRandom,
): BiasReport[] {
  const { variants, sigma, references, draws } = options;
  if (!(draws >= 2)) throw new RangeError(`a check of bias needs at least 2 draws of the target, found ${draws}`);
  const numbers = Object.keys(biasVariants);
  const found = valuesOfSamples(options, (sample) =>
    scope(() => {
      const problem = problemOf(sample);
      const { exact, mean } = problem;
      const signal = exact.map((value, i) => value - (mean[i % mean.length] as number));
      const explained = squaresOf(signal, sigma.length).map((square) => square / mean.length);
      const ofTargets = variants.flatMap((variant) => {
        const random = randomOf(sample, numbers.indexOf(variant));
        const { squaredBias, squaredError } = biasFindings(problem, biasVariants[variant], options, random);
        return [squaredBias, squaredError];
      });
      return [explained, ...ofTargets];
    }),
  );
  const over = (array: number, level: number): Estimate =>
    meanOf(found.map((values) => values[array]?.[level] as number));
  return variants.map((variant, v): BiasReport => {
    const { name, about } = biasVariants[variant];
    const levels = sigma.map((level, i) => ({
      sigma: level,
      squaredBias: over(1 + 2 * v, i),
      squaredError: over(2 + 2 * v, i),
      explainable: over(0, i),
    }));
    return { name, about, references, levels };
  });
}
