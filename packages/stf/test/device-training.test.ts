/** Training steps on the device that STF_TEST_DEVICE names, the CPU by default, against float64 on the CPU. */

import { noGrad, scope, type Tensor } from "@stf/torch";
import { afterAll, describe, expect, test } from "vitest";
import { augmentDim } from "../src/augmentation/labels.js";
import { augmentationSettings } from "../src/augmentation/settings.js";
import { ImageBank } from "../src/data/image-bank.js";
import { DataOrder } from "../src/data/order.js";
import type { NetworkConfig } from "../src/networks/build.js";
import { preconditioningOf } from "../src/preconditioning/table.js";
import { logNormalLevels } from "../src/processes/noise-levels.js";
import { stableFieldTarget } from "../src/targets/stable-field.js";
import { type PerturbedBatch, perturbedImages } from "../src/targets/target.js";
import { weightedError } from "../src/training/loss.js";
import { type PerturbSettings, perturb } from "../src/training/perturb.js";
import { disposeState, initialState, type TrainingState } from "../src/training/state.js";
import { type StepLoss, type TrainingData, type TrainingSettings, trainingStep } from "../src/training/step.js";
import { stepTargets } from "../src/training/step-targets.js";
import { device, maxDeviation, meanAndError, normals, randomBytes, relativeDeviation, sameBits } from "./support.js";

const CLASSES = 3;
const BATCH = 8;
const shape = { channels: 3, height: 8, width: 8 };
// Close to each other, so that posteriors hold several.
const bytes = randomBytes(48 * 192, 1).map((byte) => 100 + (byte >> 2));
const labels = Int32Array.from({ length: 48 }, (_, i) => i % CLASSES);
const bank = ImageBank.fromBytes("test", shape, bytes, { labels });
const bankThere = bank.to(device);
afterAll(() => {
  bank.dispose();
  bankThere.dispose();
});

const augmentation = augmentationSettings({ probability: 0.5 });
const plain: NetworkConfig = {
  arch: "ddpmpp",
  precond: "edm",
  shape,
  modelChannels: 16,
  channelMult: [1, 2],
  numBlocks: 1,
  attnResolutions: [4],
  dropout: 0,
};
const classes = { labelDim: CLASSES };
const augmented = { augmentDim: augmentDim(augmentation) };

const settingsFor = ({
  precond,
  labelDim = 0,
  augmentDim: width = 0,
}: NetworkConfig): TrainingSettings & PerturbSettings => ({
  seed: 5,
  batch: BATCH,
  microBatch: BATCH,
  learningRate: { peak: 4e-3, rampup: 100 },
  ema: { halflife: 200, rampupRatio: 0.05 },
  lossScaling: 1,
  noiseLevels: preconditioningOf(precond).noiseLevels,
  target: stableFieldTarget(),
  references: 24,
  sameClass: labelDim > 0,
  warpedReferences: 8,
  labelDropout: 0.2,
  augmentation: width > 0 ? augmentation : undefined,
});

const dataOf = (images: ImageBank): TrainingData => ({ bank: images, order: new DataOrder(images.count, 5) });

/** Away from the initial weights, with which most gradients are nearly zero. The same for the same network. */
function shake({ parameters }: TrainingState): void {
  noGrad(() =>
    scope(() => {
      let seed = 0;
      for (const [, view] of parameters.viewsOf(parameters.values)) {
        view.add_(normals(view.shape, seed++, "float32").mul(0.05).to({ device: view.device }));
      }
    }),
  );
}

const movedTo = (batch: PerturbedBatch, place: Parameters<Tensor["to"]>[0]): PerturbedBatch => ({
  ...batch,
  source: batch.source.to(place),
  noise: batch.noise.to(place),
});

const norm = (values: Float64Array): number => Math.sqrt(values.reduce((sum, value) => sum + value ** 2, 0));
/** The length of the difference, relative to that of what is expected. */
const distance = (found: Float64Array, expected: Float64Array): number =>
  norm(found.map((value, i) => value - expected[i]!)) / norm(expected);

