/** Power-function averages: their profiles, the recursion, and the fit of one profile by others, against sums in float64. */

import { describe, expect, test } from "vitest";
import {
  type PowerProfile,
  powerDecay,
  powerExponent,
  profileProduct,
  relativeWidth,
} from "../src/training/power-average.js";
import { fitProfile } from "../src/training/profile-fit.js";

/** The integral of a function from 0 to `end`, by Simpson's rule. */
function integral(f: (tau: number) => number, end: number, pieces = 20_000): number {
  const h = end / pieces;
  let sum = f(0) + f(end);
  for (let i = 1; i < pieces; i++) sum += (i % 2 === 1 ? 4 : 2) * f(i * h);
  return (sum * h) / 3;
}

const profile =
  ({ exponent, time }: PowerProfile) =>
  (tau: number): number =>
    tau > time ? 0 : ((exponent + 1) / time) * (tau / time) ** exponent;

const widths = [0.01, 0.05, 0.075, 0.1, 0.2, 0.28];

describe("profiles", () => {
  test.each(widths)("the width %f is the standard deviation of the profile, relative to the time", (width) => {
    const time = 700;
    const p = profile({ exponent: powerExponent(width), time });
    const mean = integral((tau) => tau * p(tau), time);
    const variance = integral((tau) => (tau - mean) ** 2 * p(tau), time);
    expect(integral(p, time)).toBeCloseTo(1, 5);
    expect(Math.sqrt(variance) / time / width).toBeCloseTo(1, 5);
  });

  test("the exponent of a width is the inverse of the width of an exponent", () => {
    for (const width of [0.001, ...widths]) expect(relativeWidth(powerExponent(width)) / width - 1).toBeCloseTo(0, 12);
    // Karras et al. (2024) give these to two digits.
    expect(powerExponent(0.05)).toBeCloseTo(16.97, 2);
    expect(powerExponent(0.1)).toBeCloseTo(6.94, 2);
    expect(powerExponent(1 / Math.sqrt(12))).toBeCloseTo(0, 7);
    for (const width of [0, -0.1, 0.29, Number.NaN])
      expect(() => powerExponent(width)).toThrow(/must be above 0 and at most/);
  });

  test("products are integrals", () => {
    const profiles = [
      { exponent: 3.2, time: 500 },
      { exponent: 6.94, time: 800 },
      { exponent: 16.97, time: 800 },
      { exponent: 1.5, time: 1000 },
    ];
    for (const a of profiles) {
      for (const b of profiles) {
        const [pa, pb] = [profile(a), profile(b)];
        const expected = integral((tau) => pa(tau) * pb(tau), Math.min(a.time, b.time));
        expect(profileProduct(a, b) / expected).toBeCloseTo(1, 7);
      }
    }
  });
});

describe("the recursion", () => {
  test.each(widths)(
    "gives every step the integral of the profile over it, whatever its size, for width %f",
    (width) => {
      const exponent = powerExponent(width);
      const batches = Array.from({ length: 60 }, (_, k) => 8 + ((k * 37) % 23));
      const weights = batches.map((_, k) => Math.sin(0.3 * k) + 0.02 * k);
      const end = batches.reduce((sum, batch) => sum + batch, 0);
      let [images, average, expected] = [0, Number.NaN, 0];
      for (const [k, batch] of batches.entries()) {
        const value = weights[k]!;
        const decay = powerDecay(images, { batch, exponent });
        average = k === 0 && decay === 0 ? value : decay * average + (1 - decay) * value;
        expected += value * (((images + batch) / end) ** (exponent + 1) - (images / end) ** (exponent + 1));
        images += batch;
      }
      expect(average).toBeCloseTo(expected, 12);
    },
  );

  test("of weights that grow in proportion to time, it is the mean of the profile", () => {
    const exponent = powerExponent(0.1);
    const steps = 20_000;
    let average = 0;
    for (let k = 0; k < steps; k++) {
      const decay = powerDecay(k, { batch: 1, exponent });
      average = decay * average + (1 - decay) * (k + 1);
    }
    // Weights change at the end of a step: half a step late.
    expect((average - 0.5) / (steps * ((exponent + 1) / (exponent + 2)))).toBeCloseTo(1, 7);
  });
});

