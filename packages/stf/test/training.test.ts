/** Training: the schedules, the statistics, and one small run from start to resumption. */

import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { memory, noGrad, scope, type Tensor } from "@stf/torch";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { augmentDim } from "../src/augmentation/labels.js";
import { augmentationSettings } from "../src/augmentation/settings.js";
import { loadSnapshot } from "../src/checkpoints/network-file.js";
import { runWriter } from "../src/checkpoints/run-writer.js";
import { loadState, saveState } from "../src/checkpoints/state-file.js";
import { ImageBank } from "../src/data/image-bank.js";
import { DataOrder } from "../src/data/order.js";
import type { NetworkConfig } from "../src/networks/build.js";
import { oneHot } from "../src/networks/network.js";
import { logNormalLevels } from "../src/processes/noise-levels.js";
import { KeyedRandom, randomKey } from "../src/random/keyed.js";
import { imagesInName, snapshotPath } from "../src/run/files.js";
import { historyOf } from "../src/run/history.js";
import type { StatsLine } from "../src/run/statistics.js";
import { denoisingTarget } from "../src/targets/denoising.js";
import { stableFieldTarget } from "../src/targets/stable-field.js";
import { perturbedImages, type SampleTarget } from "../src/targets/target.js";
import { emaDecay, learningRate } from "../src/training/clock.js";
import { ErrorMeasurement } from "../src/training/error-measurement.js";
import { type LoopHooks, type LoopOptions, type TrainingWriter, trainingLoop } from "../src/training/loop.js";
import { weightedError } from "../src/training/loss.js";
import { type PerturbSettings, perturb } from "../src/training/perturb.js";
import { countStep, initialStability } from "../src/training/stability.js";
import { disposeState, initialState, type TrainingState } from "../src/training/state.js";
import { Statistics } from "../src/training/statistics.js";
import { DivergenceError, type TrainingData, type TrainingSettings, trainingStep } from "../src/training/step.js";
import { blobs, maxDeviation, meanAndError, normals, relativeDeviation, sameBits } from "./support.js";

describe("schedules", () => {
  test("the learning rate rises linearly, from 0, and stays", () => {
    const rate = (images: number): number => learningRate(images, { peak: 2e-3, rampup: 1000 });
    expect([0, 250, 500, 1000, 1e9].map(rate)).toEqual([0, 5e-4, 1e-3, 2e-3, 2e-3]);
    expect(learningRate(0, { peak: 2e-3, rampup: 0 })).toBe(2e-3);
  });

  test("the average halves its memory every halflife", () => {
    const options = { batch: 50, halflife: 500, rampupRatio: null };
    let weight = 1;
    for (let i = 0; i < 10; i++) weight *= emaDecay(i * 50, options);
    expect(weight).toBeCloseTo(0.5, 12);
  });

  test("early on the halflife is a share of the images seen", () => {
    const options = { batch: 50, halflife: 500, rampupRatio: 0.05 };
    expect(emaDecay(0, options)).toBe(0);
    expect(emaDecay(1000, options)).toBeCloseTo(0.5, 12);
    expect(emaDecay(2000, options)).toBeCloseTo(Math.SQRT1_2, 12);
    expect(emaDecay(10_000, options)).toBeCloseTo(0.5 ** 0.1, 12);
    expect(emaDecay(1e9, options)).toBe(emaDecay(10_000, options));
    expect(emaDecay(1e9, { ...options, halflife: 0 })).toBe(0);
  });

  test("training noise levels are log-normal", () => {
    const draw = logNormalLevels(-1.2, 1.2);
    const logs = Array.from({ length: 20_000 }, (_, i) =>
      Math.log(draw(new KeyedRandom(randomKey(1, "noiseLevel", i)))),
    );
    const first = meanAndError(logs);
    const second = meanAndError(logs.map((value) => (value + 1.2) ** 2));
    expect(Math.abs(first.mean + 1.2) / first.error).toBeLessThan(4);
    expect(Math.abs(second.mean - 1.44) / second.error).toBeLessThan(4);
  });
});

describe("statistics", () => {
  test("count, mean and standard deviation of what was added one by one", () => {
    const statistics = new Statistics<"a" | "b">();
    expect(statistics.mean("a")).toBeNaN();
    for (const value of [1, 2, 3, 4]) statistics.add("a", value);
    statistics.add("b", 7);
    expect(statistics.mean("a")).toBe(2.5);
    const { a, b } = statistics.take();
    expect(a).toEqual({ num: 4, mean: 2.5, std: Math.sqrt(1.25) });
    expect(b).toEqual({ num: 1, mean: 7, std: 0 });
    expect(statistics.take()).toEqual({});
    expect(statistics.mean("a")).toBeNaN();
  });

  test("groups count as their members", () => {
    const statistics = new Statistics<"a" | "b">();
    statistics.add("a", 2, (1 + 9) / 2, 2);
    statistics.add("a", 5, (16 + 25 + 36) / 3, 3);
    const { a } = statistics.take();
    const values = [1, 3, 4, 5, 6];
    const mean = 19 / 5;
    expect(a!.num).toBe(5);
    expect(a!.mean).toBeCloseTo(mean, 12);
    expect(a!.std).toBeCloseTo(Math.sqrt(values.reduce((sum, v) => sum + (v - mean) ** 2, 0) / 5), 12);
  });
});

