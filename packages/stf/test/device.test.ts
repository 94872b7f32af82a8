/** Checkpoints from and for the device that STF_TEST_DEVICE names, the CPU by default. */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Device, memory, noGrad, scope, type Tensor } from "@stf/torch";
import { afterAll, beforeAll, expect, test } from "vitest";
import { loadSnapshot, saveSnapshot } from "../src/checkpoints/network-file.js";
import { loadState, saveState } from "../src/checkpoints/state-file.js";
import { DataOrder } from "../src/data/order.js";
import type { NetworkConfig } from "../src/networks/build.js";
import type { Denoiser } from "../src/networks/denoiser.js";
import { logNormalLevels } from "../src/processes/noise-levels.js";
import { stableFieldTarget } from "../src/targets/stable-field.js";
import { disposeState, initialState, type TrainingState } from "../src/training/state.js";
import { type TrainingSettings, trainingStep } from "../src/training/step.js";
import { blobs, device, normals, relativeDeviation, sameBits } from "./support.js";

const bank = blobs(40, 8);
const bankThere = bank.to(device);
// With buffers: frequencies, filters and the levels that it knows.
const config: NetworkConfig = {
  arch: "ncsnpp",
  precond: "iddpm",
  shape: bank.shape,
  modelChannels: 8,
  channelMult: [1, 2],
  numBlocks: 1,
  attnResolutions: [4],
  dropout: 0.1,
};
const settings: TrainingSettings = {
  seed: 5,
  batch: 8,
  microBatch: 8,
  learningRate: { peak: 1e-2, rampup: 0 },
  ema: { halflife: 20, rampupRatio: null },
  lossScaling: 1,
  noiseLevels: logNormalLevels(-1.2, 1.2),
  target: stableFieldTarget(),
  references: 16,
};

let folder = "";
let snapshot = "";
let saved = "";
let state: TrainingState;

function advance(trained: TrainingState, steps: number): void {
  const data = { bank: bankThere, order: new DataOrder(bank.count, settings.seed) };
  for (let i = 0; i < steps; i++) trainingStep(trained, data, settings);
}

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "stf-device-"));
  [snapshot, saved] = ["snapshot", "state"].map((name) => join(folder, `${name}.safetensors`)) as [string, string];
  state = initialState(config, 3, "fp32", device);
  advance(state, 4);
  saveSnapshot(snapshot, state, config, {});
  saveState(saved, state, config, {});
});
afterAll(() => {
  disposeState(state);
  bank.dispose();
  bankThere.dispose();
  rmSync(folder, { recursive: true, force: true });
});

const outputs = (denoiser: Denoiser, at: Device): Tensor =>
  noGrad(() =>
    denoiser.forward(normals([4, 1, 8, 8], 1, "float32").to({ device: at }), Float64Array.of(0.1, 0.5, 2, 9)),
  );

test("a snapshot taken there holds its weights, and computes the same on the CPU", () => {
  const here = loadSnapshot(snapshot).denoiser;
  const there = loadSnapshot(snapshot, { device }).denoiser;
  expect([here.device, there.device]).toEqual(["cpu", state.averaged.device]);
  const original = state.averaged.stateDict();
  for (const loaded of [here, there]) {
    for (const [name, value] of loaded.stateDict()) {
      expect(value.device, name).toBe(loaded.device);
      expect(sameBits(value, original.get(name)!), name).toBe(true);
    }
  }
  scope(() => {
    const expected = outputs(state.averaged, device);
    // The averages have moved away from the weights in training.
    expect(relativeDeviation(outputs(state.network, device), expected)).toBeGreaterThan(1e-4);
    expect(relativeDeviation(outputs(here, "cpu"), expected)).toBeLessThan(1e-4);
    expect(relativeDeviation(outputs(there, device), expected)).toBeLessThan(1e-5);
  });
  here.dispose();
  there.dispose();
});

/** Everything that training changes, by name. */
const contents = ({ network, averaged, parameters, ema, optimizer }: TrainingState): Record<string, Tensor> => ({
  weights: parameters.values,
  averages: ema.average.values,
  "first moments": optimizer.expAvg,
  "second moments": optimizer.expAvgSq,
  ...Object.fromEntries(network.namedBuffers()),
  ...Object.fromEntries(averaged.namedBuffers("averaged ")),
});

function expectSameState(found: TrainingState, expected: TrainingState): void {
  const wanted = contents(expected);
  for (const [name, value] of Object.entries(contents(found))) expect(sameBits(value, wanted[name]!), name).toBe(true);
  expect([found.images, found.optimizer.stepCount]).toEqual([expected.images, expected.optimizer.stepCount]);
}

test("a state goes to a file and back to the last bit, there and on the CPU", () => {
  for (const at of [device, "cpu"] as const) {
    const restored = initialState(config, 99, "fp32", at);
    loadState(saved).restore(restored);
    expect(restored.network.device).toBe(at === device ? state.network.device : "cpu");
    expectSameState(restored, state);
    disposeState(restored);
  }
});

test("training goes on from a file as it would have without", () => {
  const { tensors } = memory();
  const [whole, resumed] = [99, 98].map((seed) => initialState(config, seed, "fp32", device)) as [
    TrainingState,
    TrainingState,
  ];
  loadState(saved).restore(whole);
  advance(whole, 1);
  const between = join(folder, "between.safetensors");
  saveState(between, whole, config, {});
  advance(whole, 1);
  loadState(between).restore(resumed);
  advance(resumed, 1);
  expect(whole.images).toBe(48);
  expect(relativeDeviation(resumed.parameters.values, whole.parameters.values)).toBeLessThan(1e-3);
  expect([resumed.images, resumed.optimizer.stepCount]).toEqual([whole.images, whole.optimizer.stepCount]);
  // A GPU adds in any order.
  if (device === "cpu") expectSameState(resumed, whole);
  disposeState(whole);
  disposeState(resumed);
  expect(memory().tensors).toBe(tensors);
});
