/** The truth of a distribution in closed form: references are fresh draws. */

import { Generator, noGrad, randn, scope, type Tensor, tensor } from "@stf/torch";
import { column } from "../column.js";
import type { KnownDistribution } from "../data/distribution.js";
import { VectorBank } from "../data/vector-bank.js";
import { KeyedRandom, randomKey } from "../random/keyed.js";
import type { ReferenceCount } from "../run/variance-report.js";
import { divergenceTerms } from "./divergence.js";
import { RayPosterior } from "./ray-posterior.js";
import type { SampleFindings, Truth } from "./truth.js";

/** Its fourth power, in the error of the divergence, is still a number; the bound is useless long before. */
const MOST_LOG_RATIO = 150;

/** A distribution whose denoiser, posterior variance and density are known. */
export class KnownTruth implements Truth {
  /** Name of the distribution. */
  readonly name: string;
  readonly count = null;
  readonly dimension: number;
  readonly variance: number;
  readonly #distribution: KnownDistribution;
  readonly #seed: number;

  /** @param seed - that of samples and references */
  constructor(distribution: KnownDistribution, seed: number) {
    this.name = distribution.name;
    this.dimension = distribution.dimension;
    this.variance = distribution.variance / distribution.dimension;
    this.#distribution = distribution;
    this.#seed = seed;
  }

  /** @throws RangeError for all of infinitely many references */
  examine(sample: number, sigma: Float64Array, references: readonly ReferenceCount[]): SampleFindings {
    const counts = references.map((count) => {
      if (count === "all")
        throw new RangeError(`the ${this.name} has no last item, so a number of references is needed`);
      return count;
    });
    const { dimension } = this;
    const { mean, denoise, posteriorVariance, logDensity } = this.#distribution;
    const random = new KeyedRandom(randomKey(this.#seed, "data", sample));
    const most = Math.max(1, ...counts);
    // The first is the source.
    const draws = new Float64Array(most * dimension);
    for (let i = 0; i < most; i++) draws.set(this.#distribution.draw(random), i * dimension);
    return noGrad(() =>
      scope(() => {
        using generator = new Generator(randomKey(this.#seed, "analysis", sample + 1));
        const noise = randn([1, dimension], { generator, dtype: "float64" });
        const drawn = tensor(draws, { shape: [most, dimension] });
        const source = drawn.narrow(0, 0, 1);
        const levels = column(sigma, source);
        const x = source.add(noise.mul(levels));
        const exact = denoise(x, sigma);
        const perValue = (differences: Tensor): Float64Array =>
          differences.square().sum(1).div(dimension).toFloat64Array();
        const centre = tensor(Float64Array.from(mean), { shape: [1, dimension] });
        // A bank keeps its values beyond the scope.
        const bank = new VectorBank(this.name, drawn.clone());
        const ray = new RayPosterior(bank, "all", source, noise);
        const logits = ray.logits(sigma);
        bank.dispose();
        const target = (count: number): Tensor =>
          count === 1
            ? source
            : logits
                .narrow(1, 0, count)
                .softmax(1)
                .mm(drawn.narrow(0, 0, count));
        return {
          variance: posteriorVariance(x, sigma).div(dimension).toFloat64Array(),
          errors: counts.map((count) => perValue(target(count).sub(exact))),
          divergence: this.#divergence(noise, logDensity(x, sigma), sigma),
          explained: perValue(exact.sub(centre)),
        };
      }),
    );
  }

  /**
   * An estimate of D_f from the source alone, which is a draw from the posterior: f(p_0 / p_0|t) there, with posterior / prior =
   * p(x | y) / p(x).
   */
  #divergence(noise: Tensor, logDensity: Tensor, sigma: Float64Array): Float64Array {
    const half = noise.square().sum().item() / 2;
    const peaks = sigma.map((level) => -this.dimension * Math.log(level * Math.sqrt(2 * Math.PI)) - half);
    const ratio = tensor(peaks).sub(logDensity).clamp(undefined, MOST_LOG_RATIO).exp();
    return divergenceTerms(ratio).div(ratio).toFloat64Array();
  }
}
