/** Runs with power-function averages: what they store, that they resume bit for bit, and the averages made from it afterwards. */

import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadSafetensors, memory, readSafetensorsMetadata, tensor } from "@stf/torch";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { describeAverages, saveAverages } from "../src/checkpoints/averages-file.js";
import { loadSnapshot } from "../src/checkpoints/network-file.js";
import { runWriter } from "../src/checkpoints/run-writer.js";
import { loadState, saveState } from "../src/checkpoints/state-file.js";
import { writePng } from "../src/codecs/png.js";
import { withoutEffect } from "../src/config/contradictions.js";
import { newRunOptions } from "../src/config/resolved-options.js";
import type { TrainRequest } from "../src/config/train-request.js";
import { jobContext, Stopped } from "../src/jobs/context.js";
import { type EmaResult, reconstructAverages } from "../src/jobs/ema.js";
import { train } from "../src/jobs/train.js";
import type { NetworkConfig } from "../src/networks/build.js";
import { averagesPath, snapshotPath, stampedNames, statePath } from "../src/run/files.js";
import { powerExponent } from "../src/training/power-average.js";
import { disposeState, initialState } from "../src/training/state.js";
import { applyGradients } from "../src/training/step.js";
import { commandIn } from "./cli-support.js";
import { listener, maxDeviation } from "./support.js";

const folder = mkdtempSync(join(tmpdir(), "stf-averages-"));
const command = commandIn(folder);
afterAll(() => {
  command.killAll();
  rmSync(folder, { recursive: true, force: true });
});

const data = join(folder, "images");
mkdirSync(data);
for (let i = 0; i < 24; i++) {
  const pixels = Uint8Array.from({ length: 64 }, (_, p) => (p * (i + 3)) % 256);
  writePng(join(data, `${String(i).padStart(2, "0")}.png`), pixels, { channels: 1, height: 8, width: 8 });
}

const STEPS = 48;
const LAST = 8 * STEPS;

/** A state and averages after every step of 8 images. */
const request: TrainRequest = {
  preset: "published",
  data,
  outdir: folder,
  arch: "mlp",
  cbase: 8,
  numBlocks: 1,
  augment: 0,
  batch: 8,
  lr: 0.02,
  lrRampup: 0,
  duration: LAST / 1e6,
  tick: 0.008,
  snap: 1,
  dump: 1,
  seed: 3,
  average: "power",
};

const run = join(folder, "run");
// Three files after each of 48 steps, which a busy disk makes slow.
beforeAll(async () => {
  await train({ ...request, name: "run" });
}, 60_000);

type Weights = ReadonlyMap<string, Float64Array>;

/** The tensors of a file whose names have a prefix, without it. */
function weightsOf(path: string, prefix = ""): Weights {
  const { tensors } = loadSafetensors(path);
  const found = [...tensors].filter(([name]) => name.startsWith(prefix));
  const weights = new Map(found.map(([name, tensor]) => [name.slice(prefix.length), tensor.toFloat64Array()]));
  for (const tensor of tensors.values()) tensor.dispose();
  return weights;
}

/** The average of a width after `images`, straight from the weights after every step. */
function averageOf(width: number, images: number): Weights {
  const power = powerExponent(width) + 1;
  const sum = new Map<string, Float64Array>();
  for (let end = 8; end <= images; end += 8) {
    const share = (end / images) ** power - ((end - 8) / images) ** power;
    for (const [name, values] of weightsOf(statePath(run, end), "net.")) {
      const total = sum.get(name) ?? new Float64Array(values.length);
      sum.set(
        name,
        total.map((old, i) => old + share * values[i]!),
      );
    }
  }
  return sum;
}

/** The Euclidean norm of a difference, relative to that of `expected`. */
function deviation(actual: Weights, expected: Weights): number {
  let [difference, norm] = [0, 0];
  for (const [name, values] of expected) {
    for (const [i, value] of values.entries()) {
      difference += (actual.get(name)![i]! - value) ** 2;
      norm += value ** 2;
    }
  }
  return Math.sqrt(difference / norm);
}

/** Every n-th file of averages of the run, the last one included. */
const everyNth = (n: number): string[] =>
  stampedNames(readdirSync(run), "averages")
    .filter((_, i) => (STEPS - 1 - i) % n === 0)
    .map((name) => join(run, name));