// 60 is no multiple of the batch: epochs end inside batches.
const bank = blobs(60, 8);
afterAll(() => bank.dispose());
const config: NetworkConfig = {
  arch: "ddpmpp",
  precond: "edm",
  shape: bank.shape,
  modelChannels: 8,
  channelMult: [1, 2],
  numBlocks: 1,
  attnResolutions: [4],
  dropout: 0,
};
const settings: TrainingSettings & PerturbSettings = {
  seed: 5,
  batch: 16,
  microBatch: 16,
  learningRate: { peak: 4e-3, rampup: 100 },
  ema: { halflife: 200, rampupRatio: 0.05 },
  lossScaling: 1,
  noiseLevels: logNormalLevels(-1.2, 1.2),
  target: stableFieldTarget(),
  references: 32,
};

function dataOf(seed: number): TrainingData {
  return { bank, order: new DataOrder(bank.count, seed) };
}

function trained(steps: number, more: Partial<TrainingSettings> = {}, network: NetworkConfig = config): TrainingState {
  const all = { ...settings, ...more };
  const state = initialState(network, all.seed, "fp32");
  advance(state, steps, all);
  return state;
}

function advance(state: TrainingState, steps: number, all: TrainingSettings): void {
  const data = dataOf(all.seed);
  for (let i = 0; i < steps; i++) trainingStep(state, data, all);
}

/** Everything that training changes, by name. */
function contents({ parameters, ema, optimizer, network, averaged }: TrainingState): Record<string, Tensor> {
  return {
    weights: parameters.values,
    averages: ema.average.values,
    "first moments": optimizer.expAvg,
    "second moments": optimizer.expAvgSq,
    ...Object.fromEntries([...network.namedBuffers()].map(([name, buffer]) => [name, buffer])),
    ...Object.fromEntries([...averaged.namedBuffers()].map(([name, buffer]) => [`averaged ${name}`, buffer])),
  };
}

function expectSameState(left: TrainingState, right: TrainingState): void {
  const wanted = contents(right);
  for (const [name, value] of Object.entries(contents(left))) {
    expect(sameBits(value, wanted[name]!), name).toBe(true);
  }
  expect(left.images).toBe(right.images);
  expect(left.optimizer.stepCount).toBe(right.optimizer.stepCount);
}

describe("noisy samples", () => {
  const data = dataOf(5);

  test("depend on the seed and their own number only", () => {
    scope(() => {
      const indices = data.order.range(0, 8);
      const numbers = Array.from({ length: 8 }, (_, i) => i);
      const whole = perturb(numbers, indices, bank, settings);
      const part = perturb([5, 6], indices.subarray(5, 7), bank, settings);
      for (const name of ["source", "noise"] as const) {
        expect(sameBits(part[name], whole[name].narrow(0, 5, 2)), name).toBe(true);
      }
      expect(part.sigma).toEqual(whole.sigma.subarray(5, 7));
      const other = perturb(numbers, indices, bank, { ...settings, seed: 6 });
      expect(maxDeviation(other.noise, whole.noise)).toBeGreaterThan(1);
      expect(other.sigma[0]).not.toBe(whole.sigma[0]);
    });
  });

  test("are the image plus sigma times standard normal noise", () => {
    scope(() => {
      const count = 256;
      const numbers = Array.from({ length: count }, (_, i) => i);
      const batch = perturb(numbers, data.order.range(0, count), bank, settings);
      const images = [batch.source, batch.noise, perturbedImages(batch)];
      const [source, noise, perturbed] = images.map((t) => t.toFloat64Array());
      const expected = source!.map((y, i) => y + batch.sigma[Math.floor(i / 64)]! * noise![i]!);
      expect(relativeDeviation(perturbed!, expected)).toBeLessThan(1e-6);
      const first = meanAndError(noise!);
      const second = meanAndError(noise!.map((z) => z * z));
      expect(Math.abs(first.mean) / first.error).toBeLessThan(4);
      expect(Math.abs(second.mean - 1) / second.error).toBeLessThan(4);
    });
  });
});

