/** Toy distributions: their draws, and their closed forms against brute force. */

import { scope, tensor } from "@stf/torch";
import { describe, expect, test } from "vitest";
import { type ToyDistribution, toyBank } from "../src/data/distribution.js";
import { gaussianMixture } from "../src/data/mixture.js";
import { DataOrder } from "../src/data/order.js";
import { checkerboard, ringOfGaussians, swissRoll, twoGaussians } from "../src/data/toy.js";
import { KeyedRandom } from "../src/random/keyed.js";
import { targetFrom } from "../src/targets/augmented.js";
import { exactTarget } from "../src/targets/exact.js";
import { drawReferences } from "../src/targets/references.js";
import { stableFieldTarget } from "../src/targets/stable-field.js";
import { perturbedImages } from "../src/targets/target.js";
import { type PerturbSettings, perturb } from "../src/training/perturb.js";
import { disposeState, initialState } from "../src/training/state.js";
import { type TrainingSettings, trainingStep } from "../src/training/step.js";
import { meanAndError, normals, posteriorMean } from "./support.js";

const known: ToyDistribution[] = [
  twoGaussians(),
  twoGaussians({ dimension: 5, deviation: 0.5 }),
  ringOfGaussians({ count: 5 }),
  checkerboard(),
  gaussianMixture("lopsided", [
    { weight: 3, mean: [0.2, -1], deviation: 0.4 },
    { weight: 1, mean: [1, 1], deviation: 0.05 },
  ]),
];

describe.each(known)("$name of dimension $dimension", (distribution) => {
  test("the denoiser is the posterior mean over many draws", () => {
    scope(() => {
      const { dimension, denoise } = distribution;
      const bank = toyBank(distribution, 40_000, 7);
      const values = bank.values.toFloat64Array();
      const rows = Array.from({ length: bank.count }, (_, i) => values.subarray(i * dimension, (i + 1) * dimension));
      const sigma = Float64Array.of(0.3, 0.6, 1, 2, 5);
      const noise = normals([5, dimension], 3);
      const x = bank.rows.narrow(0, 0, 5).add(noise.mul(tensor(sigma, { shape: [5, 1] })));
      const exact = denoise!(x, sigma).toFloat64Array();
      const points = x.toFloat64Array();
      for (let i = 0; i < 5; i++) {
        const point = points.subarray(i * dimension, (i + 1) * dimension);
        const { mean, weights } = posteriorMean(point, rows, sigma[i]!);
        const effective = 1 / weights.reduce((sum, weight) => sum + weight ** 2, 0);
        for (let d = 0; d < dimension; d++) {
          const spread = weights.reduce((sum, w, k) => sum + w * (rows[k]![d]! - mean[d]!) ** 2, 0);
          const difference = Math.abs(exact[i * dimension + d]! - mean[d]!);
          expect(difference).toBeLessThan(4.5 * Math.sqrt(spread / effective) + 1e-9);
        }
      }
      bank.dispose();
    });
  });

  test("at little noise it is the point, far away finite", () => {
    scope(() => {
      const { dimension, denoise } = distribution;
      const bank = toyBank(distribution, 50, 8);
      const points = bank.values;
      const near = denoise!(points, new Float64Array(50).fill(1e-3)).sub(points).abs().amax().item();
      expect(near).toBeLessThan(5e-3);
      const far = denoise!(points.mul(100), new Float64Array(50).fill(3)).toFloat64Array();
      expect(far.every(Number.isFinite)).toBe(true);
      expect(far).toHaveLength(50 * dimension);
      bank.dispose();
    });
  });
});

test("draws lie where they should", () => {
  const board = toyBank(checkerboard({ squares: 4 }), 4000, 1);
  const points = board.values.toFloat64Array();
  for (let i = 0; i < 4000; i++) {
    const [column, row] = [0, 1].map((axis) => Math.floor((points[2 * i + axis]! + 1) / 0.5)) as [number, number];
    expect(column >= 0 && column < 4 && row >= 0 && row < 4 && (column + row) % 2 === 0).toBe(true);
  }
  const roll = toyBank(swissRoll({ deviation: 0 }), 500, 2).values.toFloat64Array();
  for (let i = 0; i < 500; i++) {
    const [x, y] = [roll[2 * i]!, roll[2 * i + 1]!];
    const turn = Math.hypot(x, y) * 4.5 * Math.PI;
    expect(Math.abs(Math.cos(turn) - x / Math.hypot(x, y))).toBeLessThan(1e-9);
  }
  expect(() => exactTarget(swissRoll())).toThrow(/swiss roll/);
  expect(() => gaussianMixture("empty", [])).toThrow(/components/);
  expect(() => gaussianMixture("mixed", [{ weight: 1, mean: [0], deviation: -1 }])).toThrow(/deviation/);
});

const settings: TrainingSettings & PerturbSettings = {
  seed: 3,
  batch: 64,
  microBatch: 64,
  learningRate: { peak: 2e-3, rampup: 0 },
  ema: { halflife: 2000, rampupRatio: 0.05 },
  lossScaling: 1,
  noiseLevels: (random) => Math.exp(-0.5 + random.normal()),
  target: stableFieldTarget(),
  references: 256,
};

test("the stable target of fresh draws averages to the exact one", () => {
  const ring = ringOfGaussians();
  const bank = toyBank(ring, 4000, 5);
  const order = new DataOrder(bank.count, 3);
  const deviations = [0, 1, 2].map(() => [] as number[]);
  for (let step = 0; step < 60; step++) {
    scope(() => {
      const samples = Array.from({ length: 64 }, (_, i) => 64 * step + i);
      const indices = order.range(64 * step, 64);
      const batch = perturb(samples, indices, bank, settings);
      const references = drawReferences(bank, indices, { references: 32 }, new KeyedRandom(BigInt(step)));
      const found = targetFrom(stableFieldTarget(), batch, references).toFloat64Array();
      const exact = exactTarget(ring).of(batch).toFloat64Array();
      const probes = [() => 1, (i: number) => exact[i]!, (i: number) => exact[i ^ 1]!];
      probes.forEach((probe, f) => {
        const sum = Array.from(found, (value, i) => probe(i) * (value - exact[i]!)).reduce((a, b) => a + b, 0);
        deviations[f]!.push(sum / found.length);
      });
    });
  }
  for (const values of deviations) {
    const { mean, error } = meanAndError(values);
    expect(Math.abs(mean) / error).toBeLessThan(4);
  }
  bank.dispose();
});

test("the perceptron learns the exact denoiser", () => {
  const pair = twoGaussians();
  const bank = toyBank(pair, 4000, 5);
  const state = initialState(
    {
      arch: "mlp",
      precond: "edm",
      shape: bank.shape,
      modelChannels: 32,
      channelMult: [1],
      numBlocks: 2,
      attnResolutions: [],
      dropout: 0,
    },
    3,
    "fp32",
  );
  const data = { bank, order: new DataOrder(bank.count, 3) };
  const error = (): number =>
    scope(() => {
      const samples = Array.from({ length: 512 }, (_, i) => 1_000_000 + i);
      const batch = perturb(samples, data.order.range(0, 512), bank, settings);
      const exact = exactTarget(pair).of(batch);
      return state.network.forward(perturbedImages(batch), batch.sigma).sub(exact).square().mean().sqrt().item();
    });
  const before = error();
  for (let i = 0; i < 800; i++) trainingStep(state, data, settings);
  expect(error()).toBeLessThan(0.4 * before);
  expect(error()).toBeLessThan(0.12);
  disposeState(state);
  bank.dispose();
});
