/** The rehearsal before the first step leaves no trace, and shows what cannot work. */

import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { memory, scope } from "@stf/torch";
import { afterAll, expect, test, vi } from "vitest";
import { readImageHeader } from "../src/codecs/image-header.js";
import { DataOrder } from "../src/data/order.js";
import { jobContext } from "../src/jobs/context.js";
import { type Rehearsal, rehearse } from "../src/jobs/rehearsal.js";
import { TrainingSamples } from "../src/jobs/training-samples.js";
import { stableFieldTarget } from "../src/targets/stable-field.js";
import type { Progress } from "../src/training/loop.js";
import { disposeState, initialState } from "../src/training/state.js";
import type { TrainingSettings } from "../src/training/step.js";
import { blobs, listener, sameBits } from "./support.js";

const folder = mkdtempSync(join(tmpdir(), "stf-rehearsal-"));
const bank = blobs(40, 8);
const state = initialState(
  {
    ...{ arch: "ddpmpp", precond: "edm", shape: bank.shape, modelChannels: 8, channelMult: [1], numBlocks: 1 },
    ...{ attnResolutions: [], dropout: 0.1 },
  },
  1,
  "fp32",
);
afterAll(() => {
  disposeState(state);
  bank.dispose();
  rmSync(folder, { recursive: true, force: true });
});

const settings: TrainingSettings = {
  ...{ seed: 1, batch: 16, microBatch: 8, lossScaling: 1, target: stableFieldTarget(), references: 8 },
  ...{ learningRate: { peak: 1e-3, rampup: 0 }, ema: { halflife: 100, rampupRatio: null } },
};
const samples = new TrainingSamples(folder, settings.ema, undefined, () => undefined, jobContext());
const rehearsal: Rehearsal = {
  ...{ folder, state, settings, samples, data: { bank, order: new DataOrder(40, 1) } },
  save: (path) => writeFileSync(path, "a state"),
};

test("changes nothing, and leaves nothing in the folder", () => {
  scope(() => {
    const { parameters, ema, optimizer } = state;
    const flat = [parameters.values, ema.average.values, optimizer.expAvg, optimizer.expAvgSq];
    const before = flat.map((tensor) => tensor.detach().clone());
    const { tensors } = memory();
    const saved: string[] = [];
    const save = (path: string): void => {
      saved.push(path);
      rehearsal.save(path);
    };
    rehearse({ ...rehearsal, save }, jobContext());
    expect(saved).toHaveLength(1);
    expect(flat.every((tensor, i) => sameBits(tensor, before[i]!))).toBe(true);
    expect([state.images, optimizer.stepCount]).toEqual([0, 0]);
    expect(memory().tensors).toBe(tensors);
    expect(parameters.gradients.abs().amax().item()).toBe(0);
    expect(readdirSync(folder)).toEqual([]);
  });
});

test("a state that cannot be written is an error that says where, and leaves nothing either", () => {
  const save = (path: string): void => {
    writeFileSync(path, "a part of it");
    throw Object.assign(new Error("no space"), { code: "ENOSPC" });
  };
  expect(() => rehearse({ ...rehearsal, save }, jobContext())).toThrow(
    new RegExp(`a training state cannot be written to ${folder}: the disk is full; .*'outdir'`),
  );
  expect(readdirSync(folder)).toEqual([]);
});

test("ends early when the job is to stop", () => {
  const shown: string[] = [];
  const reporter = { ...listener().reporter, update: (line: string) => void shown.push(line) };
  let asked = 0;
  rehearse(rehearsal, jobContext({ reporter, shouldStop: () => ++asked > 1 }));
  expect(shown).toEqual(["rehearsing a step"]);
});

test("weights that draw nothing are said to do so, without advice for drawing", () => {
  const samples = new TrainingSamples(folder, settings.ema, undefined, () => undefined, jobContext());
  const spy = vi.spyOn(state.averaged, "forward").mockImplementation((x) => scope(() => x.mul(Number.NaN)));
  expect(samples.draw(state).problem).toBe(
    "no samples are drawn with the averaged weights: the images are not finite: they hold NaN or infinity; should they go on to be, train with a lower 'lr'",
  );
  spy.mockRestore();
  expect(readdirSync(folder)).toEqual([]);
});

test("too little memory to draw all samples at once makes them fewer, and does not end the training", () => {
  const { lines, reporter } = listener();
  const narrow = new TrainingSamples(folder, settings.ema, undefined, () => undefined, jobContext({ reporter }));
  const forward = state.averaged.forward.bind(state.averaged);
  const drawn: number[] = [];
  const spy = vi.spyOn(state.averaged, "forward").mockImplementation((...input) => {
    const count = input[0].shape[0] as number;
    if (drawn.at(-1) !== count) drawn.push(count);
    if (count > 20) throw new RangeError("there is not enough memory");
    return forward(...input);
  });
  narrow.rehearse(state);
  expect(drawn).toEqual([64, 32, 16]);
  expect(lines).toEqual([
    expect.stringMatching(/not enough memory to draw 64 images at once: samples are at most 16$/),
  ]);
  narrow.onStep({ imagesPerSecond: 1e6, elapsed: 60 } as Progress);
  const path = narrow.draw(state).path as string;
  expect(readImageHeader(readFileSync(path))).toMatchObject({ height: 2 * 8, width: 8 * 8 });
  spy.mockRestore();
  rmSync(path);
});
