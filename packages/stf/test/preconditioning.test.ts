/** Preconditionings with constants other than the published ones, one of one's own, and who takes them up. */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { scope, tensor } from "@stf/torch";
import { describe, expect, test } from "vitest";
import { saveSnapshot } from "../src/checkpoints/network-file.js";
import { runWriter } from "../src/checkpoints/run-writer.js";
import { saveState } from "../src/checkpoints/state-file.js";
import { column } from "../src/column.js";
import { UsageError } from "../src/common/errors.js";
import { resolve } from "../src/config/fields.js";
import { generateFields } from "../src/config/generate-options.js";
import { newRunOptions } from "../src/config/resolved-options.js";
import { samplingMethod } from "../src/config/sampling.js";
import { loopOptions, networkConfig, trainingData, trainingSettings } from "../src/config/training.js";
import { type BuildOptions, buildDenoiser, type NetworkConfig } from "../src/networks/build.js";
import type { Constants } from "../src/preconditioning/constants.js";
import { edmPreconditioning } from "../src/preconditioning/edm.js";
import type { Preconditioning } from "../src/preconditioning/preconditioning.js";
import { type PreconditioningName, preconditioningNames, preconditioningOf } from "../src/preconditioning/table.js";
import { discreteProcessFor, processFor } from "../src/processes/by-name.js";
import { veProcess, vpProcess } from "../src/processes/process.js";
import { KeyedRandom, randomKey } from "../src/random/keyed.js";
import { trainingLoop } from "../src/training/loop.js";
import { disposeState, initialState } from "../src/training/state.js";
import { trainingStep } from "../src/training/step.js";
import { blobs } from "./support.js";

const close = (found: number, wanted: number, tolerance = 1e-12): void =>
  expect(Math.abs(found - wanted), `${found}, expected ${wanted}`).toBeLessThanOrEqual(tolerance * Math.abs(wanted));

/** Of each: every constant, none with its published value. */
const others: Readonly<Record<PreconditioningName, Constants>> = {
  edm: { sigmaData: 1, sigmaMin: 0.01, sigmaMax: 40, pMean: -0.5, pStd: 3 },
  vp: { betaMin: 0.3, betaMax: 9, timeSteps: 500, epsilon: 1e-3 },
  ve: { sigmaMin: 0.01, sigmaMax: 50 },
  subvp: { betaMin: 0.2, betaMax: 12, timeSteps: 200, epsilon: 1e-4 },
  flow: { timeSteps: 100, epsilon: 1e-3 },
  iddpm: { timeSteps: 40, c1: 0.01, c2: 0.02 },
};

const complaint = (body: () => unknown): string => {
  try {
    body();
  } catch (error) {
    expect(error).toBeInstanceOf(UsageError);
    expect((error as Error).message).not.toContain("\n");
    return (error as Error).message;
  }
  return expect.fail("it was accepted");
};

describe.each(preconditioningNames)("%s with other constants", (name) => {
  const changed = preconditioningOf(name, others[name]);
  const published = preconditioningOf(name);

  test("has them all, and those that are left out are the published ones", () => {
    expect(changed.constants).toEqual(others[name]);
    expect(Object.keys(published.constants).sort()).toEqual(Object.keys(others[name]).sort());
    for (const [key, value] of Object.entries(others[name])) {
      const { constants } = preconditioningOf(name, { [key]: value });
      expect(constants).toEqual({ ...published.constants, [key]: value });
    }
  });

  test("each of them changes something", () => {
    const numbersOf = ({ sigmaMin, sigmaMax, coefficients, lossWeight, process, noiseLevels }: Preconditioning) => [
      noiseLevels(new KeyedRandom(randomKey(8, "noiseLevel", 1))),
      sigmaMin,
      sigmaMax,
      lossWeight(0.7),
      process.sigmaInverse(0.7),
      ...Object.values(coefficients(0.7)),
    ];
    for (const [key, value] of Object.entries(others[name])) {
      expect(numbersOf(preconditioningOf(name, { [key]: value })), key).not.toEqual(numbersOf(published));
    }
  });

  test("draws noise levels in its own range, to near both ends", () => {
    const { sigmaMin, sigmaMax, noiseLevels } = changed;
    const drawn = Array.from({ length: 4000 }, (_, i) => noiseLevels(new KeyedRandom(randomKey(8, "noiseLevel", i))));
    const [lowest, highest] = [Math.min(...drawn), Math.max(...drawn)];
    expect(lowest).toBeGreaterThanOrEqual(sigmaMin * (1 - 1e-9));
    expect(highest).toBeLessThanOrEqual(sigmaMax * (1 + 1e-9));
    // EDM's levels are spread over their logarithm, not over its time.
    const sigmaInverse = name === "edm" ? Math.log : changed.process.sigmaInverse;
    const length = sigmaInverse(sigmaMax) - sigmaInverse(sigmaMin);
    expect(sigmaInverse(lowest) - sigmaInverse(sigmaMin)).toBeLessThan(0.01 * length);
    expect(sigmaInverse(sigmaMax) - sigmaInverse(highest)).toBeLessThan(0.01 * length);
  });

  test("refuses what is not its own, and what is out of range", () => {
    const known = Object.keys(others[name]);
    const stranger = complaint(() => preconditioningOf(name, { width: 1 }));
    for (const word of [name, ...known, '"width"']) expect(stranger).toContain(word);
    for (const key of known) {
      if (key !== "pMean") {
        expect(complaint(() => preconditioningOf(name, { [key]: -1 }))).toMatch(new RegExp(`${key}.*found.* -1`));
      }
      expect(complaint(() => preconditioningOf(name, { [key]: Number.NaN }))).toMatch(
        new RegExp(`${key}.*found.* NaN`),
      );
      const text = { [key]: "1" } as unknown as Constants;
      expect(complaint(() => preconditioningOf(name, text))).toMatch(new RegExp(`${key}.*number.*found "1"`));
    }
  });
});