describe("a small run", () => {
  test("learns", () => {
    const state = initialState(config, 5, "fp32");
    const data = dataOf(5);
    const loss = (): number =>
      noGrad(() =>
        scope(() => {
          const numbers = Array.from({ length: 128 }, (_, i) => 1_000_000 + i);
          const batch = perturb(numbers, data.order.range(0, 128), bank, settings);
          const target = stableFieldTarget().of(batch, { bank, pool: "all" });
          return weightedError(state.network, batch, target).mean().item();
        }),
      );
    const before = loss();
    // The output layer starts near zero: the loss is the variance of the network's target, about 1.
    expect(before).toBeGreaterThan(0.4);
    for (let i = 0; i < 120; i++) trainingStep(state, data, settings);
    expect(loss()).toBeLessThan(0.5 * before);
    disposeState(state);
  });

  test("the loss of a step is the mean weighted squared error", () => {
    const state = trained(0);
    const data = dataOf(5);
    const [expected, square] = scope(() => {
      const numbers = Array.from({ length: 16 }, (_, i) => i);
      const batch = perturb(numbers, data.order.range(0, 16), bank, settings);
      const raw = state.network.forward(perturbedImages(batch), batch.sigma).sub(batch.source).toFloat64Array();
      const values = raw.map((e, i) => {
        const sigma = batch.sigma[Math.floor(i / 64)]!;
        return ((sigma ** 2 + 0.25) / (sigma * 0.5) ** 2) * e ** 2;
      });
      return [values.reduce((a, b) => a + b, 0) / 1024, values.reduce((a, b) => a + b * b, 0) / 1024];
    });
    const loss = trainingStep(state, data, { ...settings, target: denoisingTarget });
    expect(loss.count).toBe(1024);
    expect(Math.abs(loss.mean / expected - 1)).toBeLessThan(1e-5);
    expect(Math.abs(loss.meanSquare / square - 1)).toBeLessThan(1e-5);
    disposeState(state);
  });

  test.each([1, 5, 8])("micro-batches of %i give the gradient of the whole batch", (microBatch) => {
    // A few steps first: at the start most gradients are nearly zero.
    const [whole, parts] = [16, microBatch].map((size) => {
      const state = trained(3);
      advance(state, 1, { ...settings, microBatch: size });
      return state;
    }) as [TrainingState, TrainingState];
    const deviation = relativeDeviation(parts.parameters.gradients, whole.parameters.gradients);
    expect(deviation, `deviation ${deviation}`).toBeLessThan(1e-5);
    expect(whole.parameters.gradients.abs().amax().item()).toBeGreaterThan(1e-3);
    disposeState(whole);
    disposeState(parts);
  });

  test("the loss factor scales the gradient, not the reported loss", () => {
    const [plain, scaled] = [1, 8].map((lossScaling) => {
      const state = initialState(config, 5, "fp32");
      const data = dataOf(5);
      const loss = trainingStep(state, data, { ...settings, lossScaling });
      return { state, loss };
    });
    const { gradientNorm, ...loss } = plain!.loss;
    expect(scaled!.loss).toMatchObject(loss);
    expect(scaled!.loss.gradientNorm / gradientNorm).toBeCloseTo(8, 4);
    expect(
      scope(() => relativeDeviation(scaled!.state.parameters.gradients, plain!.state.parameters.gradients.mul(8))),
    ).toBeLessThan(1e-6);
    disposeState(plain!.state);
    disposeState(scaled!.state);
  });

  test("the first step of a ramp moves nothing, and copies the weights to the average", () => {
    const fresh = trained(0);
    const once = trained(1);
    // Equal numbers, not equal bits: initial biases hold zeros of either sign.
    expect(maxDeviation(once.parameters.values, fresh.parameters.values)).toBe(0);
    expect(maxDeviation(once.ema.average.values, fresh.parameters.values)).toBe(0);
    expect(once.images).toBe(16);
    disposeState(fresh);
    disposeState(once);
  });

  test("a step is Adam's with the learning rate, and the average's with the decay, of the clock before it", () => {
    const scheduled: TrainingSettings = {
      ...settings,
      learningRate: { peak: 4e-3, rampup: 64 },
      ema: { halflife: 20, rampupRatio: 0.5 },
    };
    const state = trained(1, scheduled);
    const data = dataOf(5);
    for (const images of [16, 32, 48, 64, 80]) {
      const before = {
        weights: state.parameters.values.toFloat64Array(),
        average: state.ema.average.values.toFloat64Array(),
      };
      expect(state.images).toBe(images);
      trainingStep(state, data, scheduled);
      const rate = 4e-3 * Math.min(images / 64, 1);
      const decay = 0.5 ** (16 / Math.min(20, 0.5 * images));
      const steps = state.optimizer.stepCount;
      const first = state.optimizer.expAvg.toFloat64Array();
      const second = state.optimizer.expAvgSq.toFloat64Array();
      const weights = before.weights.map((weight, i) => {
        const root = Math.sqrt(second[i]! / (1 - 0.999 ** steps)) + 1e-8;
        return weight - (rate * first[i]!) / (1 - 0.9 ** steps) / root;
      });
      expect(maxDeviation(state.parameters.values, weights)).toBeLessThan(1e-6);
      const average = weights.map((weight, i) => weight + decay * (before.average[i]! - weight));
      expect(maxDeviation(state.ema.average.values, average)).toBeLessThan(1e-6);
      expect(maxDeviation(average, weights)).toBeGreaterThan(1e-4);
    }
    disposeState(state);
  });

  // Dropout and Fourier frequencies: all that could depend on hidden random state.
  const random: NetworkConfig = { ...config, arch: "ncsnpp", dropout: 0.2 };

  test("the same seed gives the same weights, to the last bit; another seed others", () => {
    const [first, second] = [trained(4, {}, random), trained(4, {}, random)];
    expectSameState(first, second);
    const other = trained(4, { seed: 6 }, random);
    expect(scope(() => maxDeviation(other.parameters.values, first.parameters.values))).toBeGreaterThan(0.1);
    for (const state of [first, second, other]) disposeState(state);
  });

  for (const arch of ["ncsnpp", "ddpmpp", "adm"] as const) {
    test(`${arch}: recomputation gives the same weights, and holds nothing afterwards`, () => {
      const network: NetworkConfig = { ...random, arch, modelChannels: arch === "adm" ? 64 : random.modelChannels };
      const plain = trained(3, {}, network);
      const before = memory().tensors;
      const recomputed = trained(3, { recompute: true }, network);
      // Sums of the same gradients, perhaps in another order.
      expect(scope(() => maxDeviation(recomputed.parameters.values, plain.parameters.values))).toBeLessThan(2e-5);
      disposeState(recomputed);
      expect(memory().tensors).toBe(before);
      disposeState(plain);
    });
  }

  test("micro-batches give the same weights, dropout and all", () => {
    const whole = trained(3, {}, random);
    const parts = trained(3, { microBatch: 5 }, random);
    expect(scope(() => maxDeviation(parts.parameters.values, whole.parameters.values))).toBeLessThan(2e-5);
    // Dropout makes a difference that is larger than that.
    const without = trained(3, {}, { ...random, dropout: 0 });
    expect(scope(() => maxDeviation(without.parameters.values, whole.parameters.values))).toBeGreaterThan(1e-4);
    for (const state of [whole, parts, without]) disposeState(state);
  });

  describe("with files", () => {
    let folder = "";
    beforeAll(() => {
      folder = mkdtempSync(join(tmpdir(), "stf-training-"));
    });
    afterAll(() => rmSync(folder, { recursive: true, force: true }));

    test("six steps are three, a file, and three more, to the last bit", () => {
      const path = join(folder, "state.safetensors");
      const whole = trained(6, {}, random);
      const half = trained(3, {}, random);
      saveState(path, half, random, { seed: 5 });
      disposeState(half);
      const resumed = initialState(random, 99, "fp32");
      const saved = loadState(path);
      expect(saved.config).toMatchObject(random);
      expect(saved.options).toEqual({ seed: 5 });
      saved.restore(resumed);
      expect(resumed.images).toBe(48);
      advance(resumed, 3, settings);
      expectSameState(resumed, whole);
      disposeState(whole);
      disposeState(resumed);
    });

    const loop: LoopOptions = {
      totalImages: 16 * 7,
      timeLimit: Number.POSITIVE_INFINITY,
      imagesPerTick: 32,
      snapshotTicks: 1,
      stateTicks: 2,
      mostSkipped: 10,
      saveSeconds: Number.POSITIVE_INFINITY,
    };
    const loadLines = (run: string): StatsLine[] =>
      readFileSync(join(run, "stats.jsonl"), "utf8")
        .trimEnd()
        .split("\n")
        .map((line) => JSON.parse(line) as StatsLine);
    const writerOf = (run: string): TrainingWriter =>
      runWriter(run, { network: config, options: { batch: 16 }, about: {} });

    test("the loop stops at its images, with a line per tick and checkpoints", async () => {
      const run = mkdtempSync(join(folder, "run-"));
      const state = initialState(config, 5, "fp32");
      const data = dataOf(5);
      const seen: number[] = [];
      const ticks: number[] = [];
      const result = await trainingLoop(state, data, settings, loop, writerOf(run), {
        onStep: ({ images }) => void seen.push(images),
        onTick: ({ images }) => void ticks.push(images),
      });
      expect(result.reason).toBe("finished");
      expect(state.images).toBe(112);
      expect(seen).toEqual([16, 32, 48, 64, 80, 96, 112]);
      expect(ticks).toEqual([32, 64, 96, 112]);
      const parsed = loadLines(run);
      expect(parsed).toHaveLength(4);
      expect(parsed.map((line) => line["Progress/kimg"]?.mean)).toEqual([0.032, 0.064, 0.096, 0.112]);
      expect(parsed[0]!["Loss/loss"]).toMatchObject({ num: 2 * 1024 });
      expect(parsed[3]!["Loss/loss"]).toMatchObject({ num: 1024 });
      expect(readdirSync(run).sort()).toEqual([
        ...[32, 64, 96, 112].map((images) => `network-snapshot-${String(images).padStart(9, "0")}.safetensors`),
        "stats.jsonl",
        ...[64, 112].map((images) => `training-state-${String(images).padStart(9, "0")}.safetensors`),
      ]);
      // The run is that of the steps alone.
      const alone = trained(7);
      expectSameState(state, alone);
      disposeState(state);
      disposeState(alone);
    });

    test("measuring errors at every tick changes no bit of the training, and adds to its lines", async () => {
      const run = mkdtempSync(join(folder, "run-"));
      const state = initialState(random, 5, "fp32");
      const data = dataOf(5);
      const { noiseLevels } = state.network.preconditioning;
      using errors = new ErrorMeasurement(bank, { noiseLevels, batch: 64, now: () => 0, heldOut: bank });
      const shown: (number | undefined)[] = [];
      const result = await trainingLoop(
        state,
        data,
        settings,
        loop,
        runWriter(run, { network: random, options: {}, about: {} }),
        {
          measure: ({ averaged }, { images }) => errors.measure(averaged, { images, seconds: 1, elapsed: 1e9 }),
          onTick: ({ excess }) => void shown.push(excess),
        },
      );
      const lines = loadLines(run);
      expect(shown).toEqual(lines.map((line) => line["Loss/excess"]!.mean));
      expect(new Set(shown).size).toBe(4);
      expect(result.progress.excess).toBe(shown[3]);
      expect(result.progress.heldOut).toBe(lines[3]!["Loss/held_out"]!.mean);
      const alone = trained(7, {}, random);
      expectSameState(state, alone);
      disposeState(state);
      disposeState(alone);
    });

    test("saves by time, keeps the latest two of those, and goes on with ticks, time and loss of before", async () => {
      const run = mkdtempSync(join(folder, "run-"));
      const state = initialState(config, 5, "fp32");
      const names = (kind: string): number[] =>
        readdirSync(run).flatMap((name) => (name.startsWith(kind) ? [imagesInName(name) as number] : []));
      // A step takes 25 seconds, and a save is due 40 seconds after the one before.
      let time = 0;
      const hooks: LoopHooks = {
        now: () => time,
        onStep: () => {
          time += 25;
        },
      };
      const timed: LoopOptions = {
        ...loop,
        totalImages: 16 * 9,
        imagesPerTick: 128,
        snapshotTicks: 9,
        stateTicks: 9,
        saveSeconds: 40,
      };
      const counted: [number[], number[]][] = [];
      await trainingLoop(state, dataOf(5), settings, timed, writerOf(run), {
        ...hooks,
        onSnapshot: () => void counted.push([names("network-snapshot"), names("training-state")]),
      });
      expect(counted.slice(0, 3)).toEqual([
        [[32], [32]],
        [
          [32, 64],
          [32, 64],
        ],
        [
          [64, 96],
          [64, 96],
        ],
      ]);
      expect(names("training-state").at(-1)).toBe(144);
      const history = historyOf(run);
      expect(history).toMatchObject({ ticks: 2, images: 144, seconds: 225 });
      expect(history.lowestLoss).toBeGreaterThan(0);
      const snapshot = loadSnapshot(join(run, "network-snapshot-000000144.safetensors"));
      const { loss } = snapshot.about;
      snapshot.denoiser.dispose();
      expect(loss).toBe(loadLines(run)[1]!["Loss/loss"]!.mean);

      const longer = { ...timed, totalImages: 16 * 18 };
      await trainingLoop(state, dataOf(5), settings, longer, writerOf(run), { ...hooks, history });
      const lines = loadLines(run);
      expect(lines.map((line) => line["Progress/tick"]!.mean)).toEqual([0, 1, 2, 3]);
      expect(lines.map((line) => line["Progress/kimg"]!.mean)).toEqual([0.128, 0.144, 0.272, 0.288]);
      expect(lines.map((line) => line["Timing/total_sec"]!.mean)).toEqual([200, 225, 425, 450]);
      disposeState(state);
    });

    test("the time of a measurement does not count towards a save", async () => {
      const run = mkdtempSync(join(folder, "run-"));
      const state = initialState(config, 5, "fp32");
      let time = 0;
      const hooks: LoopHooks = {
        now: () => time,
        onStep: () => {
          time += 5;
        },
        onSnapshot: (_, { ticks }) => {
          if (ticks !== undefined) time += 300;
        },
      };
      const measured = { imagesPerTick: 16, snapshotTicks: 4, stateTicks: 99, saveSeconds: 900 };
      await trainingLoop(
        state,
        dataOf(5),
        settings,
        { ...loop, ...measured, totalImages: 16 * 15 },
        writerOf(run),
        hooks,
      );
      const states = readdirSync(run).filter((name) => name.startsWith("training-state"));
      // After a minute, which is 12 steps.
      expect(states.map((name) => imagesInName(name))).toEqual([16 * 12, 16 * 15]);
      disposeState(state);
    });

    test("a snapshot that ticks ask for stays, also where the time for a save has come", async () => {
      const run = mkdtempSync(join(folder, "run-"));
      const state = initialState(config, 5, "fp32");
      let time = 0;
      const hooks: LoopHooks = {
        now: () => time,
        onStep: () => {
          time += 25;
        },
      };
      const both: LoopOptions = { ...loop, totalImages: 16 * 9, stateTicks: 99, saveSeconds: 40 };
      await trainingLoop(state, dataOf(5), settings, both, writerOf(run), hooks);
      const names = readdirSync(run);
      for (const images of [32, 64, 96, 128, 144]) expect(names).toContain(basename(snapshotPath(run, images)));
      expect(names.filter((name) => name.startsWith("training-state"))).toHaveLength(3);
      disposeState(state);
    });

    test.each([
      { reason: "stopped", more: {}, stop: 3 },
      { reason: "time limit", more: { timeLimit: 1e-9 }, stop: Number.POSITIVE_INFINITY },
    ])("ends because of: $reason", async ({ reason, more, stop }) => {
      const run = mkdtempSync(join(folder, "run-"));
      const state = initialState(config, 5, "fp32");
      const data = dataOf(5);
      let steps = 0;
      const result = await trainingLoop(state, data, settings, { ...loop, ...more }, writerOf(run), {
        onStep: () => void steps++,
        shouldStop: () => steps >= stop,
      });
      expect(result.reason).toBe(reason);
      expect(state.images).toBe(16 * steps);
      expect(steps).toBe(reason === "stopped" ? 3 : 0);
      const saved = loadState(result.state!);
      const resumed = initialState(config, 1, "fp32");
      saved.restore(resumed);
      expectSameState(resumed, state);
      disposeState(state);
      disposeState(resumed);
    });
  });

  test("steps leave no tensors behind", () => {
    const state = initialState(config, 5, "fp32");
    const data = dataOf(5);
    for (let i = 0; i < 3; i++) trainingStep(state, data, settings);
    const before = memory();
    for (let i = 0; i < 30; i++) {
      trainingStep(state, data, settings);
      expect(memory()).toEqual(before);
    }
    disposeState(state);
  });

  test("making and freeing a state leaves no tensors behind", () => {
    const before = memory().tensors;
    disposeState(initialState(config, 5, "fp32"));
    expect(memory().tensors).toBe(before);
  });
});

