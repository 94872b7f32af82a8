/** What a measured bias says. */

import { expect, test } from "vitest";
import { biasFinding, biasVerdict } from "../src/analysis/bias-findings.js";
import type { BiasReport } from "../src/run/variance-report.js";

/** A report with the given estimates, their errors, and the explainable variance of each level. */
function report(
  rows: readonly [value: number, error: number, explainable: number][],
  name = "source excluded",
): BiasReport {
  return {
    name,
    about: "",
    references: 64,
    levels: rows.map(([value, error, explainable], i) => ({
      sigma: 2 ** i,
      squaredBias: { value, error },
      squaredError: { value: 0.2 },
      explainable: { value: explainable },
    })),
  };
}

test("a bias is told where it is largest among the certain ones", () => {
  const found = report([
    [0.001, 0.0001, 0.5],
    [0.05, 0.01, 0.1],
    [0.06, 0.05, 0.01],
  ]);
  const verdict = biasVerdict(found);
  expect(verdict).toMatchObject({ biased: true, level: 1 });
  expect(verdict.score).toBeCloseTo(10, 9);
  expect(verdict.share).toBeCloseTo(0.5, 9);
  expect(biasFinding(found)).toBe(
    "The target with source excluded of 64 references is biased, 10 standard errors from 0 where it is clearest: at sigma = 2 its squared bias is 50 % of the explainable variance, and 25 % of its squared error.",
  );
});

test("no bias is told with what would have been seen", () => {
  const found = report(
    [
      [-0.001, 0.001, 0.5],
      [0.002, 0.001, 0.1],
      [0, 0, 0.1],
    ],
    "stable target",
  );
  expect(biasVerdict(found)).toMatchObject({ biased: false, level: 1, atMost: 0.04 });
  expect(biasFinding(found)).toBe(
    "The stable target of 64 references shows no bias at 3 noise levels: the largest estimate is 2.0 standard errors from 0, and its squared bias is below 4 % of the explainable variance.",
  );
});

test("rounding is no bias, an exact one is", () => {
  expect(biasVerdict(report([[1e-9, 1e-12, 0.1]]))).toMatchObject({ biased: false, score: 0 });
  expect(biasVerdict(report([[0, 0, 0]]))).toMatchObject({ biased: false, score: 0, atMost: 0 });
  const exact = report([[0.01, 0, 0.1]]);
  expect(biasVerdict(exact)).toMatchObject({ biased: true, score: Number.POSITIVE_INFINITY });
  expect(biasFinding(exact)).toMatch(/is biased: at sigma = 1/);
});
