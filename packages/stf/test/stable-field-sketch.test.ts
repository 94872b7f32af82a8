/** Stable targets over all images of a bank that has a sketch, against those streamed over every image. */

import { scope } from "@stf/torch";
import { afterAll, expect, test } from "vitest";
import { augmentedTarget, targetFrom } from "../src/targets/augmented.js";
import { posterior } from "../src/targets/posterior.js";
import { sketchOf } from "../src/targets/sketch.js";
import { stableFieldTarget } from "../src/targets/stable-field.js";
import { perturbedImages } from "../src/targets/target.js";
import { bankOf, maxDeviation, perturbedBatch, tensorsLeft, uniforms } from "./support.js";

const shape = { channels: 1, height: 12, width: 12 };
const COUNT = 4200;

/** A few waves of random strength, with noise of random strength: some images are close to each other, most are not. */
function waves(): number[][] {
  const random = uniforms(7);
  return Array.from({ length: COUNT }, (_, i) => {
    const strengths = Array.from({ length: 6 }, () => 60 * (random() - 0.5) * (i % 3));
    const noise = 2 ** (i % 6);
    return Array.from({ length: 144 }, (_, at) => {
      const [x, y] = [at % 12, Math.floor(at / 12)];
      const wave = strengths.reduce(
        (sum, strength, k) => sum + strength * Math.cos(((k % 3) * x + (k % 2) * y) / 4 + k),
        0,
      );
      return Math.min(Math.max(Math.round(128 + wave + noise * (random() - 0.5)), 0), 255);
    });
  });
}

const bank = bankOf(waves(), shape);
afterAll(() => bank.dispose());
const sources = [0, 1, 2, 3, 4, 5, 700, 4199];
const all = { bank, pool: "all" } as const;

test.each([1e-3, 0.02, 0.1, 0.3, 1, 3, 20, 80])(
  "at noise level %d they are the posterior mean over all images",
  (level) => {
    scope(() => {
      expect(sketchOf(bank)).toBeDefined();
      const batch = perturbedBatch(
        bank,
        sources,
        sources.map((_, i) => level * (1 + i / 8)),
        11,
      );
      const found = stableFieldTarget().of(batch, all);
      const streamed = stableFieldTarget({ chunk: 1000 }).of(batch, { ...all, logWeights: new Float64Array(COUNT) });
      expect(maxDeviation(found, streamed)).toBeLessThan(3e-6);
      const noisy = perturbedImages({ ...batch, source: batch.source.double(), noise: batch.noise.double() });
      expect(maxDeviation(found, posterior(bank, noisy, batch.sigma).mean)).toBeLessThan(3e-6);
    });
  },
);

test("a sample's target does not depend on the others", () => {
  scope(() => {
    const batch = perturbedBatch(
      bank,
      sources,
      sources.map(() => 0.7),
      3,
    );
    const target = stableFieldTarget();
    const together = target.of(batch, all);
    const alone = perturbedBatch(bank, sources.slice(0, 1), [0.7], 3);
    const first = { ...alone, noise: batch.noise.narrow(0, 0, 1) };
    expect(maxDeviation(target.of(first, all), together.narrow(0, 0, 1))).toBe(0);
    const through = augmentedTarget(target, batch, { plain: () => all, warped: () => all });
    expect(
      maxDeviation(
        through,
        targetFrom(target, batch, () => all),
      ),
    ).toBe(0);
  });
});

test("a sketch is made once; small banks have none", () => {
  const batch = scope(() =>
    perturbedBatch(
      bank,
      sources,
      sources.map(() => 0.5),
      5,
    ),
  );
  sketchOf(bank);
  expect(tensorsLeft(() => void stableFieldTarget().of(batch, all))).toBe(0);
  expect(sketchOf(bank)).toBe(sketchOf(bank));
  const small = bankOf(waves().slice(0, 100), shape);
  expect(sketchOf(small)).toBeUndefined();
  small.dispose();
});
