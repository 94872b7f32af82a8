/** The regression bias of targets on a distribution in closed form, whose references are drawn afresh. */

import { noGrad, tensor } from "@stf/torch";
import type { KnownDistribution } from "../data/distribution.js";
import { KeyedRandom, randomKey } from "../random/keyed.js";
import type { BiasReport } from "../run/variance-report.js";
import { biasVariants } from "./bias-variants.js";
import { type BiasOptions, type BiasProblem, biasReports } from "./squared-bias.js";

/** Options of {@link mixtureBias}. */
export interface MixtureBiasOptions extends BiasOptions {
  /** References per sample. */
  readonly references: number;
  /** The targets to check. */
  readonly variants: readonly ("stable" | "sourceExcluded" | "sourceTwice")[];
}

/**
 * Measures the regression bias E ||E[T | x] - D*(x)||² / D of targets T whose references are independent draws of a distribution, as
 * {@link regressionBias} does for a data set.
 *
 * @throws RangeError for fewer than 2 draws, and for a number of references below 1
 */
export function mixtureBias(distribution: KnownDistribution, options: MixtureBiasOptions): BiasReport[] {
  const { references, seed, sigma } = options;
  if (!(references >= 1)) throw new RangeError(`a target needs at least one reference, found ${references}`);
  const targets = Object.keys(biasVariants).length;
  const randomOf = (sample: number, target: number): KeyedRandom =>
    new KeyedRandom(randomKey(seed, "bias", sample * targets + target));
  const problemOf = (sample: number): BiasProblem => {
    const random = new KeyedRandom(randomKey(seed, "analysis", sample));
    const source = distribution.draw(random);
    const noise = source.map(() => random.normal());
    const points = sigma.map((level) => source.map((y, d) => y + level * (noise[d] as number)));
    return mixtureProblem(distribution, points, Float64Array.from(sigma), references);
  };
  return noGrad(() => biasReports(options, problemOf, randomOf));
}

/** The posterior mean over references with weights of their own, their logarithms added to those of the posterior. */
function weightedMean(
  x: readonly number[],
  sigma: number,
  references: readonly { readonly y: readonly number[]; readonly logWeight: number }[],
): number[] {
  const logits = references.map(({ y, logWeight }) => {
    const distance = y.reduce((sum, value, d) => sum + (value - (x[d] as number)) ** 2, 0);
    return logWeight - distance / (2 * sigma ** 2);
  });
  const highest = Math.max(...logits);
  const weights = logits.map((logit) => Math.exp(logit - highest));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return x.map((_, d) =>
    references.reduce((sum, { y }, k) => sum + ((weights[k] as number) / total) * (y[d] as number), 0),
  );
}

function mixtureProblem(
  distribution: KnownDistribution,
  points: readonly (readonly number[])[],
  sigma: Float64Array,
  references: number,
): BiasProblem {
  const { dimension, mean, denoise } = distribution;
  const x = tensor(Float64Array.from(points.flat()), { shape: [points.length, dimension] });
  return {
    exact: denoise(x, sigma).toFloat64Array(),
    mean: Float64Array.from(mean),
    draw({ copies }, random) {
      const others = Array.from({ length: references - Math.min(copies, 1) }, () => ({
        y: distribution.draw(random),
        logWeight: 0,
      }));
      const targets = points.map((point, level) => {
        const noise = sigma[level] as number;
        const source = { y: distribution.drawPosterior(point, noise, random), logWeight: Math.log(copies) };
        return weightedMean(point, noise, copies === 0 ? others : [...others, source]);
      });
      return Float64Array.from(targets.flat());
    },
  };
}