describe("with class labels", () => {
  // Bright and dark images in turn: what the class says cannot be seen once the noise is strong.
  const bytes = Uint8Array.from({ length: 40 * 64 }, (_, i) => (Math.floor(i / 64) % 2 ? 230 : 30));
  const labels = Int32Array.from({ length: 40 }, (_, item) => item % 2);
  const labelled = ImageBank.fromBytes("bright and dark", { channels: 1, height: 8, width: 8 }, bytes, { labels });
  afterAll(() => labelled.dispose());
  const conditional: NetworkConfig = { ...config, labelDim: 2 };
  const data: TrainingData = { bank: labelled, order: new DataOrder(40, 5) };
  /** Always so much noise that only the label tells the class. */
  const loud: TrainingSettings = { ...settings, noiseLevels: () => 20, learningRate: { peak: 1e-2, rampup: 0 } };

  /** The mean of the denoised noise for each class, after some steps. */
  function means(sameClass: boolean): number[] {
    const state = initialState(conditional, 5, "fp32");
    for (let i = 0; i < 60; i++) trainingStep(state, data, { ...loud, references: 20, sameClass });
    const found = noGrad(() =>
      scope(() => {
        const noise = normals([64, 1, 8, 8], 3, "float32").mul(20);
        return [0, 1].map((label) => {
          const rows = oneHot(new Array<number>(64).fill(label), 2, noise);
          return state.network.forward(noise, new Float64Array(64).fill(20), { labels: rows }).mean().item();
        });
      }),
    );
    disposeState(state);
    return found;
  }

  test("each class is denoised to itself; with references of any class the label means little", () => {
    const [dark, bright] = means(true) as [number, number];
    expect(Math.abs(dark - (30 / 127.5 - 1))).toBeLessThan(0.15);
    expect(Math.abs(bright - (230 / 127.5 - 1))).toBeLessThan(0.15);
    const [darker, brighter] = means(false) as [number, number];
    expect(brighter - darker).toBeLessThan(0.5 * (bright - dark));
  });

  test("micro-batches give the gradient of the whole batch", () => {
    const [whole, parts] = [16, 3].map((microBatch) => {
      const state = initialState(conditional, 5, "fp32");
      for (let i = 0; i < 3; i++) trainingStep(state, data, { ...settings, sameClass: true });
      trainingStep(state, data, { ...settings, references: 5, sameClass: true, microBatch });
      return state;
    }) as [TrainingState, TrainingState];
    const gradients = whole.parameters.gradients;
    expect(relativeDeviation(parts.parameters.gradients, gradients)).toBeLessThan(1e-5);
    // The map of the labels takes part.
    const views = whole.parameters.viewsOf(gradients);
    expect(views.get("model.map_label.weight")!.abs().amax().item()).toBeGreaterThan(1e-6);
    for (const view of views.values()) view.dispose();
    disposeState(whole);
    disposeState(parts);
  });
});

