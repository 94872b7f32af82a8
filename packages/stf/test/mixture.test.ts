/** Mixtures of Gaussians: their closed forms against quadrature, brute force and each other; and mixtures from JSON. */

import { scope, tensor } from "@stf/torch";
import { describe, expect, test } from "vitest";
import { InputError } from "../src/common/errors.js";
import { type KnownDistribution, toyBank } from "../src/data/distribution.js";
import { gaussianMixture, mixtureOf } from "../src/data/mixture.js";
import { ringOfGaussians, twoGaussians } from "../src/data/toy.js";
import { KeyedRandom } from "../src/random/keyed.js";
import { maxDeviation, meanAndError, posteriorMean, uniforms } from "./support.js";

const stretched = gaussianMixture("stretched", [
  { weight: 2, mean: [0.5, -1], deviation: [0.6, 0.1] },
  { weight: 1, mean: [-1, 0.3], deviation: [0, 0.4] },
  { weight: 1, mean: [0.2, 0.8], deviation: 0.25 },
]);
const line = gaussianMixture("line", [
  { weight: 3, mean: [0.5], deviation: 0.2 },
  { weight: 1, mean: [-1], deviation: 0.5 },
]);
const points = gaussianMixture(
  "points",
  [1, -1].map((side) => ({ weight: 1, mean: [side], deviation: 0 })),
);
const all: KnownDistribution[] = [stretched, line, points, twoGaussians({ dimension: 5 }), ringOfGaussians()];

/** The integral of f over all real numbers, by the trapezoidal rule: for a smooth function that vanishes far out. */
function integral(f: (z: number) => number, from = -12, to = 12, steps = 4000): number {
  const width = (to - from) / steps;
  let total = 0;
  for (let i = 0; i <= steps; i++) total += f(from + i * width) * (i === 0 || i === steps ? 0.5 : 1);
  return total * width;
}

const normalDensity = (z: number): number => Math.exp(-0.5 * z ** 2) / Math.sqrt(2 * Math.PI);

/** One of the closed forms at points of one coordinate, all of one noise level. */
function along(
  distribution: KnownDistribution,
  form: "denoise" | "posteriorVariance" | "logDensity",
  x: ArrayLike<number>,
  sigma: number,
): Float64Array {
  return scope(() =>
    distribution[form](
      tensor(Float64Array.from(x), { shape: [x.length, 1] }),
      new Float64Array(x.length).fill(sigma),
    ).toFloat64Array(),
  );
}

describe("of two point masses", () => {
  test.each([0.3, 0.7, 1, 3])("the posterior variance has the known mean, at sigma %s", (sigma) => {
    // x = y + sigma z, and both sides are alike.
    const found = integral(
      (z) => normalDensity(z) * along(points, "posteriorVariance", [1 + sigma * z], sigma)[0]!,
      -12,
      12,
      600,
    );
    const a = 1 / sigma;
    const known = integral((z) => normalDensity(z) / Math.cosh(a ** 2 + a * z) ** 2);
    expect(Math.abs(found / known - 1)).toBeLessThan(1e-9);
    if (sigma === 0.7) expect(known / sigma ** 4).toBeCloseTo(0.938, 3);
  });

  test("the denoiser is a hyperbolic tangent", () => {
    const x = [-2, -0.3, 0, 0.01, 1.4];
    const known = x.map((value) => Math.tanh(value / 0.6 ** 2));
    expect(maxDeviation(along(points, "denoise", x, 0.6), known)).toBeLessThan(1e-14);
  });
});

test("of one Gaussian the posterior variance is that of every x", () => {
  const deviations = [0.5, 2, 0];
  const one = gaussianMixture("one", [{ weight: 7, mean: [3, -1, 2], deviation: deviations }]);
  const sigma = Float64Array.of(1e-4, 0.3, 1, 40);
  scope(() => {
    const x = tensor(
      Float64Array.from({ length: 12 }, (_, i) => Math.sin(i) * 5),
      { shape: [4, 3] },
    );
    const known = sigma.map((level) =>
      deviations.reduce((total, deviation) => total + (level * deviation) ** 2 / (deviation ** 2 + level ** 2), 0),
    );
    const found = one.posteriorVariance(x, sigma).toFloat64Array();
    found.forEach((value, i) => void expect(Math.abs(value / known[i]! - 1)).toBeLessThan(1e-12));
  });
  expect(one.mean).toEqual([3, -1, 2]);
  expect(one.variance).toBe(4.25);
});

