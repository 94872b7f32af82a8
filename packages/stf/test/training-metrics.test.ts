/** Numbers of quality during a training: they are those of `stf evaluate`, cost what was said, and change nothing. */

import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadSafetensors, manualSeed, memory, readSafetensorsMetadata, scope } from "@stf/torch";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { saveClassifier } from "../src/checkpoints/classifier-file.js";
import { writePng } from "../src/codecs/png.js";
import { UsageError } from "../src/common/errors.js";
import type { ResolvedOptions } from "../src/config/resolved-options.js";
import { trainFields } from "../src/config/train-options.js";
import { type TrainRequest, trainingOptions } from "../src/config/train-request.js";
import { trainingMetrics } from "../src/config/training-metrics.js";
import { Classifier } from "../src/features/classifier.js";
import { readEvaluations } from "../src/jobs/compare-evaluations.js";
import { type JobContext, jobContext } from "../src/jobs/context.js";
import { evaluate } from "../src/jobs/evaluate.js";
import { type MetricsOutput, MetricsRecord } from "../src/jobs/metrics-record.js";
import { train } from "../src/jobs/train.js";
import type { TrainResult } from "../src/jobs/train-in-folder.js";
import type { TrainingMetrics } from "../src/jobs/training-metrics.js";
import { type Evaluation, metricLabel } from "../src/run/evaluation.js";
import { historyOf } from "../src/run/history.js";
import { methodDifferences } from "../src/run/protocol.js";
import type { Statistic } from "../src/run/statistics.js";
import { listener, randomBytes, sameBits } from "./support.js";

