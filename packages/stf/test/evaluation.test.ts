/** Evaluations: numbers against closed forms, however the images are given and the work is divided, and what is refused. */

import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { manualSeed, memory, scope, tensor } from "@stf/torch";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { readClassifier, saveClassifier } from "../src/checkpoints/classifier-file.js";
import { saveNetwork } from "../src/checkpoints/network-file.js";
import { readStatistics, writeStatistics } from "../src/checkpoints/statistics-file.js";
import { writePng } from "../src/codecs/png.js";
import { InputError, UsageError } from "../src/common/errors.js";
import type { Rank } from "../src/common/ranks.js";
import type { EvaluateRequest } from "../src/config/evaluate-request.js";
import { openDataset } from "../src/data/open.js";
import { Classifier } from "../src/features/classifier.js";
import { comparableMetrics, readEvaluations } from "../src/jobs/compare-evaluations.js";
import { type JobContext, jobContext } from "../src/jobs/context.js";
import { type EvaluateResult, evaluate } from "../src/jobs/evaluate.js";
import { calculateFid, referenceStatistics } from "../src/jobs/fid.js";
import { generate } from "../src/jobs/generate.js";
import { QualityMeasure } from "../src/jobs/quality.js";
import { featureStatistics } from "../src/metrics/feature-statistics.js";
import { frechetDistance } from "../src/metrics/frechet.js";
import { inceptionScore } from "../src/metrics/inception-score.js";
import { buildDenoiser, type NetworkConfig } from "../src/networks/build.js";
import { chosenSubset } from "../src/random/random-state.js";
import { type Evaluation, type Measured, metricLabel, metricNames } from "../src/run/evaluation.js";
import { methodDifferences, type Protocol } from "../src/run/protocol.js";
import { listener, normals, randomBytes, relativeDeviation } from "./support.js";