const made = async (from: string | string[], width: number[], images?: number): Promise<EmaResult> =>
  await reconstructAverages({ from, width, dest: mkdtempSync(join(folder, "made-")), images: images ?? null });

describe("an average made afterwards", () => {
  const widths = [0.02, 0.03, 0.075, 0.15, 0.25];

  test("is the one that would have been kept, if averages are stored at every step", async () => {
    for (const images of [LAST, 80]) {
      const { networks, times } = await made(run, widths, images);
      expect(times).toHaveLength(images / 8);
      for (const { width, dest } of networks) {
        expect(deviation(weightsOf(dest), averageOf(width, images))).toBeLessThan(1e-6);
        // Weights of different widths are far apart, and the latest ones are another thing.
        expect(deviation(weightsOf(dest), averageOf(1.1 * width, images))).toBeGreaterThan(1e-4);
      }
    }
  });

  test("is one of the kept ones to the last bit, however few are stored", async () => {
    const { networks } = await made(everyNth(40), [0.1, 0.05]);
    for (const { width, dest, residual } of networks) {
      expect(residual).toBeLessThan(1e-15);
      expect(deviation(weightsOf(dest), weightsOf(averagesPath(run, LAST), `ema-${width}.`))).toBe(0);
      expect(deviation(weightsOf(dest), averageOf(width, LAST))).toBeLessThan(1e-6);
    }
  });

  test("is the closer, the more are stored", async () => {
    const errors = new Map<number, number[]>();
    for (const n of [12, 6, 3]) {
      const { networks } = await made(everyNth(n), [0.03, 0.075, 0.15]);
      for (const { width, dest, residual } of networks) {
        const error = deviation(weightsOf(dest), averageOf(width, LAST));
        expect(error).toBeLessThan(residual);
        errors.set(width, [...(errors.get(width) ?? []), error]);
      }
    }
    for (const [far, middle, near] of errors.values()) {
      expect(middle).toBeLessThan(far! / 2);
      expect(near).toBeLessThan(middle! / 2);
    }
  });

  test("is a network snapshot that says what it is, and leaves nothing in memory", async () => {
    const { tensors } = memory();
    const dest = join(folder, "one.safetensors");
    const result = await reconstructAverages({ from: everyNth(16), width: [0.075], dest });
    expect(result).toMatchObject({ images: LAST, times: [128, 256, LAST], lacksAnalytic: false });
    expect(result.networks).toMatchObject([{ width: 0.075, dest }]);
    const snapshot = loadSnapshot(dest);
    const { residual } = result.networks[0]!;
    expect(snapshot.about).toMatchObject({
      images: LAST,
      seed: 3,
      average: { power: 0.075, from: [128, 256, LAST], residual },
    });
    expect(residual).toBeGreaterThan(0.01);
    snapshot.dispose();
    await expect(
      reconstructAverages({ from: run, width: [0.1], dest }, jobContext({ shouldStop: () => true })),
    ).rejects.toThrow(Stopped);
    expect(memory().tensors).toBe(tensors);
  });
});

describe("a run with power-function averages", () => {
  test("draws with the narrower one, and says so", () => {
    const snapshot = weightsOf(snapshotPath(run, LAST));
    expect(deviation(snapshot, averageOf(0.05, LAST))).toBeLessThan(1e-6);
    const about = JSON.parse(readSafetensorsMetadata(snapshotPath(run, LAST))["training"]!) as object;
    expect(about).toMatchObject({ average: { power: 0.05 } });
    expect(readFileSync(join(run, "log.txt"), "utf8")).toContain("averages    of widths 0.05 (drawn) and 0.1");
  });

  test("resumes bit for bit, and sets later averages aside", async () => {
    const [state, averages] = [statePath(run, LAST), averagesPath(run, LAST)].map((path) => weightsOf(path)) as [
      Weights,
      Weights,
    ];
    await train({ ...request, name: "resumed", duration: 160 / 1e6 });
    const resumed = join(folder, "resumed");
    const { lines, reporter } = listener();
    await train({ resume: statePath(resumed, 80), duration: LAST / 1e6, ema: 0.1 }, jobContext({ reporter }));
    expect(lines.join("\n")).toContain("'ema' has no effect without 'average=halflife'");
    expect(deviation(weightsOf(statePath(resumed, LAST)), state)).toBe(0);
    expect(deviation(weightsOf(averagesPath(resumed, LAST)), averages)).toBe(0);
    const aside = readdirSync(join(resumed, "abandoned-after-80"));
    expect(stampedNames(aside, "averages")).toHaveLength(10);
    await expect(train({ resume: resumed, average: "halflife" })).rejects.toThrow(/'average' is fixed for the run/);
  });

  test("keeps only the latest two of the averages saved by time", () => {
    const place = mkdtempSync(join(folder, "temporary-"));
    const state = initialState(tiny, 0, "fp32", "cpu", { average: "power" });
    const writer = runWriter(place, { network: tiny, options: {}, about: {} });
    const facts = { temporary: true, loss: 1, lowestLoss: 1 };
    writer.snapshot(state, facts);
    expect(stampedNames(readdirSync(place), "averages")).toEqual([]);
    for (state.images = 8; state.images <= 40; state.images += 8) {
      writer.snapshot(state, { ...facts, temporary: state.images !== 16 });
    }
    disposeState(state);
    expect(stampedNames(readdirSync(place), "averages")).toEqual(
      [16, 32, 40].map((images) => averagesPath("", images)),
    );
    expect(stampedNames(readdirSync(place), "network-snapshot")).toHaveLength(3);
  });
});