const folder = mkdtempSync(join(tmpdir(), "stf-metrics-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const shape = { channels: 1, height: 8, width: 8 };
const features = join(folder, "features.safetensors");
const data = join(folder, "images");

/** Noise on two levels of grey, a folder for each. */
function makeImages(path: string, count: number): string {
  const bytes = randomBytes(count * 64, 5);
  for (let i = 0; i < count; i++) {
    const own = join(path, i % 2 === 0 ? "dark" : "light");
    mkdirSync(own, { recursive: true });
    const pixels = bytes.subarray(64 * i, 64 * i + 64).map((value) => (i % 2) * 90 + value / 2);
    writePng(join(own, `${String(i).padStart(3, "0")}.png`), pixels, shape);
  }
  return path;
}

beforeAll(() => {
  makeImages(data, 60);
  manualSeed(1);
  const classifier = new Classifier({ shape, classes: 3, dimension: 8, width: 4 });
  saveClassifier(features, classifier, {
    ...{ data: "none", dataDigest: "0".repeat(64), images: 1, classNames: null },
    accuracy: { correct: 1, images: 3, from: "held out" },
    ...{ epochs: 1, batch: 1, lr: 1, xflip: false, seed: 1 },
  });
  classifier.dispose();
});

const small = (name: string): TrainRequest => ({
  ...{ data, outdir: folder, name, arch: "mlp", cbase: 8, numBlocks: 1, stf: false, augment: 0, batch: 8 },
  ...{ lrRampup: 0, duration: 4e-5, tick: 0.008, snap: 1, dump: 1, seed: 3 },
});
/** Slower. */
const unet = { arch: "ddpmpp", cbase: 4, cres: [1], attn: [0], dropout: 0.1 } as const;
const measured = (name: string): TrainRequest => ({
  ...small(name),
  ...{ metrics: ["fd50", "fwd60"], metricsEvery: 2, metricsFeatures: features },
});

/** Trains, and listens. */
async function heard(
  request: TrainRequest,
  given: Partial<JobContext> & { onLine?: (line: string) => void; onUpdate?: (line: string) => void } = {},
): Promise<{ result: TrainResult; lines: string[]; warnings: string[] }> {
  const { onLine, onUpdate, ...context } = given;
  const { lines, reporter } = listener();
  const warnings: string[] = [];
  const result = await train(
    request,
    jobContext({
      reporter: {
        ...reporter,
        print: (line) => {
          lines.push(line);
          onLine?.(line);
        },
        warn: (line) => void warnings.push(line),
        update: (line) => onUpdate?.(line),
      },
      ...context,
    }),
  );
  return { result, lines, warnings };
}

type Line = Readonly<Record<string, Statistic | undefined>>;
const linesIn = (run: string): Line[] =>
  readFileSync(join(run, "stats.jsonl"), "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Line);
const metricLines = (run: string): Line[] => linesIn(run).filter((line) => line["Timing/metrics_sec"]);
const filesIn = (run: string): string[] => readdirSync(run).filter((name) => name.startsWith("metrics-"));
const evaluationsIn = (path: string): Evaluation[] => readEvaluations(path).map(({ evaluation }) => evaluation);
const valuesOf = ({ values }: Evaluation): unknown => Object.entries(values).map(([name, own]) => [name, own?.value]);

describe("the numbers", () => {
  test.each<[string, TrainRequest]>([
    ["plain", {}],
    ["mirrored, by class", { xflip: true, cond: true }],
    ["with an analytic part, in bf16", { analytic: 3, precision: "bf16" }],
  ])("are those of an evaluation of the snapshot: %s", async (name, more) => {
    const run = join(folder, `same ${name.slice(0, 5)}`);
    const request = {
      ...measured(`same ${name.slice(0, 5)}`),
      ...unet,
      ...more,
      metrics: ["fd50", "sw50", "pr50", "fwd60", "cs60"],
    };
    const { result, warnings } = await heard(request);
    expect(result).toMatchObject({ reason: "finished", images: 40 });
    expect(warnings).toEqual([]);
    // Every second of the five snapshots, and the last.
    expect(filesIn(run)).toEqual(["metrics-000000016.json", "metrics-000000032.json", "metrics-000000040.json"]);
    const lines = metricLines(run);
    expect(lines.map((line) => line["Progress/kimg"]?.mean)).toEqual([0.016, 0.032, 0.04]);
    const options = {
      ...{ network: [join(run, "network-snapshot-000000032.safetensors")], ref: data, features, batch: 8 },
      ...({ sampler: "dpm++2m", steps: 10, precision: request.precision ?? "fp32" } as const),
    };
    const found = evaluationsIn(join(run, "metrics-000000032.json"));
    for (const [i, num, metrics] of [
      [0, 50, ["frechet", "slicedWasserstein", "precision", "recall"]],
      [1, 60, ["score", "wavelet"]],
    ] as const) {
      const [wanted] = (await evaluate({ ...options, num, metrics })).evaluations as [Evaluation];
      const own = found[i] as Evaluation;
      expect(valuesOf(own)).toEqual(valuesOf(wanted));
      expect(methodDifferences(own.protocol, wanted.protocol)).toEqual([]);
      expect(own.protocol.subject).toEqual(wanted.protocol.subject);
      for (const metric of metrics) {
        const { value, error = 0 } = wanted.values[metric]!;
        expect(lines[1]![`Metrics/${metricLabel(metric, wanted.protocol)}`]).toEqual({
          num: num,
          mean: value,
          std: error * Math.sqrt(num),
        });
      }
    }
    expect(Object.keys(lines[1]!).filter((key) => key.startsWith("Metrics/"))).toEqual(
      ["fd50", "sw50", "precision50", "recall50", "cs60", "fwd60"].map((label) => `Metrics/${label}`),
    );
  });

  test("are against the images trained on if some are held out", async () => {
    const { result } = await heard({ ...measured("held"), heldOut: 0.1, duration: 8e-6 });
    const [evaluation] = evaluationsIn(join(result.folder, "metrics-000000008.json"));
    const { images } = JSON.parse(readSafetensorsMetadata(result.state!)["options"]!);
    expect(images).toBeLessThan(60);
    expect(evaluation?.protocol.method["reference"]).toMatchObject({ count: images });
  });
});

describe("a training that measures", () => {
  test("is the same to the last bit, and frees what it took", async () => {
    const { tensors } = memory();
    const plain = await train({ ...small("plain"), ...unet });
    const { result } = await heard({ ...measured("with"), ...unet });
    expect(memory().tensors).toBe(tensors);
    scope(() => {
      const [one, other] = [plain, result].map(({ state }) => loadSafetensors(state!).tensors);
      expect([...other!.keys()]).toEqual([...one!.keys()]);
      for (const [name, value] of one!) expect(sameBits(value, other!.get(name)!), name).toBe(true);
    });
    const losses = [plain, result].map(({ folder: run }) => linesIn(run).flatMap((line) => line["Loss/loss"] ?? []));
    expect(losses[1]).toEqual(losses[0]);
  });

  test("says before the first step what that costs, and its time is not training's", async () => {
    let clock = 0;
    const { lines, result } = await heard(measured("cost"), {
      now: () => {
        clock += 0.01;
        return clock;
      },
      onUpdate: (line) => {
        if (line.startsWith("metrics")) clock += 100;
      },
    });
    const at = lines.findIndex((line) => line.startsWith("metrics  "));
    expect(lines[at]).toMatch(
      /^metrics {5}fd50, fwd60 at one snapshot in 2 and at the end: (about \w+|less than a second) each(, once about \w+ for the training images)?; about \d+ % of the time$/,
    );
    expect(at).toBeLessThan(lines.findIndex((line) => / kimg /.test(line)));
    const all = linesIn(result.folder);
    for (const line of metricLines(result.folder)) expect(line["Timing/metrics_sec"]?.mean).toBeGreaterThan(100);
    for (const line of all) expect(line["Timing/sec_per_tick"]?.mean ?? 0).toBeLessThan(10);
    expect(result.progress?.imagesPerSecond).toBeGreaterThan(2);
    expect(
      lines.filter((line) => /^metrics {5}after \d+ images: fd50 [\d.]+, fwd60 [\d.]+; took/.test(line)),
    ).toHaveLength(3);
  });

  test("measures a snapshot once, also if the time limit is reached in the meantime", async () => {
    let clock = 0;
    const { result } = await heard(
      { ...measured("limit"), timeLimit: 1 },
      {
        now: () => {
          clock += 0.01;
          return clock;
        },
        onUpdate: (line) => {
          if (line.startsWith("metrics")) clock += 100;
        },
      },
    );
    expect(result).toMatchObject({ reason: "time limit", images: 16 });
    expect(metricLines(result.folder).map((line) => line["Progress/kimg"]?.mean)).toEqual([0.016]);
  });

  test("stops in the middle of a measurement, and saves", async () => {
    let isStopped = false;
    const { result, lines } = await heard(measured("stopped"), {
      shouldStop: () => isStopped,
      onUpdate: (line) => {
        isStopped ||= line.startsWith("metrics: 16 of 60");
      },
    });
    expect(result).toMatchObject({ reason: "stopped", images: 16 });
    expect(existsSync(join(result.folder, "training-state-000000016.safetensors"))).toBe(true);
    expect(lines).toContain("metrics     after 16 images: stopped");
    expect(filesIn(result.folder)).toEqual([]);
    // What it was about to measure is left out; the rest is as without a break.
    await train({ resume: result.folder });
    expect(filesIn(result.folder)).toEqual(["metrics-000000032.json", "metrics-000000040.json"]);
  });

  test("goes on when a snapshot cannot be written", async () => {
    const run = join(folder, "blocked");
    const { result, warnings } = await heard(measured("blocked"), {
      onLine: (line) => {
        if (/ 0.016 kimg /.test(line)) {
          renameSync(run, `${run}-away`);
          writeFileSync(run, "in the way");
        }
        if (/ 0.024 kimg /.test(line)) {
          rmSync(run);
          renameSync(`${run}-away`, run);
        }
      },
    });
    expect(result).toMatchObject({ reason: "finished", images: 40 });
    expect(warnings).toContain("no metrics after 16 images, whose snapshot could not be written");
    expect(filesIn(run)).toEqual(["metrics-000000032.json", "metrics-000000040.json"]);
  });

  test("resumed from an earlier state has the numbers of one history; they may be turned off", async () => {
    const { folder: run } = await train(measured("resumed"));
    expect(historyOf(run)).toMatchObject({ ticks: 5, images: 40 });
    expect(historyOf(run).seconds).toBeGreaterThan(0);
    const { lines } = await heard({ resume: join(run, "training-state-000000024.safetensors"), metrics: ["off"] });
    expect(lines.some((line) => line.startsWith("metrics"))).toBe(false);
    expect(filesIn(run)).toEqual(["metrics-000000016.json"]);
    expect(filesIn(join(run, "abandoned-after-24"))).toEqual(["metrics-000000032.json", "metrics-000000040.json"]);
    expect(metricLines(run)).toHaveLength(1);
    expect(linesIn(run).filter((line) => line["Loss/loss"])).toHaveLength(5);
  });
});

test("a run that has gone back measures again what it measured before", async () => {
  const run = mkdtempSync(join(folder, "back-"));
  const evaluated: string[] = [];
  const metrics = {
    evaluate: async (path: string) => {
      evaluated.push(path);
      return { evaluations: [], failures: [] };
    },
  } as unknown as TrainingMetrics;
  const options = { snap: 1, metricsEvery: 1 } as ResolvedOptions;
  const linesOf = (_: string, write: (item: never) => void) => ({ add: write }) as never;
  const output: MetricsOutput = { folder: run, run: { linesOf }, statistics: () => {} };
  const record = new MetricsRecord(metrics, options, output, jobContext());
  for (const images of [16, 32, 32]) await record.measure(`${images}`, images);
  record.onReturn(24);
  await record.measure("32 again", 32);
  record.onReturn(32);
  await record.measure("32 at the end", 32);
  expect(evaluated).toEqual(["16", "32", "32 again"]);
});

describe("what cannot be measured is said before a folder is made", () => {
  test.each<[TrainRequest, RegExp]>([
    [{ metrics: ["fx2k"] }, /'metrics' must name numbers such as fd5k and sw2k, found "fx2k"; there are fid, fd,/],
    [{ metrics: ["precison2k"] }, /did you mean precision\?/],
    [{ metrics: ["fd"] }, /'metrics' must say of how many images a number is, such as fd2k for 2000, found "fd"/],
    [{ metrics: ["fd49"] }, /'metrics' must be of at least 50 images, found "fd49"/],
    [
      { metrics: ["fd50"], metricsFeatures: null },
      /'metrics=fd50' needs a feature network: name its file in 'metricsFeatures'/,
    ],
    [{ metrics: ["fd50"], metricsFeatures: "https://x.org/inception.pt" }, /'metricsFeatures' must be a file/],
    [{ metrics: ["fd50"], metricsFeatures: join(folder, "none") }, /there is no feature network at/],
    [{ metrics: ["fd50"], metricsFeatures: "fashion-mnist" }, /describes images of 28x28x1/],
    [{ metricsEvery: 3 }, /'metricsEvery' needs 'metrics'/],
  ])("%j", async (more, says) => {
    const { tensors } = memory();
    const { metricsFeatures } = more;
    const request = {
      ...small("never"),
      ...(more.metrics && metricsFeatures === undefined && { metricsFeatures: features }),
      ...more,
    };
    await expect(train(request)).rejects.toThrow(says);
    expect(existsSync(join(folder, "never"))).toBe(false);
    expect(memory().tensors).toBe(tensors);
  });

  test("of too few training images", async () => {
    const few = makeImages(join(folder, "few"), 20);
    await expect(train({ ...measured("never"), data: few })).rejects.toThrow(
      "'metrics' needs at least 50 training images, found 20",
    );
    expect(existsSync(join(folder, "never"))).toBe(false);
  });
});

test("a run of a preset that is continued with numbers has the preset's features, unless it has others", () => {
  const started = trainingOptions({ preset: "fashion-mnist", name: "a" }, undefined);
  const again: TrainRequest = { preset: "fashion-mnist", name: "a", metrics: ["fd500"] };
  expect(trainingOptions(again, started).metricsFeatures).toBe("fashion-mnist");
  expect(trainingOptions(again, { ...started, metricsFeatures: features }).metricsFeatures).toBe(features);
});

test("names of metrics are put together by number of images", () => {
  const options = Object.fromEntries(Object.entries(trainFields).map(([key, field]) => [key, field.default]));
  const read = (metrics: readonly string[] | null): unknown =>
    trainingMetrics({
      ...(options as unknown as Parameters<typeof trainingMetrics>[0]),
      metrics,
      metricsFeatures: "x",
    });
  expect(read(["sw2k", "fid50k", "pr1.5k", "FD2000", "copies1500"])).toEqual([
    { count: 1500, names: ["precision", "recall", "copies"] },
    { count: 2000, names: ["frechet", "slicedWasserstein"] },
    { count: 50_000, names: ["frechet"] },
  ]);
  expect(read(null)).toEqual([]);
  expect(read(["off"])).toEqual([]);
  expect(() => read(["off", "fd2k"])).toThrow(UsageError);
  const features = (metrics?: readonly string[]): unknown =>
    trainingOptions({ preset: "fashion-mnist", ...(metrics && { metrics }) }, undefined).metricsFeatures;
  expect([features(["fd2k"]), features()]).toEqual(["fashion-mnist", null]);
});