test("formulas with other constants", () => {
  const edm = preconditioningOf("edm", others.edm);
  // c_skip = d² / (s² + d²), c_out = s d / sqrt(s² + d²), lambda = (s² + d²) / (s d)² with d = 1 and s = 2.
  const { skip, out, in: scale } = edm.coefficients(2);
  close(skip, 1 / 5);
  close(out, 2 / Math.sqrt(5));
  close(scale, 1 / Math.sqrt(5));
  close(edm.lossWeight(2), 5 / 4);
  const vp = preconditioningOf("vp", others.vp);
  // exp(B(1)) - 1 with B(1) = 0.3 + 8.7 / 2
  close(vp.sigmaMax, Math.sqrt(Math.expm1(4.65)));
  close(vp.coefficients(vp.process.sigma(0.3)).noise, 499 * 0.3, 1e-9);
  close(preconditioningOf("ve", others.ve).process.sigma(0.5), Math.sqrt(0.5));
  const flow = preconditioningOf("flow", others.flow);
  close(flow.sigmaMax, 999);
  close(flow.coefficients(1).noise, 99 / 2);
  const iddpm = preconditioningOf("iddpm", others.iddpm);
  expect(iddpm.levels).toHaveLength(41);
  expect(iddpm.coefficients(iddpm.levels![7]!).noise).toBe(40 - 1 - 7);
});

test("constants contradict each other", () => {
  expect(complaint(() => preconditioningOf("edm", { sigmaMin: 3, sigmaMax: 2 }))).toMatch(/sigmaMin.*3 and 2/);
  expect(complaint(() => preconditioningOf("ve", { sigmaMin: 200 }))).toMatch(/sigmaMin.*200 and 100/);
  expect(complaint(() => preconditioningOf("ve", { sigmaMax: Number.POSITIVE_INFINITY }))).toMatch(/sigmaMax.*finite/);
  expect(complaint(() => preconditioningOf("vp", { epsilon: 1 }))).toMatch(/epsilon.*below 1/);
  expect(complaint(() => preconditioningOf("vp", { timeSteps: 10.5 }))).toMatch(/timeSteps.*whole.*10\.5/);
  expect(complaint(() => preconditioningOf("iddpm", { timeSteps: 1e12 }))).toMatch(/timeSteps.*1000000,/);
  expect(complaint(() => preconditioningOf("ddpm"))).toMatch(/one of edm, vp, .*found "ddpm"/);
  for (const none of [null, 3, "abc", [1]]) {
    expect(complaint(() => preconditioningOf("edm", none as unknown as Constants))).toMatch(/constants/);
  }
});

describe("the process of a name for a network", () => {
  const range = { sigmaMin: 0.1, sigmaMax: 30 };

  test("is the network's own with its constants, or the published one", () => {
    const { process } = preconditioningOf("vp", others.vp);
    expect(processFor("vp", process, range)).toBe(process);
    expect(discreteProcessFor("vp", process, range)).toBe(process);
    const subVp = preconditioningOf("subvp").process;
    close(discreteProcessFor("vp", subVp, range).sigma(1), vpProcess().sigma(1));
    // These take the range that is asked for, whatever the network's.
    const ve = preconditioningOf("ve").process;
    for (const t of [0, 0.4, 1]) close(processFor("ve", ve, range).sigma(t), veProcess(range).sigma(t));
  });

  test("is what stf generate --sampler=pc reverses", () => {
    const options = resolve(generateFields, { sampler: "pc" as const, steps: 100 });
    const processOf = (precond: PreconditioningName): string =>
      samplingMethod(options, preconditioningOf(precond)).steps.process.name;
    expect(preconditioningNames.map(processOf)).toEqual(["ve", "vp", "ve", "subvp", "ve", "ve"]);
    const { times, process } = samplingMethod(options, preconditioningOf("vp", others.vp)).steps;
    close(process.sigma(times[0]!), Math.sqrt(Math.expm1(4.65)));
    close(times.at(-1)!, 1e-3);
    close(samplingMethod(options, preconditioningOf("ve")).steps.times.at(-1)!, 1e-5, 1e-9);
  });
});