describe("with augmentation", () => {
  const augmentation = augmentationSettings({ probability: 0.5 });
  const told: NetworkConfig = { ...config, augmentDim: augmentDim(augmentation) };

  test.each(["consistent", "independent"] as const)(
    "%s references: micro-batches give the gradient of the whole batch, and the target is no source",
    (referenceAugmentation) => {
      const objective = { augmentation, referenceAugmentation, warpedReferences: 8 };
      const [whole, parts, denoising] = [{}, { microBatch: 5 }, { references: 1 as const }].map((more) => {
        const state = initialState(told, 5, "fp32");
        const data = dataOf(5);
        for (let i = 0; i < 3; i++) trainingStep(state, data, { ...settings, ...objective });
        trainingStep(state, data, { ...settings, ...objective, ...more });
        return state;
      }) as [TrainingState, TrainingState, TrainingState];
      const gradients = whole.parameters.gradients;
      // Independent references are transformed all at once, which rounds differently from a part at a time.
      expect(relativeDeviation(parts.parameters.gradients, gradients)).toBeLessThan(1e-4);
      expect(relativeDeviation(denoising.parameters.gradients, gradients)).toBeGreaterThan(1e-2);
      const views = whole.parameters.viewsOf(gradients);
      expect(views.get("model.map_augment.weight")!.abs().amax().item()).toBeGreaterThan(1e-6);
      for (const view of views.values()) view.dispose();
      for (const state of [whole, parts, denoising]) disposeState(state);
    },
  );

  test("steps leave no tensors behind", () => {
    const state = initialState(told, 5, "fp32");
    const data = dataOf(5);
    const step = (referenceAugmentation: "consistent" | "independent"): void =>
      void trainingStep(state, data, { ...settings, augmentation, referenceAugmentation });
    step("consistent");
    const before = memory().tensors;
    step("consistent");
    step("independent");
    expect(memory().tensors).toBe(before);
    disposeState(state);
  });

  test("a transformed sample depends on the seed and its own number only", () => {
    scope(() => {
      const data = dataOf(5);
      const indices = data.order.range(0, 12);
      const numbers = Array.from({ length: 12 }, (_, i) => i);
      const all = { ...settings, augmentation };
      const whole = perturb(numbers, indices, bank, all);
      const part = perturb(numbers.slice(4, 9), indices.subarray(4, 9), bank, all);
      expect(part.augmentation!.transforms).toEqual(whole.augmentation!.transforms.slice(4, 9));
      expect(maxDeviation(part.source, whole.source.narrow(0, 4, 5))).toBeLessThan(1e-5);
      expect(maxDeviation(whole.source, perturb(numbers, indices, bank, settings).source)).toBeGreaterThan(0.1);
    });
  });
});

