/** Loss, floor and excess of denoisers, against closed forms and the posterior by its definition. */

import { Module, scope, type Tensor, tensor } from "@stf/torch";
import { afterAll, describe, expect, test } from "vitest";
import { denoisingErrors, exactTargets } from "../src/analysis/denoising-error.js";
import { augmentationSettings } from "../src/augmentation/settings.js";
import { toyBank } from "../src/data/distribution.js";
import { ImageBank } from "../src/data/image-bank.js";
import { gaussianMixture } from "../src/data/mixture.js";
import { twoGaussians } from "../src/data/toy.js";
import type { VectorBank } from "../src/data/vector-bank.js";
import { buildDenoiser } from "../src/networks/build.js";
import { Denoiser } from "../src/networks/denoiser.js";
import type { Network } from "../src/networks/network.js";
import { edmPreconditioning } from "../src/preconditioning/edm.js";
import { exactTarget } from "../src/targets/exact.js";
import { posterior } from "../src/targets/posterior.js";
import { type PerturbedBatch, perturbedImages, selectSamples } from "../src/targets/target.js";
import { perturb } from "../src/training/perturb.js";
import { bankOf, maxDeviation, meanAndError, perturbedBatch, randomBytes, tensorsLeft } from "./support.js";

/** F = 0, so that D(x; sigma) = skip x. */
class Nothing extends Module implements Network {
  readonly labelDim = 0;
  readonly shape = { channels: 1, height: 1, width: 1 };

  forward(x: Tensor): Tensor {
    return x.mul(0);
  }
}

/** D(x; sigma) = c(sigma) x */
function linear(c: (sigma: number) => number): Denoiser {
  const coefficients = (sigma: number) => ({ skip: c(sigma), out: 1, in: 1, noise: 0 });
  return new Denoiser(new Nothing(), { ...edmPreconditioning(), coefficients });
}

/** One sample of every item of a bank, all at one noise level. */
const samplesOf = (bank: VectorBank, sigma: number, seed = 3): PerturbedBatch => {
  const numbers = Array.from({ length: bank.count }, (_, i) => i);
  return perturb(numbers, Int32Array.from(numbers), bank, { seed, noiseLevels: () => sigma });
};

/** Whether a mean is within four standard errors of a number. */
function expectMean(values: ArrayLike<number>, wanted: number): void {
  const { mean, error } = meanAndError(values);
  expect(Math.abs(mean - wanted), `${mean} +- ${error}, wanted ${wanted}`).toBeLessThan(4 * error + 1e-12);
}

describe.each([0.1, 0.5, 2, 20])("a Gaussian of standard deviation 0.6 at sigma %s", (sigma) => {
  const v = 0.36;
  const best = v / (v + sigma ** 2);
  const gaussian = gaussianMixture("Gaussian", [{ weight: 1, mean: new Array<number>(50).fill(0), deviation: 0.6 }]);
  const bank = toyBank(gaussian, 2000, 1);
  afterAll(() => bank.dispose());

  test("the loss of the exact denoiser is the floor, within 1 %, and its excess is 0", () => {
    scope(() => {
      const batch = samplesOf(bank, sigma);
      const { loss, excess } = denoisingErrors(
        linear(() => best),
        batch,
        exactTarget(gaussian).of(batch),
      );
      const floor = (sigma ** 2 * v) / (v + sigma ** 2);
      expect(Math.abs(meanAndError(loss).mean / floor - 1)).toBeLessThan(0.01);
      expectMean(loss, floor);
      expect(Math.max(...excess!)).toBeLessThan(1e-12);
    });
  });

  test.each([0, 0.5, 1])("D = %s x has the excess and the loss of the closed form", (c) => {
    scope(() => {
      const batch = samplesOf(bank, sigma);
      const { loss, excess } = denoisingErrors(
        linear(() => c),
        batch,
        exactTarget(gaussian).of(batch),
      );
      expectMean(excess!, (c - best) ** 2 * (v + sigma ** 2));
      expectMean(loss, (1 - c) ** 2 * v + c ** 2 * sigma ** 2);
    });
  });
});

test.each([0.3, 0.9, 2])(
  "loss is excess plus floor on two Gaussians at sigma %s, sample by sample up to noise",
  (sigma) => {
    const distribution = twoGaussians({ dimension: 2, deviation: 0.2 });
    const bank = toyBank(distribution, 4000, 2);
    scope(() => {
      const batch = samplesOf(bank, sigma);
      const exact = exactTarget(distribution).of(batch);
      const { loss, excess } = denoisingErrors(
        linear(() => 0.4),
        batch,
        exact,
      );
      const floor = exact.sub(batch.source).flatten(1).double().square().mean(1).toFloat64Array();
      expectMean(
        loss.map((value, i) => value - excess![i]! - floor[i]!),
        0,
      );
      // The cross term vanishes in the mean only.
      expect(meanAndError(floor).mean).toBeGreaterThan(0.005);
    });
    bank.dispose();
  },
);

const SIGMAS = [0.01, 0.2, 0.5, 2, 2, 10];
const shape = { channels: 3, height: 4, width: 4 };

