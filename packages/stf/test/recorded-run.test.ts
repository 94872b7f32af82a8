/** Run folders that an earlier version left behind: today's code reads them, draws from them and goes on alike. */

import { createHash } from "node:crypto";
import { cpSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { engineReport, loadSafetensors, memory, type Tensor } from "@stf/torch";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  generateImages,
  imagesOf,
  jobContext,
  loadSnapshot,
  type Statistic,
  type TrainResult,
  train,
  writeGrid,
} from "../src/index.js";

const recorded = fileURLToPath(new URL("./fixtures/recorded-run", import.meta.url));
const data = join(recorded, "images.zip");
const SNAPSHOT = "network-snapshot-000000.safetensors";
/** What today's code calls the snapshot that it writes at the end. */
const NEXT_SNAPSHOT = "network-snapshot-000000128.safetensors";
const SAMPLES = "samples-000000.png";

interface Continued {
  readonly engine: Readonly<Record<string, unknown>>;
  readonly processor: string;
  /** Digests of the parts of a training state, by run. */
  readonly states: Readonly<Record<string, Readonly<Record<string, string>>>>;
}
const continued = JSON.parse(readFileSync(join(recorded, "continued.json"), "utf8")) as Continued;

/** Whether every bit should be as it was recorded. */
const isSameMachine =
  cpus()[0]?.model === continued.processor &&
  Object.entries(continued.engine).every(([name, value]) => Reflect.get(engineReport(), name) === value);

// Another instruction set rounds otherwise. The eight steps make at most 1e-6 of it; a step more or less makes 1e-2.
const ROUNDING = 1e-5;

