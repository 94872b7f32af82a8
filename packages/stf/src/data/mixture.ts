/**
 * Mixtures of Gaussians p_0 = sum_m pi_m N(mu_m, S_m) with diagonal S_m. Given x = y + sigma eps the posterior is one too: with
 * gamma_m the probability of component m given x,
 *
 *     y | x  ~  sum_m gamma_m N(nu_m, C_m),   nu_m = mu_m + S_m (S_m + sigma²)^-1 (x - mu_m),   C_m = sigma² S_m (S_m + sigma²)^-1.
 */

import { scope, type Tensor, tensor } from "@stf/torch";
import { column } from "../column.js";
import { InputError } from "../common/errors.js";
import type { KeyedRandom } from "../random/keyed.js";
import type { KnownDistribution } from "./distribution.js";

/** One component of a mixture: N(mean, deviation² I). */
export interface GaussianComponent {
  /** Proportional to its probability. */
  readonly weight: number;
  /** D numbers. */
  readonly mean: readonly number[];
  /** Its standard deviation: one number for every direction, or one for each of the D coordinates. */
  readonly deviation: number | readonly number[];
}

/** A component with one variance for each coordinate, and its probability. */
interface Component {
  readonly probability: number;
  readonly mean: readonly number[];
  readonly variances: readonly number[];
}

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

/** Position of one of the weights, drawn with probability proportional to it. */
function choose(weights: readonly number[], random: KeyedRandom): number {
  let left = random.uniform() * sum(weights);
  const found = weights.findIndex((weight) => {
    left -= weight;
    return left < 0;
  });
  return found < 0 ? weights.length - 1 : found;
}

/** Larger numbers would lose the digits in which points of a mixture differ. */
const LARGEST = 1e6;

/** What is wrong with components, as the end of a sentence; undefined if nothing is. */
function mistakeOf(components: readonly GaussianComponent[]): string | undefined {
  const dimension = components[0]?.mean.length ?? 0;
  if (dimension === 0) return "needs components with means, found none";
  for (const [m, { weight, mean, deviation }] of components.entries()) {
    const which = `component ${m + 1}`;
    const deviations = typeof deviation === "number" ? [deviation] : deviation;
    if (!(weight > 0 && weight < Number.POSITIVE_INFINITY)) {
      return `needs positive weights, found ${weight} in ${which}`;
    }
    if (mean.length !== dimension) {
      return `needs means of one dimension, found ${dimension} numbers in component 1 and ${mean.length} in ${which}`;
    }
    const wrong = deviations.find((value) => !(value >= 0));
    if (wrong !== undefined) return `needs standard deviations of at least 0, found ${wrong} in ${which}`;
    const large = [...mean, ...deviations].find((value) => !(Math.abs(value) <= LARGEST));
    if (large !== undefined) {
      return `needs means and standard deviations of at most ${LARGEST}, found ${large} in ${which}`;
    }
    if (typeof deviation !== "number" && deviations.length !== dimension) {
      return `needs one standard deviation, or one for each coordinate (${dimension}), found ${deviations.length} in ${which}`;
    }
  }
  return undefined;
}

/** ln gamma_m up to a constant, for one x. */
function logitsAt(components: readonly Component[], x: ArrayLike<number>, sigma: number): number[] {
  return components.map(({ probability, mean, variances }) => {
    const terms = mean.map((value, d) => {
      const total = (variances[d] as number) + sigma ** 2;
      return ((x[d] as number) - value) ** 2 / total + Math.log(total);
    });
    return Math.log(probability) - 0.5 * sum(terms);
  });
}

/** The posterior at B points, tensors of float64. */
interface Posterior {
  /** ln of pi_m N(x; mu_m, S_m + sigma²), `[B, M]` */
  readonly logits: Tensor;
  /** gamma_m, `[B, M, 1]` */
  readonly probabilities: Tensor;
  /** nu_m, `[B, M, D]` */
  readonly means: Tensor;
  /** The diagonals of C_m, `[B, M, D]` */
  readonly variances: Tensor;
}

/** The posterior given x, `[B, D]`. */
function posteriorAt(components: readonly Component[], x: Tensor, sigma: Float64Array): Posterior {
  const { device } = x;
  const [M, D] = [components.length, x.size(1)];
  const own = (valuesOf: (component: Component) => readonly number[]): Tensor =>
    tensor(Float64Array.from(components.flatMap(valuesOf)), { shape: [M, D], device });
  const [means, variances] = [own(({ mean }) => mean), own((component) => component.variances)];
  const at = x.unsqueeze(1);
  const noise = column(
    sigma.map((level) => level ** 2),
    at,
  );
  const total = variances.add(noise);
  const prior = tensor(
    Float64Array.from(components, ({ probability }) => Math.log(probability)),
    { device },
  );
  const exponents = at
    .sub(means)
    .square()
    .div(total)
    .add(total.mul(2 * Math.PI).log());
  const logits = prior.sub(exponents.sum(2).mul(0.5));
  return {
    logits,
    probabilities: logits.softmax(1).unsqueeze(2),
    // mu + S / total (x - mu) = (noise mu + S x) / total
    means: means.mul(noise).add(variances.mul(at)).div(total),
    variances: variances.mul(noise).div(total),
  };
}

