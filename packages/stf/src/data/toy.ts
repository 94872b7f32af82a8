/** Distributions of a few real numbers whose denoisers are known, for tests, examples and analysis. */

import { scope, type Tensor, tensor, where } from "@stf/torch";
import { column } from "../column.js";
import { KeyedRandom, randomKey } from "../random/keyed.js";
import { VectorBank } from "./vector-bank.js";

/** A distribution of vectors. */
export interface ToyDistribution {
  /** Its name. */
  readonly name: string;
  /** D */
  readonly dimension: number;
  /** Draws one vector, D numbers. */
  draw(random: KeyedRandom): number[];
  /**
   * D*(x; sigma), the posterior mean of y given x = y + sigma eps, if a closed form is known.
   *
   * @param x - `[B, D]`, float64
   * @param sigma - `[B]`, positive
   * @returns `[B, D]`, float64
   */
  readonly denoise?: (x: Tensor, sigma: Float64Array) => Tensor;
}

/** One component of a mixture: N(mean, deviation² I). */
export interface GaussianComponent {
  /** Proportional to its probability. */
  readonly weight: number;
  /** D numbers. */
  readonly mean: readonly number[];
  /** Its standard deviation in every direction. */
  readonly deviation: number;
}

/** Index of a component, drawn with probability proportional to its weight. */
function choose(weights: readonly number[], random: KeyedRandom): number {
  let left = random.uniform() * weights.reduce((sum, weight) => sum + weight, 0);
  const found = weights.findIndex((weight) => {
    left -= weight;
    return left < 0;
  });
  return found < 0 ? weights.length - 1 : found;
}

/**
 * A mixture of isotropic Gaussians. With gamma_m the posterior probability of a component, D* = sum_m gamma_m (mu_m +
 * v_m / (v_m + sigma²) (x - mu_m)), v_m its variance.
 *
 * @throws RangeError unless there is a component, and all have means of one dimension, positive weights and non-negative standard
 * deviations.
 */
export function gaussianMixture(name: string, components: readonly GaussianComponent[]): ToyDistribution {
  const dimension = components[0]?.mean.length ?? 0;
  if (dimension === 0) throw new RangeError(`a mixture needs components with means; "${name}" has none`);
  for (const { weight, mean, deviation } of components) {
    if (!(weight > 0 && deviation >= 0 && mean.length === dimension)) {
      throw new RangeError(
        `components of "${name}" need a positive weight, a standard deviation of at least 0 and ${dimension} means`,
      );
    }
  }
  const weights = components.map(({ weight }) => weight);
  return {
    name,
    dimension,
    draw(random) {
      const { mean, deviation } = components[choose(weights, random)] as GaussianComponent;
      return mean.map((value) => value + deviation * random.normal());
    },
    denoise: (x, sigma) =>
      scope(() => {
        const { device } = x;
        const means = tensor(Float64Array.from(components.flatMap(({ mean }) => mean)), {
          shape: [components.length, dimension],
          device,
        });
        const own = tensor(
          Float64Array.from(components, ({ deviation }) => deviation ** 2),
          { device },
        );
        const noise = column(
          sigma.map((level) => level ** 2),
          x,
        );
        const total = own.add(noise);
        const squares = x.unsqueeze(1).sub(means).square().sum(2);
        const prior = tensor(Float64Array.from(weights, Math.log), { device });
        const logits = prior.sub(squares.div(total).mul(0.5)).sub(total.log().mul(dimension / 2));
        // mu + v / total (x - mu) = (noise mu + v x) / total
        const shares = logits.softmax(1).div(total);
        return shares
          .mul(noise)
          .mm(means)
          .add(x.mul(shares.mul(own).sum(1, true)));
      }),
  };
}