interface Result {
  readonly loss: number;
  readonly gradient: Float64Array;
}

function lossAndGradient(state: TrainingState, batch: PerturbedBatch, target: Tensor): Result {
  const { parameters } = state;
  parameters.zeroGrad();
  return scope(() => {
    const error = weightedError(state.network, batch, target);
    error
      .sum()
      .mul(1 / batch.sigma.length)
      .backward();
    return { loss: error.mean().item(), gradient: parameters.gradients.toFloat64Array() };
  });
}

/** How far loss and gradient may be off. Factors that were rounded to TF32 would put gradients off by 2e-3. */
const bounds = {
  fp32: { loss: 1e-5, gradient: 2e-4 },
  bf16: { loss: 5e-3, gradient: 0.05 },
} as const;

test.each<[string, Partial<NetworkConfig>]>([
  ["ddpmpp, edm", {}],
  ["ddpmpp, vp, classes", { precond: "vp", ...classes }],
  ["ddpmpp, subvp", { precond: "subvp" }],
  ["ddpmpp, flow, augmentation", { precond: "flow", ...augmented }],
  ["ncsnpp, ve", { arch: "ncsnpp", precond: "ve" }],
  ["ncsnpp, edm, classes and augmentation", { arch: "ncsnpp", ...classes, ...augmented }],
  // Fewer than 64 channels have no head.
  ["adm, edm, classes and augmentation", { arch: "adm", modelChannels: 32, ...classes, ...augmented }],
  ["adm, iddpm", { arch: "adm", precond: "iddpm", modelChannels: 32 }],
  ["mlp, edm, augmentation", { arch: "mlp", modelChannels: 64, numBlocks: 2, ...augmented }],
  ["mlp, flow, classes", { arch: "mlp", precond: "flow", modelChannels: 64, numBlocks: 2, ...classes }],
])("loss and gradient of a step: %s", (_, own) => {
  const config = { ...plain, ...own };
  const settings = settingsFor(config);
  const here = initialState(config, 3, "fp32");
  const initial = here.parameters.values.clone();
  shake(here);
  const data = dataOf(bank);
  scope(() => {
    const indices = data.order.range(0, settings.batch);
    const batch = perturb(Array.from(indices.keys()), indices, bank, settings);
    using targets = stepTargets(bank, settings, 0, indices);
    const target = targets.targetsOf(batch, 0);
    expect(maxDeviation(target, batch.source)).toBeGreaterThan(0.01);
    const expected = lossAndGradient(here, movedTo(batch, { dtype: "float64" }), target.double());
    expect(norm(expected.gradient)).toBeGreaterThan(1);
    for (const precision of ["fp32", "bf16"] as const) {
      const there = initialState(config, 3, precision, device);
      expect(sameBits(there.parameters.values, initial)).toBe(true);
      expect(sameBits(there.ema.average.values, initial)).toBe(true);
      shake(there);
      const found = lossAndGradient(there, movedTo(batch, { device }), target.to({ device }));
      expect(Math.abs(found.loss / expected.loss - 1), precision).toBeLessThan(bounds[precision].loss);
      expect(distance(found.gradient, expected.gradient), precision).toBeLessThan(bounds[precision].gradient);
      disposeState(there);
    }
  });
  initial.dispose();
  disposeState(here);
});