const tiny: NetworkConfig = {
  arch: "mlp",
  precond: "edm",
  shape: { channels: 1, height: 8, width: 8 },
  modelChannels: 4,
  channelMult: [1],
  numBlocks: 1,
  attnResolutions: [],
  dropout: 0,
};

test("a state without the second average is one of a run with a half-life", () => {
  const path = join(folder, "halflife.safetensors");
  const [old, power] = [initialState(tiny, 0, "fp32"), initialState(tiny, 0, "fp32", "cpu", { average: "power" })];
  saveState(path, old, tiny, {});
  loadState(path).restore(old);
  expect(() => loadState(path).restore(power)).toThrow(/halflife\.safetensors cannot be used: it has no "ema-0\.1/);
  expect(() => saveAverages(path, old, tiny, {})).toThrow(TypeError);
  for (const state of [old, power]) disposeState(state);
});

test("a half-life has no effect on power functions", () => {
  const given = { data, average: "power", ema: 0.1 } as const;
  expect(withoutEffect(given, newRunOptions(given, "published"))).toEqual([
    "'ema' has no effect without 'average=halflife'",
  ]);
  expect(withoutEffect({ data }, newRunOptions({ data, average: "power" }, "published"))).toEqual([]);
});

describe("what cannot be averaged", () => {
  const dest = join(folder, "never.safetensors");
  const fails = (from: string | string[], says: RegExp, more: object = {}): Promise<void> =>
    expect(reconstructAverages({ from, width: [0.1], dest, ...more })).rejects.toThrow(says);

  test("runs without averages, and other files", async () => {
    await train({ ...request, name: "plain", average: "halflife", duration: 16e-6 });
    const plain = join(folder, "plain");
    expect(stampedNames(readdirSync(plain), "averages")).toEqual([]);
    await fails(plain, /plain was trained with a single average of a fixed half-life.*'average=power'/);
    await fails(data, /images must be a run folder with averages .* or a file of them, found neither/);
    await fails(join(folder, "nowhere"), /there is no run folder or file of averages at .*nowhere/);
    await fails(snapshotPath(run, LAST), /is a network snapshot: name averages of a run/);
    await fails(join(data, "00.png"), /00\.png is not a file of averages, it is an image/);
    expect(() => loadSnapshot(averagesPath(run, LAST))).toThrow(/is a pair of averages, from which stf ema makes/);
  });

  test("widths, times and places that are not possible", async () => {
    await fails(run, /'width' in the request must be one or more numbers from 0\.01 to 0\.28/, { width: [0.1, 0.3] });
    await fails(run, /'width' must list the widths/, { width: null });
    await fails(run, /'images' must be a time at which averages were stored \(8, 16, 24, 32 and 44 more\), found 12/, {
      images: 12,
    });
    await fails(run, /at least two times are needed, found one, after 8 images: choose a later time/, { images: 8 });
    await fails(averagesPath(run, 80), /at least two times are needed, found one, after 80 images: name more files/);
    await fails(run, /'dest' must name a folder, as there are 2 widths/, { width: [0.1, 0.2] });
    await fails(run, /'dest' must name the network snapshot to write/, { dest: null });
    const used = averagesPath(run, 16);
    await fails(run, /'dest' must not replace averages of a run, from which others are made, found .*000000016/, {
      dest: used,
    });
    expect(describeAverages(used).images).toBe(16);
  });

  test("averages of two runs, or one twice", async () => {
    await train({ ...request, name: "other", seed: 4, duration: 16e-6 });
    await train({ ...request, name: "wide", cbase: 16, duration: 16e-6 });
    for (const [other, trait] of [
      ["other", "seed"],
      ["wide", "network"],
    ]) {
      await fails(
        [averagesPath(run, 24), averagesPath(join(folder, other!), 8)],
        new RegExp(`of one run, found a different ${trait}`),
      );
    }
    const copy = join(folder, "averages-000000024.safetensors");
    copyFileSync(averagesPath(run, 24), copy);
    await fails([run, copy], /every time must have one file of averages, found .* for 24 images/);
    await made([run, averagesPath(run, 24)], [0.1]);
  });

  test("damaged files, which are named, and nothing is written or left in memory", async () => {
    const { tensors } = memory();
    const place = mkdtempSync(join(folder, "damaged-"));
    for (const images of [8, 16, 24]) copyFileSync(averagesPath(run, images), averagesPath(place, images));
    const damaged = averagesPath(place, 16);
    const bytes = readFileSync(damaged);
    truncateSync(damaged, bytes.length - 100);
    await fails(place, /averages-000000016\.safetensors.*truncated/);
    bytes[bytes.length - 5]! ^= 1;
    writeFileSync(damaged, bytes);
    await fails(place, /averages-000000016\.safetensors.*checksum/);
    expect(existsSync(dest)).toBe(false);
    expect(memory().tensors).toBe(tensors);
  });
});

test("the command writes several widths into a folder and says how exact they are", async () => {
  const { code, stdout } = await command.stf(["ema", run, "--width=0.05,0.075", `--images=${LAST}`, "--dest=several"]);
  expect(code).toBe(0);
  expect(stdout).toMatch(
    /^averages after 384 training images, from those stored at 48 times: 8, 16, 24, 32 and 44 more/,
  );
  expect(stdout).toMatch(/^0\.05 +0 +several\/network-000000384-ema-0\.05\.safetensors$/m);
  expect(stdout).toMatch(/^0\.075 +0\.000\d+ +several\/network-000000384-ema-0\.075\.safetensors$/m);
  expect(readdirSync(join(folder, "several"))).toHaveLength(2);
  const drawn = await command.stf([
    "generate",
    "--network=several/network-000000384-ema-0.075.safetensors",
    "--seeds=0-3",
    "--steps=3",
    "--grid=grid.png",
  ]);
  expect(drawn.code).toBe(0);
  await command.expectFailure(
    1,
    ["ema", "plain", "--width=0.1", "--dest=x.safetensors"],
    /train with --average=power$/m,
  );
  await command.expectFailure(
    2,
    ["ema", "run", "--width=0.5", "--dest=x.safetensors"],
    /--width must be .* from 0\.01 to 0\.28/,
  );
});

test("a skipped step is one with the weights before it, also the first", () => {
  const state = initialState(tiny, 0, "fp32", "cpu", { average: "power" });
  const settings = { batch: 8, learningRate: { peak: 0.1, rampup: 0 }, ema: { halflife: 1, rampupRatio: null } };
  const averages = [
    [0.05, state.ema.average.values],
    [0.1, state.secondAverage!],
  ] as const;
  const after: Float64Array[] = [];
  for (const isSound of [false, false, true, true, false, true, false]) {
    state.parameters.gradients.fill_(1);
    const sums = tensor([isSound ? 1 : Number.NaN, 1], { dtype: "float64" });
    expect(applyGradients(state, { sums, count: 8 }, settings).isSkipped).toBe(!isSound);
    sums.dispose();
    after.push(state.parameters.values.toFloat64Array());
    for (const [width, average] of averages) {
      const share = (k: number): number => (k / after.length) ** (powerExponent(width) + 1);
      const expected = after[0]!.map((_, i) => after.reduce((sum, w, k) => sum + (share(k + 1) - share(k)) * w[i]!, 0));
      expect(maxDeviation(average, expected)).toBeLessThan(1e-6);
    }
  }
  expect(maxDeviation(averages[0][1], averages[1][1])).toBeGreaterThan(1e-4);
  disposeState(state);
});