test.each([0.05, 0.8, 5])("the density of one coordinate integrates to 1, and to the mean, at sigma %s", (sigma) => {
  const grid = Float64Array.from({ length: 8001 }, (_, i) => -80 + 0.02 * i);
  const density = along(line, "logDensity", grid, sigma).map(Math.exp);
  expect(density.reduce((total, value) => total + 0.02 * value, 0)).toBeCloseTo(1, 9);
  const mean = density.reduce((total, value, i) => total + 0.02 * value * grid[i]!, 0);
  expect(mean).toBeCloseTo(0.125, 9);
  const square = density.reduce((total, value, i) => total + 0.02 * value * (grid[i]! - 0.125) ** 2, 0);
  expect(square).toBeCloseTo(line.variance + sigma ** 2, 8);
});

describe.each(all)("$name of dimension $dimension", (distribution) => {
  const { dimension, denoise, logDensity, posteriorVariance } = distribution;
  const sigma = Float64Array.of(0.2, 0.5, 1, 3);
  const random = uniforms(5);
  const values = Float64Array.from({ length: 4 * dimension }, () => 3 * random() - 1.5);
  const shape = [4, dimension];

  test("the gradient of the log-density is the score, and its Laplacian the posterior variance", () => {
    scope(() => {
      const at = (coordinate: number, step: number): Float64Array =>
        logDensity(
          tensor(
            values.map((value, i) => value + (i % dimension === coordinate ? step : 0)),
            { shape },
          ),
          sigma,
        ).toFloat64Array();
      const x = tensor(values, { shape });
      const exact = denoise(x, sigma).toFloat64Array();
      const variance = posteriorVariance(x, sigma).toFloat64Array();
      const middle = at(0, 0);
      sigma.forEach((level, row) => {
        let laplacian = 0;
        for (let d = 0; d < dimension; d++) {
          const step = 1e-3 * level;
          const [below, above] = [at(d, -step)[row]!, at(d, step)[row]!];
          const score = (exact[row * dimension + d]! - values[row * dimension + d]!) / level ** 2;
          expect(Math.abs((above - below) / (2 * step) - score) * level).toBeLessThan(1e-4 * (1 + Math.abs(score)));
          laplacian += (above - 2 * middle[row]! + below) / step ** 2;
        }
        // Cov(y | x) = sigma² (1 + sigma² Hessian), the second-order form of Tweedie's formula.
        const found = level ** 2 * (dimension + level ** 2 * laplacian);
        expect(Math.abs(found - variance[row]!)).toBeLessThan(2e-4 * level ** 2 * dimension);
      });
    });
  });

  test("mean and variance are those of many draws, and so are those of the posterior", () => {
    const bank = toyBank(distribution, 20_000, 3);
    const drawn = bank.values.toFloat64Array();
    bank.dispose();
    const rows = Array.from({ length: 20_000 }, (_, i) => drawn.subarray(i * dimension, (i + 1) * dimension));
    const square = (row: ArrayLike<number>, from: ArrayLike<number>): number =>
      Array.from(row).reduce((total, value, d) => total + (value - from[d]!) ** 2, 0);
    for (let d = 0; d < dimension; d++) {
      const { mean, error } = meanAndError(rows.map((row) => row[d]!));
      expect(Math.abs(mean - distribution.mean[d]!)).toBeLessThan(4 * error);
    }
    const spread = meanAndError(rows.map((row) => square(row, distribution.mean)));
    expect(Math.abs(spread.mean - distribution.variance)).toBeLessThan(4 * spread.error + 1e-12);

    scope(() => {
      // Where it has most of its mass: elsewhere few of the draws have a weight.
      const noisy = Float64Array.from(drawn.subarray(0, 4 * dimension), (value, i) => {
        return value + sigma[Math.floor(i / dimension)]! * (random() - 0.5);
      });
      const x = tensor(noisy, { shape });
      const exact = denoise(x, sigma).toFloat64Array();
      const variance = posteriorVariance(x, sigma).toFloat64Array();
      sigma.forEach((level, row) => {
        const point = noisy.subarray(row * dimension, (row + 1) * dimension);
        const center = exact.subarray(row * dimension, (row + 1) * dimension);
        const { mean, weights } = posteriorMean(point, rows, level);
        const squares = rows.map((each) => square(each, center));
        const weighted = weights.reduce((total, weight, k) => total + weight * squares[k]!, 0);
        const error = Math.sqrt(
          weights.reduce((total, weight, k) => total + (weight * (squares[k]! - weighted)) ** 2, 0),
        );
        expect(Math.abs(weighted - variance[row]!)).toBeLessThan(4.5 * error + 1e-9);
        const off = Math.sqrt(square(mean, center));
        const size = weights.reduce((total, weight) => total + weight ** 2, 0);
        expect(off).toBeLessThan(5 * Math.sqrt(variance[row]! * size) + 1e-9);

        const keyed = new KeyedRandom(BigInt(row));
        const sources = Array.from({ length: 4000 }, () => distribution.drawPosterior(point, level, keyed));
        for (let d = 0; d < dimension; d++) {
          const found = meanAndError(sources.map((source) => source[d]!));
          expect(Math.abs(found.mean - center[d]!)).toBeLessThan(4.5 * found.error + 1e-9);
        }
        const around = meanAndError(sources.map((source) => square(source, center)));
        expect(Math.abs(around.mean - variance[row]!)).toBeLessThan(4.5 * around.error + 1e-9);
      });
    });
  });
});

