/** What numbers of quality are said to cost. */

import { memory } from "@stf/torch";
import { expect, test } from "vitest";
import type { MetricRequest } from "../src/config/training-metrics.js";
import { jobContext } from "../src/jobs/context.js";
import { extrapolated, numbersCost } from "../src/jobs/numbers-cost.js";

test("the cost of large sets follows from that of small ones where it is linear in both", () => {
  const asked: number[][] = [];
  const costOf = ({ images, reference }: { images: number; reference: number }) => {
    asked.push([images, reference]);
    return { each: 7 + images / 100 + reference / 1000, once: 3 + reference / 50 };
  };
  const cost = extrapolated({ images: 500, reference: 400 }, { images: 5000, reference: 60_000 }, costOf);
  expect(cost.each).toBeCloseTo(7 + 50 + 60, 9);
  expect(cost.once).toBeCloseTo(3 + 1200, 9);
  expect(asked.every(([images = 0, reference = 0]) => images <= 1000 && reference <= 800)).toBe(true);
});

const requests: readonly MetricRequest[] = [
  { count: 300, names: ["frechet", "slicedWasserstein", "precision", "score", "wavelet"] },
];

test("what they take is measured on every number, and leaves nothing behind", () => {
  const { tensors } = memory();
  let readings = 0;
  // A second passes between two readings: around a set there are two.
  const now = (): number => ++readings;
  const cost = numbersCost(
    requests,
    5000,
    { channels: 1, height: 8, width: 8 },
    { dimension: 8, classes: 3 },
    jobContext({ now }),
  );
  expect(cost).toEqual({ each: 1, once: 0 });
  expect(readings).toBe(12);
  expect(memory().tensors).toBe(tensors);
});

test("numbers that so few images do not have cost nothing, and stop nothing", () => {
  const kernel: readonly MetricRequest[] = [{ count: 2, names: ["precision"] }];
  const cost = numbersCost(kernel, 2, { channels: 1, height: 8, width: 8 }, { dimension: 8, classes: 3 }, jobContext());
  expect(cost.each).toBe(0);
});