const folder = mkdtempSync(join(tmpdir(), "stf-recorded-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** A line of stats.jsonl, with the names that were used then. */
type Line = Readonly<Record<string, Statistic>>;

const textOf = (...path: string[]): string => readFileSync(join(...path), "utf8");
const linesOf = (...path: string[]): Line[] =>
  textOf(...path)
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Line);

function bytesOf(tensor: Tensor): Uint8Array {
  const { buffer, byteOffset, byteLength } = tensor.toTypedArray();
  return new Uint8Array(buffer as ArrayBuffer, byteOffset, byteLength);
}

/** The tensors of a file, which are freed, as `read` sees them. */
function valuesOf<T>(path: string, read: (tensor: Tensor) => T): Map<string, T> {
  const { tensors } = loadSafetensors(path);
  const values = new Map(Array.from(tensors, ([name, tensor]) => [name, read(tensor)]));
  for (const tensor of tensors.values()) tensor.dispose();
  return values;
}

/** SHA-256 of the names and bytes of each part's tensors. */
function digestsOf(path: string): Record<string, string> {
  const hashes = new Map<string, ReturnType<typeof createHash>>();
  const tensors = valuesOf(path, bytesOf);
  for (const name of [...tensors.keys()].sort()) {
    const part = name.slice(0, name.indexOf("."));
    const hash = hashes.get(part) ?? createHash("sha256");
    hashes.set(part, hash.update(name).update(tensors.get(name)!));
  }
  return Object.fromEntries(Array.from(hashes, ([part, hash]) => [part, hash.digest("hex")]));
}

/** The key part of an attention bias has no gradient but rounding noise, which Adam turns into steps of visible size. */
const isKeyBias = (name: string, index: number): boolean => name.endsWith("qkv.bias") && index % 3 === 1;

/** Differences are relative to a tensor's largest value. */
function expectSameWeights(found: string, wanted: string): void {
  const [left, right] = [found, wanted].map((path) => valuesOf(path, (tensor) => tensor.toFloat64Array()));
  expect([...left!.keys()].sort()).toEqual([...right!.keys()].sort());
  for (const [name, values] of right!) {
    const scale = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    const others = left!.get(name)!;
    expect(others.length, name).toBe(values.length);
    const differences = values.map((value, i) => (isKeyBias(name, i) ? 0 : Math.abs(value - others[i]!)));
    expect(Math.max(...differences) / scale, name).toBeLessThan(ROUNDING);
  }
}

/** Bytes may round to their neighbor. */
async function expectSameImage(found: string, wanted: string): Promise<void> {
  const [left, right] = await Promise.all([found, wanted].map((path) => sharp(path).raw().toBuffer()));
  expect(left!.length).toBe(right!.length);
  const furthest = left!.reduce((most, value, i) => Math.max(most, Math.abs(value - right![i]!)), 0);
  expect(furthest).toBeLessThanOrEqual(isSameMachine ? 0 : 1);
}

describe.each(["unet", "mlp", "dsm"])("a run recorded by an earlier version: %s", (name) => {
  const before = join(recorded, name);
  const after = join(recorded, `${name}-continued`);
  const run = join(folder, name);
  let result: TrainResult;

  beforeAll(async () => {
    cpSync(before, run, { recursive: true });
    const { tensors } = memory();
    result = await train({ resume: run, data, duration: 0.000128 }, jobContext());
    expect(memory().tensors).toBe(tensors);
  });

  test("goes on in its folder, with its options and its log", () => {
    expect(result).toMatchObject({ reason: "finished", folder: run, images: 128, snapshot: join(run, NEXT_SNAPSHOT) });
    const options = JSON.parse(textOf(before, "training_options.json")) as Record<string, unknown>;
    expect(JSON.parse(textOf(run, "training_options.json"))).toMatchObject({ ...options, data, duration: 0.000128 });
    const [old, log] = [textOf(before, "log.txt"), textOf(run, "log.txt")];
    expect(log.startsWith(old)).toBe(true);
    expect(log.slice(old.length)).toContain("resumed     at 64 images from");
  });

  test("counts on", () => {
    const lines = linesOf(run, "stats.jsonl");
    const wanted = linesOf(after, "stats.jsonl");
    expect(textOf(run, "stats.jsonl").startsWith(textOf(before, "stats.jsonl"))).toBe(true);
    expect(lines.map((line) => line["Progress/kimg"]?.mean)).toEqual([0.032, 0.064, 0.096, 0.128]);
    expect(lines.length).toBe(wanted.length);
    lines.forEach((line, i) => {
      expect(Object.keys(line)).toEqual(expect.arrayContaining(Object.keys(wanted[i]!)));
      const [found, loss] = [line, wanted[i]!].map((each) => each["Loss/loss"]!);
      expect(found!.num).toBe(loss!.num);
      expect(Math.abs(found!.mean / loss!.mean - 1)).toBeLessThan(ROUNDING);
      expect(Math.abs(found!.std / loss!.std - 1)).toBeLessThan(ROUNDING);
    });
  });

  test("comes to the same weights, up to rounding", () => {
    expectSameWeights(join(run, NEXT_SNAPSHOT), join(after, SNAPSHOT));
    expect(() => expectSameWeights(join(run, NEXT_SNAPSHOT), join(before, SNAPSHOT))).toThrow();
  });

  test.skipIf(!isSameMachine)("comes to the same weights, averages and moments bit for bit", () => {
    expect(digestsOf(result.state!)).toEqual(continued.states[name]);
    expect(digestsOf(result.snapshot!)).toEqual(digestsOf(join(after, SNAPSHOT)));
    const losses = (path: string): unknown[] => linesOf(path, "stats.jsonl").map((line) => line["Loss/loss"]);
    expect(losses(run)).toEqual(losses(after));
  });

  test("draws the same images in the end", async () => {
    await expectSameImage(result.samples!, join(after, SAMPLES));
  });

  test("has left a network that draws the images that it drew", async () => {
    const { denoiser, config, about } = loadSnapshot(join(before, SNAPSHOT));
    const seed = { unet: 5, mlp: 7, dsm: 9 }[name];
    expect(about).toMatchObject({ images: 64, seed, labelDropout: name === "unet" ? 0.2 : 0 });
    expect(denoiser.labelDim).toBe(name === "unet" ? 3 : 0);
    const seeds = Array.from({ length: name === "unet" ? 24 : 64 }, (_, i) => i);
    const { images: drawn } = generateImages(denoiser, seeds, { classes: seeds.map((i) => Math.floor(i / 8)) });
    const path = join(folder, `${name}.png`);
    writeGrid(path, imagesOf(drawn), config.shape, 8);
    drawn.dispose();
    denoiser.dispose();
    await expectSameImage(path, join(before, SAMPLES));
  });
});
