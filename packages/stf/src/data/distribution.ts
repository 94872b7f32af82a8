/** Distributions of vectors, and what is known of them in closed form. Letters are those of docs/notation.md. */

import { type Tensor, tensor } from "@stf/torch";
import { KeyedRandom, randomKey } from "../random/keyed.js";
import { VectorBank } from "./vector-bank.js";

/** Closed forms of a distribution of y, and of x = y + sigma eps. */
export interface ClosedForms {
  /** E y, D numbers. */
  readonly mean: readonly number[];
  /** tr Cov(y), over all D coordinates. */
  readonly variance: number;
  /**
   * D*(x; sigma), the posterior mean of y given x.
   *
   * @param x - `[B, D]`, float64
   * @param sigma - `[B]`, positive
   * @returns `[B, D]`, float64
   */
  readonly denoise: (x: Tensor, sigma: Float64Array) => Tensor;
  /**
   * tr Cov(y | x), over all D coordinates: the least squared error of an estimate of y at this x.
   *
   * @param x - `[B, D]`, float64
   * @param sigma - `[B]`, positive
   * @returns `[B]`, float64
   */
  readonly posteriorVariance: (x: Tensor, sigma: Float64Array) => Tensor;
  /**
   * ln p(x; sigma), the logarithm of the density of the noisy x. Its gradient is the score, (D* - x) / sigma².
   *
   * @param x - `[B, D]`, float64
   * @param sigma - `[B]`, positive
   * @returns `[B]`, float64
   */
  readonly logDensity: (x: Tensor, sigma: Float64Array) => Tensor;
  /** Draws one y from its posterior given one x, D numbers each. */
  readonly drawPosterior: (x: ArrayLike<number>, sigma: number, random: KeyedRandom) => number[];
}

/** A distribution of vectors. */
export interface ToyDistribution extends Partial<ClosedForms> {
  /** Its name. */
  readonly name: string;
  /** D */
  readonly dimension: number;
  /** Draws one vector, D numbers. */
  draw(random: KeyedRandom): number[];
}

/** A distribution of vectors of which all closed forms are known. */
export type KnownDistribution = ToyDistribution & ClosedForms;

/** A data set of `count` draws. */
export function toyBank(distribution: ToyDistribution, count: number, seed: number): VectorBank {
  const random = new KeyedRandom(randomKey(seed, "data"));
  const values = new Float64Array(count * distribution.dimension);
  for (let i = 0; i < count; i++) values.set(distribution.draw(random), i * distribution.dimension);
  return new VectorBank(distribution.name, tensor(values, { shape: [count, distribution.dimension] }));
}