test("labels are withheld from a share of the samples, whatever the batch", () => {
  const labelled = ImageBank.fromBytes("labelled", { channels: 1, height: 1, width: 1 }, new Uint8Array(50), {
    labels: Int32Array.from({ length: 50 }, (_, item) => item % 3),
  });
  const count = 4000;
  const numbers = Array.from({ length: count }, (_, i) => i);
  const indices = new DataOrder(50, 5).range(0, count);
  scope(() => {
    const { classes } = perturb(numbers, indices, labelled, { ...settings, labelDropout: 0.2 });
    const withheld = Array.from(classes!, (label) => Number(label < 0));
    const { mean, error } = meanAndError(withheld);
    expect(Math.abs(mean - 0.2) / error).toBeLessThan(4);
    classes!.forEach((label, i) => {
      if (label >= 0) expect(label).toBe(indices[i]! % 3);
    });
    const part = perturb([17, 3], Int32Array.of(indices[17]!, indices[3]!), labelled, {
      ...settings,
      labelDropout: 0.2,
    });
    expect(Array.from(part.classes!)).toEqual([classes![17], classes![3]]);
    const rows = oneHot(classes!.subarray(0, 20), 3, { dtype: "float32", device: "cpu" }).sum(1).toFloat64Array();
    expect(Array.from(rows)).toEqual(withheld.slice(0, 20).map((flag) => 1 - flag));
  });
  labelled.dispose();
});