describe("noisy samples", () => {
  const config = { ...plain, ...augmented };

  test("have the sources and levels that they have on the CPU, and noise of their own number alone", () => {
    const settings = settingsFor(config);
    scope(() => {
      const numbers = Array.from({ length: 64 }, (_, i) => i);
      const indices = dataOf(bank).order.range(0, 64);
      const [expected, found] = [bank, bankThere].map((images) => perturb(numbers, indices, images, settings)) as [
        PerturbedBatch,
        PerturbedBatch,
      ];
      expect(found.noise.device.startsWith(device)).toBe(true);
      expect(maxDeviation(found.source, expected.source)).toBeLessThan(2e-5);
      expect(found.sigma).toEqual(expected.sigma);
      const [source, noise] = [found.source.toFloat64Array(), found.noise.toFloat64Array()];
      const sums = source.map((y, i) => y + found.sigma[Math.floor(i / 192)]! * noise[i]!);
      expect(relativeDeviation(perturbedImages(found), sums)).toBeLessThan(1e-6);
      const part = perturb([40, 41], indices.subarray(40, 42), bankThere, settings);
      expect(sameBits(part.noise, found.noise.narrow(0, 40, 2))).toBe(true);
      const [first, second] = [meanAndError(noise), meanAndError(noise.map((z) => z ** 2))];
      expect(Math.abs(first.mean) / first.error).toBeLessThan(4);
      expect(Math.abs(second.mean - 1) / second.error).toBeLessThan(4);
    });
  });
});

describe("whole steps", () => {
  const config = { ...plain, ...classes, ...augmented };

  function trained(steps: number, own: Partial<NetworkConfig>, more: Partial<TrainingSettings> = {}) {
    const all = { ...config, ...own };
    const settings = { ...settingsFor(all), noiseLevels: logNormalLevels(-1.2, 1.2), ...more };
    const state = initialState(all, settings.seed, "fp32", device);
    shake(state);
    const data = dataOf(bankThere);
    const losses: StepLoss[] = [];
    for (let i = 0; i < steps; i++) losses.push(trainingStep(state, data, settings));
    const gradient = state.parameters.gradients.toFloat64Array();
    return { state, losses, gradient };
  }

  const dropped = { dropout: 0.2 };

  test("are finite, move the weights, and repeat themselves", () => {
    const [start, first, second] = [trained(0, dropped), trained(3, dropped), trained(3, dropped)];
    expect(first.state.images).toBe(3 * BATCH);
    first.losses.forEach(({ mean, meanSquare, count }, i) => {
      expect(mean).toBeGreaterThan(0);
      expect(meanSquare).toBeGreaterThan(mean ** 2);
      expect(count).toBe(BATCH * 192);
      expect(second.losses[i]!.mean / mean).toBeCloseTo(1, 4);
    });
    const weightsOf = ({ state }: typeof first): Float64Array => state.parameters.values.toFloat64Array();
    expect(distance(weightsOf(first), weightsOf(start))).toBeGreaterThan(1e-4);
    for (const { state } of [start, first, second]) disposeState(state);
  });

  test("repeat themselves: on the CPU to the last bit, on a GPU, which adds in any order, but for rounding", () => {
    const [first, second] = [trained(2, dropped), trained(2, dropped)];
    const pairs = [
      [second.state.parameters.values, first.state.parameters.values],
      [second.state.ema.average.values, first.state.ema.average.values],
    ] as const;
    for (const [again, once] of pairs) {
      if (device === "cpu") expect(sameBits(again, once)).toBe(true);
      expect(distance(again.toFloat64Array(), once.toFloat64Array())).toBeLessThan(1e-4);
    }
    expect(second.losses[0]).toEqual(first.losses[0]);
    expect(second.losses[1]?.mean).toBeCloseTo(first.losses[1]?.mean as number, 4);
    for (const { state } of [first, second]) disposeState(state);
  });

  test.each<[string, Partial<NetworkConfig>, Partial<TrainingSettings>]>([
    ["micro-batches", { dropout: 0.3 }, { microBatch: 3 }],
    ["recomputation", { dropout: 0.3 }, { recompute: true }],
    ["smaller chunks of references", { dropout: 0 }, { target: stableFieldTarget({ chunk: 7 }) }],
  ])("have the loss and the gradient that they have without %s", (_, own, more) => {
    const [whole, other] = [trained(1, own), trained(1, own, more)];
    expect(Math.abs(other.losses[0]!.mean / whole.losses[0]!.mean - 1)).toBeLessThan(1e-5);
    expect(distance(other.gradient, whole.gradient)).toBeLessThan(1e-4);
    for (const { state } of [whole, other]) disposeState(state);
  });
});