/** Solves a linear system by elimination with pivots. */
function solve(matrix: readonly (readonly number[])[], right: readonly number[]): number[] {
  const rows = matrix.map((row, i) => [...row, right[i]!]);
  const n = rows.length;
  for (let i = 0; i < n; i++) {
    const pivot = rows.findIndex(
      (row, k) => k >= i && Math.abs(row[i]!) === Math.max(...rows.slice(i).map((r) => Math.abs(r[i]!))),
    );
    [rows[i], rows[pivot]] = [rows[pivot]!, rows[i]!];
    for (let k = i + 1; k < n; k++) {
      const factor = rows[k]![i]! / rows[i]![i]!;
      for (let j = i; j <= n; j++) rows[k]![j]! -= factor * rows[i]![j]!;
    }
  }
  const x = new Array<number>(n).fill(0);
  for (let i = n - 1; i >= 0; i--) {
    const known = x.reduce((sum, value, j) => (j > i ? sum + rows[i]![j]! * value : sum), 0);
    x[i] = (rows[i]![n]! - known) / rows[i]![i]!;
  }
  return x;
}

const kept = [powerExponent(0.1), powerExponent(0.05)] as const;

describe("the fit", () => {
  const times = [300, 450, 1000];
  const stored = times.flatMap((time) => kept.map((exponent) => ({ exponent, time })));
  /** The share of a profile before a time. */
  const before = ({ exponent, time }: PowerProfile, end: number): number => Math.min(end / time, 1) ** (exponent + 1);

  test.each([0.03, 0.075, 0.15, 0.25])("is that of all equations at once, for width %f", (width) => {
    const wanted = { exponent: powerExponent(width), time: 1000 };
    // Lagrange's equations: least squares, and the weight of the time before each stored one.
    const products = stored.map((a) => stored.map((b) => 1000 * profileProduct(a, b)));
    const right = stored.map((a) => 1000 * profileProduct(a, wanted));
    const shares = times.map((time) => stored.map((a) => before(a, time)));
    const matrix = [
      ...products.map((row, i) => [...row, ...shares.map((share) => share[i]!)]),
      ...shares.map((share) => [...share, 0, 0, 0]),
    ];
    const expected = solve(matrix, [...right, ...times.map((time) => before(wanted, time))]).slice(0, 6);
    const { coefficients, residual } = fitProfile(times, kept, wanted);
    for (const [i, c] of coefficients.flat().entries()) expect(c).toBeCloseTo(expected[i]!, 7);

    const norm = 1000 * profileProduct(wanted, wanted);
    const residualOf = (c: readonly number[]): number => {
      const squares = c.map((ci, i) => c.reduce((sum, cj, j) => sum + ci * cj * products[i]![j]!, -2 * ci * right[i]!));
      return Math.sqrt((norm + squares.reduce((sum, each) => sum + each, 0)) / norm);
    };
    expect(residual / residualOf(coefficients.flat())).toBeCloseTo(1, 6);
    // What the exact weights of intervals cost, even if they are as wide as here.
    const free = residualOf(solve(products, right));
    expect(residual).toBeGreaterThanOrEqual(free);
    expect(residual).toBeLessThan(1.4 * free);
  });

  test("gives every interval its exact weight, also with thousands of them", () => {
    const dense = Array.from({ length: 3000 }, (_, i) => 32 * (i + 1));
    const time = dense.at(-1)!;
    for (const width of [0.02, 0.075, 0.2]) {
      const wanted = { exponent: powerExponent(width), time };
      const { coefficients } = fitProfile(dense, kept, wanted);
      for (const end of [dense[0]!, dense[500]!, dense[2500]!, time]) {
        const share = coefficients
          .flatMap((pair, i) => pair.map((c, k) => c * before({ exponent: kept[k]!, time: dense[i]! }, end)))
          .reduce((sum, each) => sum + each, 0);
        expect(share).toBeCloseTo(before(wanted, end), 11);
      }
    }
  });

  test("of a profile that is stored is that profile", () => {
    for (const [k, exponent] of kept.entries()) {
      const { coefficients, residual } = fitProfile(times, kept, { exponent, time: 1000 });
      for (const [i, c] of coefficients.flat().entries()) expect(c).toBeCloseTo(i === 4 + k ? 1 : 0, 15);
      expect(residual).toBeLessThan(1e-15);
    }
  });

  test("is four times as close with twice as many stored times", () => {
    const residual = (count: number, width: number): number =>
      fitProfile(
        Array.from({ length: count }, (_, i) => (i + 1) / count),
        kept,
        { exponent: powerExponent(width), time: 1 },
      ).residual;
    for (const width of [0.03, 0.075, 0.15]) {
      expect(residual(200, width) / residual(400, width)).toBeCloseTo(4, 1);
      expect(residual(20, width)).toBeLessThan(0.03);
    }
  });
});