describe("exact targets of a bank", () => {
  const labels = Int32Array.from({ length: 40 }, (_, i) => i % 3);
  const images = Array.from({ length: 40 }, (_, i) => randomBytes(48, i).map((byte) => 100 + byte / 8));
  const bytes = Uint8Array.from(images.flatMap((image) => [...image]));
  const bank = ImageBank.fromBytes("classes", shape, bytes, { labels });
  afterAll(() => bank.dispose());
  const sources = [0, 7, 14, 21, 28, 35];
  const classes = Int32Array.from([0, 1, 2, 0, -1, -1]);
  const samples = (): PerturbedBatch => ({ ...perturbedBatch(bank, sources, SIGMAS, 4), classes });

  const meanOver = (batch: PerturbedBatch, references?: Int32Array): Tensor =>
    posterior(
      bank,
      perturbedImages({ ...batch, source: batch.source.double(), noise: batch.noise.double() }),
      batch.sigma,
      {
        ...(references && { references }),
      },
    ).mean;

  test("are posterior means over the whole bank", () => {
    scope(() => {
      const batch = samples();
      expect(maxDeviation(exactTargets(bank, batch), meanOver(batch))).toBeLessThan(3e-6);
      expect(maxDeviation(exactTargets(bank, batch), batch.source)).toBeGreaterThan(0.01);
    });
  });

  test("are those over the class of a sample, and over the bank without a label", () => {
    scope(() => {
      const batch = samples();
      const found = exactTargets(bank, batch, { sameClass: true });
      sources.forEach((_, row) => {
        const own = classes[row]!;
        const part = selectSamples(batch, [row]);
        const members = labels.map((_, i) => i).filter((i) => own < 0 || labels[i] === own);
        expect(maxDeviation(found.narrow(0, row, 1), meanOver(part, members)), `sample ${row}`).toBeLessThan(3e-6);
      });
      expect(maxDeviation(found, exactTargets(bank, batch))).toBeGreaterThan(0.01);
    });
  });

  test("by class need classes", () => {
    const { classes: _, ...batch } = samples();
    expect(() => exactTargets(bank, batch, { sameClass: true })).toThrow(/need class labels; classes has none/);
  });

  test("loss is excess plus floor, and the exact denoiser has no excess", () => {
    const count = 3000;
    const indices = Array.from({ length: count }, (_, i) => i % 40);
    scope(() => {
      const batch = perturbedBatch(bank, indices, new Array<number>(count).fill(0.3), 6);
      const exact = exactTargets(bank, batch);
      const { loss, excess } = denoisingErrors(
        linear(() => 0.5),
        batch,
        exact,
      );
      const floor = exact.sub(batch.source).flatten(1).double().square().mean(1).toFloat64Array();
      expectMean(
        loss.map((value, i) => value - excess![i]! - floor[i]!),
        0,
      );
      expect(meanAndError(floor).mean).toBeGreaterThan(1e-4);
      expect(Math.min(...excess!)).toBeGreaterThan(1e-4);
    });
  });
});

describe("a network", () => {
  const denoiser = buildDenoiser({
    arch: "ddpmpp",
    precond: "edm",
    shape: { channels: 1, height: 8, width: 8 },
    modelChannels: 8,
    channelMult: [1],
    numBlocks: 1,
    attnResolutions: [],
    dropout: 0.5,
    labelDim: 2,
    augmentDim: 0,
  });
  // Networks begin with output 0.
  for (const [, parameter] of denoiser.namedParameters()) {
    scope(() => parameter.setData(parameter.detach().add(tensor(Float32Array.of(0.02)))));
  }
  const bank = bankOf(
    Array.from({ length: 4 }, (_, i) => randomBytes(64, i)),
    { channels: 1, height: 8, width: 8 },
  );
  afterAll(() => {
    denoiser.dispose();
    bank.dispose();
  });
  const batch = perturbedBatch(bank, [0, 1, 2, 3], [0.1, 0.5, 1, 5], 1);
  const withClasses = (...list: number[]): PerturbedBatch => ({ ...batch, classes: Int32Array.from(list) });

  test("is evaluated without dropout or gradients, and left in its mode", () => {
    denoiser.train();
    const left = tensorsLeft(() => {
      const { loss, excess } = denoisingErrors(denoiser, batch);
      expect(excess).toBeUndefined();
      expect(denoiser.training).toBe(true);
      denoiser.eval();
      expect(denoisingErrors(denoiser, batch).loss).toEqual(loss);
      expect(denoiser.training).toBe(false);
    });
    expect(left).toBe(0);
  });

  test("is told the classes", () => {
    const none = denoisingErrors(denoiser, batch).loss;
    expect(denoisingErrors(denoiser, withClasses(-1, -1, -1, -1)).loss).toEqual(none);
    const all = denoisingErrors(denoiser, withClasses(0, 1, 0, -1)).loss;
    expect([...all].map((value, i) => value === none[i])).toEqual([false, false, false, true]);
    expect(() => denoisingErrors(denoiser, withClasses(0, 1, 2, 0))).toThrow(/must be below 2, found 2/);
  });

  test("is not asked about augmented images", () => {
    const augmentation = augmentationSettings({ probability: 0.5 });
    const augmented = perturb([0], Int32Array.of(0), bank, { seed: 0, noiseLevels: () => 1, augmentation });
    expect(() => denoisingErrors(denoiser, augmented)).toThrow(/without augmentation/);
  });
});