const folder = mkdtempSync(join(tmpdir(), "stf-evaluation-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const at = (...names: string[]): string => join(folder, ...names);

const shape = { channels: 3, height: 8, width: 8 };
const SIZE = 3 * 64;

/** A folder of images of noise around a level. */
function makeImages(name: string, count: number, { level = 40, seed = 1 } = {}): string {
  mkdirSync(at(name));
  const bytes = randomBytes(count * SIZE, seed);
  for (let i = 0; i < count; i++) {
    const pixels = bytes.subarray(i * SIZE, (i + 1) * SIZE).map((value) => level + value / 2);
    writePng(at(name, `${String(i).padStart(3, "0")}.png`), pixels, shape);
  }
  return at(name);
}

const data = makeImages("data", 60);
const others = makeImages("others", 50, { seed: 2 });
const bright = makeImages("bright", 50, { level: 90, seed: 3 });
const features = at("features.safetensors");
const network = at("network.safetensors");
const statistics = at("reference.npz");

beforeAll(async () => {
  manualSeed(1);
  const classifier = new Classifier({ shape, classes: 3, dimension: 8, width: 4 });
  saveClassifier(features, classifier, {
    ...{ data: "none", dataDigest: "0".repeat(64), images: 1, classNames: null },
    accuracy: { correct: 1, images: 3, from: "held out" },
    ...{ epochs: 1, batch: 1, lr: 1, xflip: false, seed: 1 },
  });
  const config: NetworkConfig = {
    ...{ arch: "ddpmpp", precond: "edm", shape, modelChannels: 4, channelMult: [1], numBlocks: 1, attnResolutions: [] },
    ...{ dropout: 0, labelDim: 0, augmentDim: 0 },
  };
  saveNetwork(network, buildDenoiser(config), config, { images: 1000 });
  await referenceStatistics({ data, dest: statistics, features });
});

const numberOf = ({ values }: Evaluation, name: keyof Evaluation["values"]): number => values[name]?.value as number;
const only = async (request: EvaluateRequest): Promise<Evaluation> => {
  const { evaluations } = await evaluate({ ref: data, features, ...request });
  expect(evaluations).toHaveLength(1);
  return evaluations[0] as Evaluation;
};

/** The features of images of a folder, by hand. */
async function featuresOf(path: string, indices?: Int32Array): Promise<number[][]> {
  const [bank, own] = [await openDataset(path), await readClassifier(features)];
  return scope(() => {
    const rows = bank.gather(indices ?? Int32Array.from({ length: bank.count }, (_, i) => i));
    const values = own.extract(rows.view([-1, 3, 8, 8])).features.toFloat64Array();
    return Array.from({ length: rows.size(0) }, (_, i) => Array.from(values.subarray(8 * i, 8 * i + 8)));
  });
}

const distance = (a: number[][], b: number[][]): number =>
  scope(() => frechetDistance(featureStatistics(tensor(a)), featureStatistics(tensor(b))));

describe("fid", () => {
  test("is the Fréchet distance of the features to those of the data", async () => {
    const { evaluation } = await calculateFid({ images: others, ref: statistics, num: 50, features });
    const wanted = distance(await featuresOf(others), await featuresOf(data));
    expect(relativeDeviation([numberOf(evaluation as Evaluation, "frechet")], [wanted])).toBeLessThan(1e-6);
    expect(wanted).toBeGreaterThan(0);
  });

  test("of fewer images uses those that the published tool chooses", async () => {
    const { evaluation } = await calculateFid({ images: others, ref: statistics, num: 20, seed: 7, features });
    const wanted = distance(await featuresOf(others, chosenSubset(50, 20, 7)), await featuresOf(data));
    expect(relativeDeviation([numberOf(evaluation as Evaluation, "frechet")], [wanted])).toBeLessThan(1e-6);
    expect((evaluation as Evaluation).protocol.method["images"]).toEqual({ count: 20, seed: 7 });
  });

  test("of the data itself is zero, and larger for images that are brighter", async () => {
    const own = await calculateFid({ images: data, ref: statistics, num: 60, features });
    expect(Math.abs(numberOf(own.evaluation as Evaluation, "frechet"))).toBeLessThan(1e-9);
    const far = await calculateFid({ images: bright, ref: statistics, num: 50, features });
    const near = await calculateFid({ images: others, ref: statistics, num: 50, features });
    expect(numberOf(far.evaluation as Evaluation, "frechet")).toBeGreaterThan(
      3 * numberOf(near.evaluation as Evaluation, "frechet"),
    );
  });

  test("takes the statistics of NumPy, plain and compressed, without knowing their origin", async () => {
    for (const name of ["statistics-plain.npz", "statistics-compressed.npz"]) {
      const path = fileURLToPath(new URL(`fixtures/${name}`, import.meta.url));
      const [stored, own] = [await readStatistics(path), await featuresOf(others)];
      expect(stored.protocol).toBeUndefined();
      expect(stored.statistics.mean.toArray()).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
      expect(scope(() => stored.statistics.covariance.diagonal().toArray())).toEqual(Array(8).fill(2));
      const { evaluation } = await calculateFid({ images: others, ref: path, num: 50, features });
      const wanted = scope(() => frechetDistance(featureStatistics(tensor(own)), stored.statistics));
      expect(relativeDeviation([numberOf(evaluation as Evaluation, "frechet")], [wanted])).toBeLessThan(1e-6);
    }
  });
});

describe("an evaluation", () => {
  test("has every metric, each with its name", async () => {
    const { tensors } = memory();
    const all = await only({ images: [others], num: 50 });
    // Tensors of earlier tests may be collected meanwhile.
    expect(memory().tensors).toBeLessThanOrEqual(tensors);
    expect(Object.keys(all.values)).toEqual(
      expect.arrayContaining(["frechet", "kernel", "slicedWasserstein", "precision", "recall", "score", "copies"]),
    );
    expect(metricLabel("frechet", all.protocol)).toBe("fd50");
    expect(numberOf(all, "copies")).toBe(0);
    const own = await only({ images: [data], num: 60 });
    expect(numberOf(own, "copies")).toBe(1);
    expect(numberOf(own, "wavelet")).toBeCloseTo(0, 9);
    expect(numberOf(own, "mean")).toBe(0);
    const far = await only({ images: [bright], num: 50 });
    expect(numberOf(far, "mean")).toBeCloseTo(50, 0);
    expect(far.values.mean?.perChannel).toHaveLength(3);
  });

  test("of images sorted by class has the error of shuffled ones", () => {
    const rows = Array.from({ length: 300 }, (_, i) => (i < 225 ? [5, 0] : [0, 5]));
    const [logits, pixels] = [tensor(rows), tensor(new Uint8Array(300), { shape: [300, 1] })];
    const set = { shape: { channels: 1, height: 1, width: 1 }, pixels, features: undefined, logits, dispose: () => {} };
    const measure = new QualityMeasure({ statistics: undefined, set: undefined }, jobContext());
    const score = measure.of(set, ["score"]).values.score as Measured;
    const sorted = inceptionScore(logits);
    expect(score.value).toBeCloseTo(sorted.value, 6);
    expect(score.error).toBeGreaterThan(0);
    expect(score.error).toBeLessThan(0.6 * (sorted.error as number));
  });

  test("has an error of the sliced Wasserstein distance as large as its scatter between sets, and a floor in their middle", () => {
    const shape = { channels: 1, height: 1, width: 1 };
    const setOf = (count: number, seed: number) => ({
      ...{ shape, pixels: tensor(new Uint8Array(count), { shape: [count, 1] }), logits: undefined, dispose: () => {} },
      features: scope(() => normals([count, 4], seed, "float32")),
    });
    const reference = { statistics: undefined, set: setOf(1000, 1) };
    const measure = new QualityMeasure(reference, jobContext());
    const found = Array.from({ length: 16 }, (_, i) => {
      const { values } = measure.of(setOf(200, 100 + i), ["slicedWasserstein"]);
      return values.slicedWasserstein as Required<Measured>;
    });
    const mean = (numbers: number[]): number => numbers.reduce((sum, x) => sum + x, 0) / numbers.length;
    const values = found.map(({ value }) => value);
    const scatter = Math.sqrt(mean(values.map((value) => (value - mean(values)) ** 2)));
    const error = mean(found.map((one) => one.error));
    expect(error / scatter).toBeGreaterThan(0.6);
    expect(error / scatter).toBeLessThan(4);
    expect((found[0] as Required<Measured>).floor / mean(values)).toBeGreaterThan(0.6);
    expect((found[0] as Required<Measured>).floor / mean(values)).toBeLessThan(1.6);
  });

  test("of a network is that of the images it draws", async () => {
    const request = { seed: 3, num: 20, steps: 4, batch: 8 };
    const drawn = await only({ network: [network], ...request });
    const seeds = Array.from({ length: 20 }, (_, i) => 3 + i);
    await generate({ network, seeds, steps: 4, outdir: at("drawn") });
    const stored = await only({ images: [at("drawn")], num: 20 });
    for (const name of ["frechet", "kernel", "wavelet", "score"] as const) {
      expect(relativeDeviation([numberOf(drawn, name)], [numberOf(stored, name)])).toBeLessThan(1e-6);
    }
    expect(drawn.protocol.method).toMatchObject({
      images: { count: 20, seeds: "3-22" },
      drawing: { sampler: "heun", steps: 4 },
      features: { name: "classifier", dimension: 8 },
      reference: { count: 60 },
    });
    expect(drawn.protocol.subject).toMatchObject({ network, trained: 1000, evaluations: 7 });
    expect(methodDifferences(drawn.protocol, stored.protocol)).toEqual([]);
    await generate({ network, seeds, steps: 4, outdir: at("drawn.zip"), subdirs: true });
    const zipped = await only({ images: [at("drawn.zip")], num: 20 });
    expect(methodDifferences(drawn.protocol, zipped.protocol)).toEqual([]);
    const directions = [drawn, stored].map(({ protocol }) => protocol.method["slicedWasserstein"]);
    expect(directions[0]).toEqual(directions[1]);
    expect(stored.protocol.subject["network_sha256"]).toBe(drawn.protocol.subject["network_sha256"]);
  });

  test("is the same number when three processes divide the work, in whatever order they come", async () => {
    const request: EvaluateRequest = { network: [network], ref: data, features, num: 20, steps: 4, batch: 4 };
    const [alone] = (await evaluate(request)).evaluations as [Evaluation];
    const ranks: Rank[] = [2, 0, 1].map((rank) => ({ rank, size: 3, local: rank }));
    const dest = at("shared.json");
    const [parts, other] = [`${dest}.parts`, join(`${dest}.parts`, "notes.txt")];
    mkdirSync(parts);
    writeFileSync(other, "somebody else's");
    const results = await Promise.all(ranks.map((rank) => evaluate({ ...request, dest }, jobContext({ rank }))));
    expect(results.map(({ evaluations }) => evaluations.length)).toEqual([0, 1, 0]);
    const [shared] = (results[1] as EvaluateResult).evaluations as [Evaluation];
    for (const [name, { value }] of Object.entries(alone.values)) {
      const difference = Math.abs(numberOf(shared, name as "frechet") - value);
      expect(difference).toBeLessThanOrEqual(1e-6 * Math.abs(value));
    }
    expect(readEvaluations(dest)[0]?.evaluation.protocol).toEqual(JSON.parse(JSON.stringify(alone.protocol)));
    expect(readdirSync(parts)).toEqual(["notes.txt"]);
  });

  test("leaves nothing beside the result when it is stopped in the first of two processes", async () => {
    const request: EvaluateRequest = { images: [others], num: 50, ref: data, dest: at("stopped.json") };
    const ranks = [0, 1].map((rank) => jobContext({ rank: { rank, size: 2, local: rank } }));
    await evaluate(request, ranks[1]);
    expect(readdirSync(folder)).toContain("stopped.json.parts");
    let asked = 0;
    const { reason } = await evaluate(request, { ...(ranks[0] as JobContext), shouldStop: () => ++asked > 1 });
    expect(reason).toBe("stopped");
    expect(readdirSync(folder).filter((name) => name.startsWith("stopped"))).toEqual([]);
  });

  test("compares pixels without a feature network, and features with statistics alone", async () => {
    const { lines, reporter } = listener();
    const pixels = await evaluate({ images: [others], num: 50, ref: data }, jobContext({ reporter }));
    expect(Object.keys(pixels.evaluations[0]?.values ?? {})).toEqual(["wavelet", "mean", "contrast", "copies"]);
    expect(lines.join("\n")).toMatch(/without 'features' only pixels are compared/);
    const stored = await only({ images: [others], num: 50, ref: statistics });
    expect(Object.keys(stored.values)).toEqual(["frechet", "score"]);
    const direct = await only({ images: [others], num: 50, metrics: ["frechet", "score"] });
    expect(numberOf(stored, "frechet")).toBeCloseTo(numberOf(direct, "frechet"), 12);
    expect(stored.protocol).toEqual(direct.protocol);
  });

  test("says what it costs before it begins, and stops with what is finished", async () => {
    const { lines, reporter } = listener();
    let asked = 0;
    const shouldStop = (): boolean => lines.some((line) => line.startsWith("drawing")) && ++asked > 14;
    const request = { network: [network, network], ref: data, features, num: 10, steps: 3, dest: at("part.json") };
    const { reason, evaluations } = await evaluate(request, jobContext({ reporter, shouldStop }));
    expect(lines.join("\n")).toMatch(
      /drawing 2 x 10 images takes (about \d+s|less than a second), features of 80 images (about \d+s|less than a second)/,
    );
    expect(reason).toBe("stopped");
    expect(evaluations.length).toBeLessThan(2);
  });
});

describe("comparing", () => {
  const write = (name: string, evaluations: readonly Evaluation[]): string => {
    writeFileSync(at(name), JSON.stringify({ evaluations }));
    return at(name);
  };

  test("shows the metrics that are common to evaluations obtained alike", async () => {
    await evaluate({ images: [others], num: 50, ref: data, features, dest: at("all.json") });
    await evaluate({ images: [bright], num: 50, ref: data, features, metrics: ["frechet"], dest: at("one.json") });
    const both = [at("all.json"), at("one.json")].flatMap(readEvaluations);
    expect(comparableMetrics(both)).toEqual(["frechet"]);
  });

  test.each<[string, (method: Record<string, Record<string, number | string>>) => void, RegExp]>([
    ["number of images", (method) => Object.assign(method["images"] ?? {}, { count: 40 }), /images\.count: 50 and 40/],
    [
      "reference",
      (method) => Object.assign(method["reference"] ?? {}, { sha256: "x" }),
      /reference\.sha256: ".*" and "x"/,
    ],
    ["features", (method) => Object.assign(method["features"] ?? {}, { sha256: "x" }), /features\.sha256/],
    [
      "directions",
      (method) => Object.assign(method["slicedWasserstein"] ?? {}, { seed: 9 }),
      /slicedWasserstein\.seed: 0 and 9/,
    ],
  ])("refuses another %s", async (_, change, says) => {
    const one = await only({ images: [others], num: 50 });
    const other = JSON.parse(JSON.stringify(one)) as Evaluation;
    change(other.protocol.method as never);
    const all = [write("first.json", [one]), write("second.json", [other])].flatMap(readEvaluations);
    expect(() => comparableMetrics(all)).toThrow(says);
  });

  test.each([
    '{"evaluations": [{"values": {}, "protocol": {"subject": {}, "method": {}}}]}',
    '{"evaluations": [{"values": {}, "protocol": {"subject": {}, "method": {"images": {"count": "many"}}}}]}',
    "{",
    "3",
    '{"evaluations": []}',
    '{"evaluations": [{"values": {}}]}',
  ])("refuses the file %s", (text) => {
    writeFileSync(at("wrong.json"), text);
    expect(() => readEvaluations(at("wrong.json"))).toThrow(
      /wrong\.json must be a file that 'stf evaluate --dest' wrote/,
    );
  });
});

test("names tell features and numbers of images apart", () => {
  const protocol = (name: string, count: number): Protocol => ({
    subject: {},
    method: { features: { name }, images: { count } },
  });
  expect(metricLabel("frechet", protocol("inception", 50_000))).toBe("fid");
  expect(metricLabel("frechet", protocol("inception", 1000))).toBe("fid1k");
  expect(metricLabel("slicedWasserstein", protocol("inception", 2500))).toBe("sw2.5k");
  expect(metricLabel("kernel", protocol("classifier", 250))).toBe("kd250");
});

describe("what cannot be evaluated gets one line", () => {
  test.each<[string, EvaluateRequest, RegExp]>([
    ["nothing", {}, /'network' or 'images' must say/],
    ["no reference", { images: ["x"] }, /'ref' must name/],
    ["an address", { images: ["x"], ref: "https://there/ref.npz" }, /'ref' must be a file or folder of this machine/],
    ["drawing options for images", { images: ["x"], ref: "x", steps: 9 }, /'steps' has no effect on 'images'/],
    [
      "features missing",
      { images: ["x"], ref: "x", metrics: ["frechet"] },
      /'metrics=frechet' needs a feature network/,
    ],
    [
      "pairs without copies",
      { images: ["x"], ref: "x", metrics: ["wavelet"], pairs: "p.png" },
      /'pairs' needs 'metrics=copies'/,
    ],
  ])("%s", async (_, request, says) => {
    await expect(evaluate(request)).rejects.toThrow(UsageError);
    await expect(evaluate(request)).rejects.toThrow(says);
  });

  test("fewer images than wanted, an empty folder, one image", async () => {
    mkdirSync(at("empty"));
    await expect(evaluate({ images: [others], ref: data, num: 51 })).rejects.toThrow(
      /others must hold at least 51 images, found 50; draw more, or lower 'num'/,
    );
    await expect(evaluate({ images: [at("empty")], ref: data })).rejects.toThrow(/must hold PNG or JPEG images/);
    await expect(evaluate({ images: [others], num: 50, ref: makeImages("single", 1) })).rejects.toThrow(
      /single must hold at least 2 images, found 1/,
    );
  });

  test("statistics of other features, damaged ones, and files that are none", async () => {
    const small = {
      count: 9,
      mean: tensor([0, 0]),
      covariance: tensor([
        [1, 0],
        [0, 1],
      ]),
    };
    await writeStatistics(
      at("small.npz"),
      { ...small, mean: small.mean.double(), covariance: small.covariance.double() },
      { subject: {}, method: {} },
    );
    const calc = (ref: string) => calculateFid({ images: others, ref, num: 50, features });
    await expect(calc(at("small.npz"))).rejects.toThrow(
      /small\.npz must have the statistics .* found 2 features instead of 8/,
    );
    const { statistics: own } = await readStatistics(statistics);
    const foreign: Protocol = {
      subject: {},
      method: { features: { name: "inception", sha256: "ab12", dimension: 8, resize: "x" } },
    };
    await writeStatistics(at("foreign.npz"), own, foreign);
    await expect(calc(at("foreign.npz"))).rejects.toThrow(/found those of inception ab12, resized by x/);
    writeFileSync(at("cut.npz"), readFileSync(statistics).subarray(0, 500));
    await expect(calc(at("cut.npz"))).rejects.toThrow(/cut\.npz is not a zip archive, or is damaged/);
    await expect(calc(at("none.npz"))).rejects.toThrow(InputError);
  });

  test.each<[string, number[], string]>([
    ["not symmetric", [1, 0.5, 0, 1], "0 at [1, 0] and 0.5 at [0, 1]"],
    ["of negative variances", [-1, 0, 0, 1], "a variance of -1"],
    ["correlated beyond 1", [1, 3, 3, 1], "3 at [1, 0] between variances that allow 1"],
  ])("a covariance that is %s", async (_, values, found) => {
    const covariance = tensor(values, { shape: [2, 2], dtype: "float64" });
    const protocol = { subject: {}, method: {} };
    const mean = tensor([0, 0], { dtype: "float64" });
    await writeStatistics(at("flawed.npz"), { count: 9, mean, covariance }, protocol);
    await expect(readStatistics(at("flawed.npz"))).rejects.toThrow(`found ${found}; compute it again`);
  });

  test("statistics under a name by which they would not be recognised", async () => {
    await expect(referenceStatistics({ data, dest: at("r.json"), features })).rejects.toThrow(
      /'dest' must name an \*\.npz/,
    );
  });

  test("a count of images that is none is not believed", async () => {
    const { statistics: own } = await readStatistics(statistics);
    for (const reference of [{}, { count: "many" }, { count: -1 }]) {
      await writeStatistics(at("uncounted.npz"), own, { subject: {}, method: { reference } });
      expect((await readStatistics(at("uncounted.npz"))).statistics.count).toBeUndefined();
    }
  });

  test.each<[string, EvaluateRequest, RegExp]>([
    ["two results under one name", { dest: "x.json", pairs: "./x.json" }, /'pairs' must differ from 'dest'/],
    ["a result in place of what is read", { dest: "in", images: ["a", "in"] }, /'dest' must differ from 'images'/],
    ["pairs with statistics", { ref: statistics, features, pairs: "p.png" }, /'pairs' needs the images/],
    ["part of statistics", { ref: statistics, features, refNum: 9 }, /'refNum' needs the images/],
  ])("%s", async (_, request, says) => {
    await expect(evaluate({ images: [others], num: 50, ref: data, ...request })).rejects.toThrow(UsageError);
    await expect(evaluate({ images: [others], num: 50, ref: data, ...request })).rejects.toThrow(says);
  });

  test("images of another shape, before any is drawn", async () => {
    mkdirSync(at("grey"));
    const grey = { channels: 1, height: 8, width: 8 };
    for (let i = 0; i < 5; i++) writePng(at("grey", `${i}.png`), new Uint8Array(64).fill(9 * i), grey);
    const { lines, reporter } = listener();
    const drawn = evaluate({ network: [network], ref: at("grey"), num: 5, steps: 2 }, jobContext({ reporter }));
    await expect(drawn).rejects.toThrow(
      /network\.safetensors must have the shape of the reference's, 8x8x1, found 8x8x3/,
    );
    expect(lines.join()).not.toMatch(/seed/);
    const mixed = await evaluate({ images: [at("grey"), others], ref: at("grey"), num: 5, dest: at("mixed.json") });
    expect(mixed.evaluations).toHaveLength(1);
    expect(mixed.problem).toMatch(/others must have the shape/);
    expect(readEvaluations(at("mixed.json"))).toHaveLength(1);
  });

  test("a metric that cannot be computed does not cost the others", async () => {
    const { lines, reporter } = listener();
    const request = { images: [others], num: 2, ref: data, features };
    const { evaluations, problem } = await evaluate(request, jobContext({ reporter }));
    expect(Object.keys(evaluations[0]?.values ?? {})).toEqual(
      metricNames.filter((name) => !["precision", "recall"].includes(name)),
    );
    expect(problem).toBeUndefined();
    expect(lines.join("\n")).toMatch(/precision and recall could not be computed: .* at least 4 images .* found 2/);
    const asked = await evaluate({ ...request, metrics: ["frechet", "recall"] });
    expect(Object.keys(asked.evaluations[0]?.values ?? {})).toEqual(["frechet"]);
    expect(asked.problem).toMatch(/recall could not be computed/);
    await expect(evaluate({ ...request, metrics: ["recall"] })).rejects.toThrow(/at least 4 images/);
  });

  test("identical images have zero covariance, and a distance", async () => {
    mkdirSync(at("same"));
    const pixels = new Uint8Array(SIZE).fill(90);
    for (let i = 0; i < 5; i++) writePng(at("same", `${i}.png`), pixels, shape);
    const same = await only({ images: [at("same")], num: 5, metrics: ["frechet", "slicedWasserstein", "copies"] });
    expect(numberOf(same, "frechet")).toBeGreaterThan(0);
  });
});