/**
 * A mixture of Gaussians, and its closed forms.
 *
 * @throws RangeError unless there is a component, and all have means of one dimension, positive weights and non-negative standard
 * deviations, none of them above a million.
 */
export function gaussianMixture(name: string, components: readonly GaussianComponent[]): KnownDistribution {
  const mistake = mistakeOf(components);
  if (mistake) throw new RangeError(`the mixture "${name}" ${mistake}`);
  // Relative to the largest, whose sum does not overflow.
  const heaviest = Math.max(...components.map(({ weight }) => weight));
  const total = sum(components.map(({ weight }) => weight / heaviest));
  const parts = components.map(({ weight, mean, deviation }): Component => {
    const variances = mean.map((_, d) => (typeof deviation === "number" ? deviation : (deviation[d] as number)) ** 2);
    return { probability: weight / heaviest / total, mean, variances };
  });
  const expectation = (of: (part: Component) => number): number =>
    sum(parts.map((part) => part.probability * of(part)));
  const drawFrom = (mean: readonly number[], variances: readonly number[], random: KeyedRandom): number[] =>
    mean.map((value, d) => value + Math.sqrt(variances[d] as number) * random.normal());
  const center = (parts[0] as Component).mean.map((_, d) => expectation(({ mean }) => mean[d] as number));
  return {
    name,
    dimension: center.length,
    mean: center,
    variance: expectation(({ mean, variances }) =>
      sum(variances.map((own, d) => own + ((mean[d] as number) - (center[d] as number)) ** 2)),
    ),
    draw(random) {
      const weights = parts.map(({ probability }) => probability);
      const { mean, variances } = parts[choose(weights, random)] as Component;
      return drawFrom(mean, variances, random);
    },
    denoise: (x, sigma) =>
      scope(() => {
        const { probabilities, means } = posteriorAt(parts, x, sigma);
        return probabilities.mul(means).sum(1);
      }),
    posteriorVariance: (x, sigma) =>
      scope(() => {
        const { probabilities, means, variances } = posteriorAt(parts, x, sigma);
        const around = means.sub(probabilities.mul(means).sum(1, true)).square();
        return probabilities.mul(around.add(variances)).sum([1, 2]);
      }),
    logDensity: (x, sigma) => scope(() => posteriorAt(parts, x, sigma).logits.logsumexp(1)),
    drawPosterior(x, sigma, random) {
      const logits = logitsAt(parts, x, sigma);
      const highest = Math.max(...logits);
      const { mean, variances } = parts[
        choose(
          logits.map((logit) => Math.exp(logit - highest)),
          random,
        )
      ] as Component;
      const share = variances.map((own) => own / (own + sigma ** 2));
      return drawFrom(
        mean.map((value, d) => value + (share[d] as number) * ((x[d] as number) - value)),
        share.map((part) => part * sigma ** 2),
        random,
      );
    },
  };
}

const isNumberList = (value: unknown): value is number[] =>
  Array.isArray(value) && value.every((entry) => typeof entry === "number");

/**
 * The mixture that JSON describes: `{"components": [{"weight": 1, "mean": [0, 0], "deviation": 0.2}, ...]}`, where a deviation may be a list of
 * D numbers, and a weight left out is 1.
 *
 * @param value - the parsed JSON
 * @param name - what to call the mixture, in messages too
 * @throws InputError for anything else
 */
export function mixtureOf(value: unknown, name = "mixture"): KnownDistribution {
  const { components } = Object(value) as { components?: unknown };
  if (!Array.isArray(components)) {
    throw new InputError(
      `the mixture "${name}" needs a list of "components", found ${components === undefined ? "none" : typeof components}; write {"components": [{"weight": 1, "mean": [0, 0], "deviation": 0.2}]}`,
    );
  }
  const read = components.map((each: unknown, m): GaussianComponent => {
    const { weight = 1, mean, deviation } = Object(each) as Record<string, unknown>;
    const wrong = (field: string, what: string, found: unknown): InputError =>
      new InputError(
        `the mixture "${name}" needs ${what} as the "${field}" of component ${m + 1}, found ${JSON.stringify(found) ?? "none"}`,
      );
    if (typeof weight !== "number") throw wrong("weight", "a positive number", weight);
    if (!isNumberList(mean)) throw wrong("mean", "a list of numbers", mean);
    if (typeof deviation !== "number" && !isNumberList(deviation)) {
      throw wrong("deviation", "a number or a list of them", deviation);
    }
    return { weight, mean, deviation };
  });
  const mistake = mistakeOf(read);
  if (mistake) throw new InputError(`the mixture "${name}" ${mistake}`);
  return gaussianMixture(name, read);
}