describe("steps that are not finite", () => {
  const sampleTarget = (of: SampleTarget["of"]): SampleTarget => ({ needsReferences: false, of });
  const notANumber = { target: sampleTarget(({ source }) => scope(() => source.mul(Number.NaN))) };

  const copied = (state: TrainingState): Record<string, Tensor> =>
    Object.fromEntries(Object.entries(contents(state)).map(([name, value]) => [name, value.detach().clone()]));

  /** Checks that a step changes nothing but the clock, and that training then goes on. */
  function expectSkipped(change: Partial<TrainingSettings>): void {
    scope(() => {
      const state = trained(3);
      const data = dataOf(5);
      const before = copied(state);
      const clock = [state.images, state.optimizer.stepCount] as const;
      const { tensors } = memory();
      expect(trainingStep(state, data, { ...settings, ...change }).isSkipped).toBe(true);
      for (const [name, value] of Object.entries(contents(state))) {
        expect(sameBits(value, before[name]!), name).toBe(true);
      }
      expect([state.images, state.optimizer.stepCount]).toEqual([clock[0] + settings.batch, clock[1]]);
      expect(state.stability).toEqual({ rate: 1, skipped: 1, scale: 1, steady: 0 });
      expect(memory().tensors).toBe(tensors);
      advance(state, 1, settings);
      expect(state.stability.skipped).toBe(0);
      const other = trained(3);
      other.images += settings.batch;
      advance(other, 1, settings);
      expectSameState(state, other);
      disposeState(other);
      disposeState(state);
    });
  }

  test("a target that is not a number leaves everything as it was", () => expectSkipped(notANumber));

  test("so does one infinite value in one image", () => {
    const spoiled = sampleTarget(({ source }) => {
      const target = source.clone();
      scope(() => void target.select(0, 3).select(1, 2).select(1, 2).fill_(Number.POSITIVE_INFINITY));
      return target;
    });
    expectSkipped({ target: spoiled });
  });

  test("so does a noise level that is not a number", () => expectSkipped({ noiseLevels: () => Number.NaN }));

  test("so does a gradient that overflows while the loss is finite", () => expectSkipped({ lossScaling: 1e40 }));

  /** A loop whose steps with certain numbers, counted from 0, have a target that is not a number, and what it wrote. */
  async function loopWith(isSpoiled: (step: number) => boolean, steps: number, mostSkipped: number, ticks = 1) {
    const state = trained(0);
    const written: string[] = [];
    const lines: StatsLine[] = [];
    const target = sampleTarget(({ source, indices }) => {
      void indices;
      return isSpoiled(state.images / settings.batch) ? scope(() => source.mul(Number.NaN)) : source.clone();
    });
    const note = (what: string) => (at: TrainingState) => {
      written.push(`${what} ${at.images / settings.batch}`);
      return what;
    };
    const options = {
      ...{ totalImages: steps * settings.batch, timeLimit: Number.POSITIVE_INFINITY, imagesPerTick: settings.batch },
      ...{ snapshotTicks: ticks, stateTicks: ticks, mostSkipped, saveSeconds: Number.POSITIVE_INFINITY },
    };
    const writer = {
      statistics: (line: StatsLine) => void lines.push(line),
      snapshot: note("snapshot"),
      state: note("state"),
    };
    const seen: number[] = [];
    const end = trainingLoop(state, dataOf(5), { ...settings, target }, options, writer, {
      onTick: ({ skipped }) => void seen.push(skipped),
    });
    return { end: await end.catch((error: unknown) => error), images: state.images, written, lines, seen, state };
  }

  test("a few of them are counted, and nothing is saved until a step succeeds", async () => {
    const { end, written, lines, seen, state } = await loopWith((step) => step === 2 || step === 3, 6, 3);
    expect(end).toMatchObject({ reason: "finished" });
    expect(written.filter((what) => what.startsWith("state"))).toEqual([1, 2, 5, 6].map((step) => `state ${step}`));
    expect(seen).toEqual([0, 0, 1, 1, 0, 0]);
    expect(lines.map((line) => line["Optimizer/skipped"]?.mean)).toEqual(seen);
    // A line without a loss, not one that JSON cannot hold.
    expect(lines.map((line) => line["Loss/loss"] !== undefined)).toEqual([true, true, false, false, true, true]);
    expect(lines.every((line) => JSON.stringify(line) === JSON.stringify(JSON.parse(JSON.stringify(line))))).toBe(true);
    disposeState(state);
  });

  test("what was due at a tick whose last step was skipped is saved after the next that succeeds", async () => {
    const { written, state } = await loopWith((step) => step === 3, 10, 3, 4);
    expect(written).toEqual([5, 8, 10].flatMap((step) => [`state ${step}`, `snapshot ${step}`]));
    disposeState(state);
  });

  test("too many in a row are a divergence, and a run does not end with one", async () => {
    const many = await loopWith((step) => step >= 2, 20, 3);
    expect(many.end).toBeInstanceOf(DivergenceError);
    expect((many.end as Error).message).toMatch(/diverged after \d+ images: the last 3 steps were skipped.*'lr'/);
    expect(many.images).toBe(5 * settings.batch);
    const last = await loopWith((step) => step === 4, 5, 3);
    expect(last.end).toMatchObject({ reason: "finished" });
    expect(last.images).toBe(6 * settings.batch);
    expect(last.written.slice(-2)).toEqual(["state 6", "snapshot 6"]);
    for (const { state } of [many, last]) disposeState(state);
  });

  test("a huge learning rate ends in divergence", () => {
    const state = trained(3);
    const results = Array.from({ length: 6 }, () =>
      trainingStep(state, dataOf(5), { ...settings, learningRate: { peak: 1e30, rampup: 0 } }),
    );
    expect(results.slice(2).every(({ isSkipped }) => isSkipped)).toBe(true);
    expect(state.stability.skipped).toBeGreaterThanOrEqual(4);
    disposeState(state);
  });
});