/** Two Gaussians at +1 and -1 in every coordinate, in any dimension. */
export function twoGaussians({ dimension = 2, deviation = 0.2 } = {}): ToyDistribution {
  return gaussianMixture(
    "two Gaussians",
    [-1, 1].map((side) => ({ weight: 1, mean: new Array<number>(dimension).fill(side), deviation })),
  );
}

/** Gaussians at equal distances on a circle in the first two coordinates; further coordinates have mean 0. */
export function ringOfGaussians({ count = 8, radius = 1, deviation = 0.1, dimension = 2 } = {}): ToyDistribution {
  const mean = (m: number): number[] => {
    const angle = (2 * Math.PI * m) / count;
    const zeros = new Array<number>(Math.max(dimension - 2, 0)).fill(0);
    return [radius * Math.cos(angle), radius * Math.sin(angle), ...zeros].slice(0, dimension);
  };
  const components = Array.from({ length: count }, (_, m) => ({ weight: 1, mean: mean(m), deviation }));
  return gaussianMixture("ring of Gaussians", components);
}

const ROOT_HALF = Math.SQRT1_2;

/** The dark squares of a board of `squares` x `squares` squares on [-1, 1]², with uniform density. */
export function checkerboard({ squares = 4 } = {}): ToyDistribution {
  const side = 2 / squares;
  const corners = Array.from({ length: squares * squares }, (_, i) => [i % squares, Math.floor(i / squares)] as const)
    .filter(([column, row]) => (column + row) % 2 === 0)
    .map(([column, row]) => [-1 + side * column, -1 + side * row] as const);
  return {
    name: "checkerboard",
    dimension: 2,
    draw(random) {
      const [left, bottom] = corners[random.integer(corners.length)] as readonly [number, number];
      return [left + side * random.uniform(), bottom + side * random.uniform()];
    },
    // Uniform on a box: per coordinate a normal distribution truncated at both sides. A square is weighted by its probability.
    denoise: (x, sigma) =>
      scope(() => {
        const lower = tensor(Float64Array.from(corners.flat()), { shape: [1, corners.length, 2], device: x.device });
        const levels = column(sigma, x).unsqueeze(2);
        const at = x.unsqueeze(1);
        const [from, to] = [lower.sub(at).div(levels), lower.add(side).sub(at).div(levels)] as const;
        // Both ends on the side where the complementary error function does not suffer from cancellation.
        const mirrored = from.gt(0);
        const low = where(mirrored, to.neg(), from);
        const high = where(mirrored, from.neg(), to);
        const mass = high.mul(-ROOT_HALF).erfc().sub(low.mul(-ROOT_HALF).erfc()).mul(0.5);
        const density = (z: Tensor): Tensor =>
          z
            .square()
            .mul(-0.5)
            .exp()
            .mul(1 / Math.sqrt(2 * Math.PI));
        const mean = at.add(levels.mul(density(from).sub(density(to)).div(mass.clamp(Number.MIN_VALUE))));
        const weights = mass.log().sum(2, true).softmax(1);
        return weights.mul(mean.nanToNum(0)).sum(1);
      }),
  };
}

/** A spiral with a little noise; no closed form. */
export function swissRoll({ deviation = 0.03 } = {}): ToyDistribution {
  return {
    name: "swiss roll",
    dimension: 2,
    draw(random) {
      const angle = 1.5 * Math.PI * (1 + 2 * random.uniform());
      const radius = angle / (4.5 * Math.PI);
      return [
        radius * Math.cos(angle) + deviation * random.normal(),
        radius * Math.sin(angle) + deviation * random.normal(),
      ];
    },
  };
}

/** A data set of `count` draws. */
export function toyBank(distribution: ToyDistribution, count: number, seed: number): VectorBank {
  const random = new KeyedRandom(randomKey(seed, "data"));
  const values = new Float64Array(count * distribution.dimension);
  for (let i = 0; i < count; i++) values.set(distribution.draw(random), i * distribution.dimension);
  return new VectorBank(distribution.name, tensor(values, { shape: [count, distribution.dimension] }));
}