test("a number per sample is a column of the images' rank, dtype and device", () => {
  scope(() => {
    for (const shape of [[3], [3, 5], [3, 2, 4, 4]]) {
      for (const dtype of ["float32", "float64"] as const) {
        const like = tensor(new Float64Array(shape.reduce((a, b) => a * b)), { shape, dtype });
        const found = column([0.5, 2, -3], like);
        expect([found.shape, found.dtype]).toEqual([[3, ...shape.slice(1).fill(1)], dtype]);
        expect([...found.toFloat64Array()]).toEqual([0.5, 2, -3]);
      }
    }
  });
});

describe("one of one's own", () => {
  const bank = blobs(40, 8);
  const options = newRunOptions(
    { data: "blobs", arch: "mlp", augment: 0, batch: 8, cbase: 16, numBlocks: 1, lrRampup: 0, seed: 3 },
    undefined,
  );
  const network: NetworkConfig = networkConfig(options, bank);

  /** Losses of two steps of training. */
  function losses(preconditioning: Preconditioning): number[] {
    const state = initialState(network, 3, "fp32", "cpu", { preconditioning });
    expect(state.network.preconditioning).toBe(preconditioning);
    expect(state.averaged.preconditioning).toBe(preconditioning);
    const data = trainingData(bank, options);
    const settings = trainingSettings(options);
    const found = [1, 2].map(() => trainingStep(state, data, settings).mean);
    expect(state.images).toBe(16);
    disposeState(state);
    return found;
  }

  test("is trained with its coefficients, weights and noise levels", () => {
    const edm = edmPreconditioning();
    const [first, second] = losses(edm) as [number, number];
    const weightOf = (sigma: number): number => 4 * edm.lossWeight(sigma);
    const heavier: Preconditioning = { ...edm, name: "heavier", lossWeight: weightOf };
    // Adam takes the same steps whatever the scale of the loss, but for its epsilon.
    const [firstHeavy, secondHeavy] = losses(heavier) as [number, number];
    expect(firstHeavy).toBe(4 * first);
    expect(secondHeavy / 4).toBeCloseTo(second, 4);
    const fixed: Preconditioning = {
      ...edm,
      name: "fixed",
      noiseLevels: () => 1.5,
      // The network is not asked: the error is that of the noise alone.
      coefficients: () => ({ skip: 1, out: 0, in: 1, noise: 0 }),
      lossWeight: (sigma) => (sigma === 1.5 ? 1 / sigma ** 2 : Number.NaN),
    };
    const noise = losses(fixed);
    for (const mean of noise) expect(Math.abs(mean - 1)).toBeLessThan(4 * Math.sqrt(2 / (8 * 64)));
  });

  test("has as many channels as it needs", () => {
    const edm = edmPreconditioning();
    const build = (more: BuildOptions): number[] => {
      const denoiser = buildDenoiser(network, more);
      const shape = [...denoiser.stateDict().get("model.layer1.weight")!.shape];
      expect(denoiser.shape).toEqual(bank.shape);
      denoiser.dispose();
      return shape;
    };
    expect(build({})).toEqual([64, 16]);
    const wide = { ...edm, name: "wide", outputChannels: (channels: number) => 3 * channels };
    expect(build({ preconditioning: wide })).toEqual([192, 16]);
  });

  test("is not saved as another one, and says so before it is trained", async () => {
    const folder = mkdtempSync(join(tmpdir(), "stf-preconditioning-"));
    const path = join(folder, "network.safetensors");
    const edm = edmPreconditioning();
    const cases: [Preconditioning, RegExp][] = [
      [{ ...edm, name: "mine" }, /edm, vp, .*found "mine".*saveSafetensors/],
      [
        { ...edm, lossWeight: () => 1 },
        /the preconditioning edm must behave as its name .* a difference.*saveSafetensors/,
      ],
      [{ ...edm, sigmaMin: 0.1 }, /the preconditioning edm must behave as its name/],
      [{ ...edm, noiseLevels: () => 1 }, /the preconditioning edm must behave as its name/],
      [{ ...edm, process: vpProcess() }, /the preconditioning edm must behave as its name/],
      [preconditioningOf("ve"), /must name the network's preconditioning, ve; found edm/],
    ];
    for (const [preconditioning, says] of cases) {
      const state = initialState(network, 3, "fp32", "cpu", { preconditioning });
      expect(complaint(() => saveSnapshot(path, state, network, {}))).toMatch(says);
      expect(complaint(() => saveState(path, state, network, {}))).toMatch(says);
      const settings = trainingSettings(options);
      const writer = runWriter(folder, { network, options: {}, about: {} });
      const training = trainingLoop(state, trainingData(bank, options), settings, loopOptions(options), writer);
      await expect(training).rejects.toThrow(says);
      expect(state.images).toBe(0);
      disposeState(state);
    }
    rmSync(folder, { recursive: true });
  });
});