describe("a mixture from JSON", () => {
  test("is that of its components", () => {
    const text =
      '{"components": [{"mean": [1, 2], "deviation": 0.5}, {"weight": 3, "mean": [0, 0], "deviation": [0, 2]}]}';
    const { name, dimension, mean, variance } = mixtureOf(JSON.parse(text), "mine.json");
    expect([name, dimension, mean]).toEqual(["mine.json", 2, [0.25, 0.5]]);
    // 1/4 (2 x 0.25) + 3/4 4 + Var of the means
    expect(variance).toBeCloseTo(0.125 + 3 + 0.25 * 0.75 * 5, 12);
  });

  const of = (component: object): object => ({ components: [{ mean: [0, 0], deviation: 1 }, component] });
  test.each<[unknown, RegExp]>([
    [null, /"mine" needs a list of "components", found none; write/],
    [[1], /list of "components"/],
    [{ components: 3 }, /found number/],
    [{ components: [] }, /needs components with means, found none/],
    [{ components: [null] }, /list of numbers as the "mean" of component 1, found none/],
    [of({ mean: ["a"], deviation: 1 }), /list of numbers as the "mean" of component 2, found \["a"\]/],
    [of({ mean: [0, 0] }), /"deviation" of component 2, found none/],
    [of({ mean: [0, 0], deviation: "1" }), /"deviation" of component 2, found "1"/],
    [of({ mean: [0, 0], deviation: -1 }), /at least 0, found -1 in component 2/],
    [of({ mean: [0, 0], deviation: [1, 2, 3] }), /each coordinate \(2\), found 3 in component 2/],
    [of({ mean: [0], deviation: 1 }), /one dimension, found 2 numbers in component 1 and 1 in component 2/],
    [of({ mean: [0, JSON.parse("1e999")], deviation: 1 }), /numbers as means, found Infinity in component 2/],
    [of({ mean: [0, 0], deviation: 1, weight: 0 }), /positive weights, found 0 in component 2/],
    [of({ mean: [0, 0], deviation: 1, weight: null }), /positive number as the "weight" of component 2, found null/],
  ])("%j is refused in one line", (value, message) => {
    expect(() => mixtureOf(value, "mine")).toThrow(InputError);
    expect(() => mixtureOf(value, "mine")).toThrow(message);
    expect(() => mixtureOf(value, "mine")).not.toThrow(/\n/);
  });
});