describe("the gradient", () => {
  test("is clipped to a norm: half the norm, half the moments", () => {
    const [free, clipped] = [1, 0.5].map((share) => {
      const state = trained(0);
      const { gradientNorm } = trainingStep(trained(0), dataOf(5), settings);
      const result = trainingStep(state, dataOf(5), { ...settings, clip: share * gradientNorm });
      expect(result.gradientNorm).toBe(gradientNorm);
      return state;
    });
    const { optimizer: whole } = free!;
    const { optimizer: half } = clipped!;
    expect(scope(() => relativeDeviation(half.expAvg, whole.expAvg.mul(0.5)))).toBeLessThan(1e-6);
    expect(scope(() => relativeDeviation(half.expAvgSq, whole.expAvgSq.mul(0.25)))).toBeLessThan(1e-6);
    const loose = trained(0);
    trainingStep(loose, dataOf(5), { ...settings, clip: 1e9 });
    expectSameState(loose, free!);
    for (const state of [free!, clipped!, loose]) disposeState(state);
  });

  test("is the same, to the last bit, with a scale during the backward pass", () => {
    const [plain, scaled] = [1, 2 ** 12].map((scale) => {
      const state = trained(2);
      state.stability.scale = scale;
      const result = trainingStep(state, dataOf(5), settings);
      return { state, result };
    });
    expect(scaled!.result).toEqual(plain!.result);
    expectSameState(scaled!.state, plain!.state);
    for (const { state } of [plain!, scaled!]) disposeState(state);
  });
});

describe("the scale of float16", () => {
  test("halves at every overflow, and doubles after 2000 steps without", () => {
    const stability = initialStability("fp16");
    expect(stability.scale).toBe(65536);
    countStep(stability, true, true);
    countStep(stability, true, true);
    expect(stability).toEqual({ rate: 1, skipped: 0, scale: 16384, steady: 0 });
    for (let i = 0; i < 1999; i++) countStep(stability, false, true);
    expect(stability.scale).toBe(16384);
    countStep(stability, false, true);
    expect(stability).toMatchObject({ scale: 32768, steady: 0 });
  });

  test("only without any of it left does an overflow count towards divergence", () => {
    const stability = initialStability("fp16");
    for (let i = 0; i < 16; i++) countStep(stability, true, true);
    expect(stability).toMatchObject({ scale: 1, skipped: 0 });
    countStep(stability, true, true);
    expect(stability).toMatchObject({ scale: 1, skipped: 1 });
    countStep(stability, false, true);
    expect(stability.skipped).toBe(0);
  });

  test("is 1 in other precisions, and stays", () => {
    const stability = initialStability("bf16");
    for (let i = 0; i < 5000; i++) countStep(stability, i % 3 === 0, false);
    expect(stability.scale).toBe(1);
  });
});
