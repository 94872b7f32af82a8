/** What tests share: comparison of numbers, small data sets, and values computed straight from the formulas. */

import { fileURLToPath } from "node:url";
import {
  type Device,
  type DType,
  Generator,
  loadSafetensors,
  memory,
  randn,
  type SafetensorsContent,
  scope,
  setThreads,
  type Tensor,
  type TypedArray,
} from "@stf/torch";
import type { ImageShape } from "../src/common/image-shape.js";
import { ImageBank, normalize } from "../src/data/image-bank.js";
import type { Reporter } from "../src/jobs/context.js";
import type { Precision } from "../src/networks/architectures.js";
import { Denoiser } from "../src/networks/denoiser.js";
import { SongUNet } from "../src/networks/song-unet.js";
import { edmPreconditioning } from "../src/preconditioning/edm.js";
import type { PerturbedBatch } from "../src/targets/target.js";

// Test files run side by side; more threads than processors make small operators wait for each other.
setThreads(1);

/** Where the device suites compute: what STF_TEST_DEVICE names, the CPU by default. */
export const device = (process.env["STF_TEST_DEVICE"] ?? "cpu") as Device;

/** A file of test/golden. */
export function golden(name: string): SafetensorsContent {
  return loadSafetensors(fileURLToPath(new URL(`./golden/${name}.safetensors`, import.meta.url)));
}

/** One tensor of a golden file as float64 numbers. */
export function goldenNumbers({ tensors }: SafetensorsContent, name: string): Float64Array {
  const found = tensors.get(name);
  if (!found) throw new Error(`the golden file has no "${name}"`);
  return found.toFloat64Array();
}

type Numbers = Tensor | ArrayLike<number>;

function flat(numbers: Numbers): ArrayLike<number> {
  return "toFloat64Array" in numbers ? numbers.toFloat64Array() : numbers;
}

/** The largest absolute difference; NaN when there is a NaN on either side. */
export function maxDeviation(actual: Numbers, expected: Numbers): number {
  const [found, wanted] = [flat(actual), flat(expected)];
  if (found.length !== wanted.length) throw new Error(`${found.length} numbers, expected ${wanted.length}`);
  let worst = 0;
  for (let i = 0; i < wanted.length; i++) {
    const difference = Math.abs((found[i] as number) - (wanted[i] as number));
    if (!(difference <= worst)) worst = difference;
  }
  return worst;
}

/** Whether two tensors of one dtype hold the same bits. */
export function sameBits(left: Tensor, right: Tensor): boolean {
  const bytes = ({ buffer, byteOffset, byteLength }: Uint8Array | TypedArray): Buffer =>
    Buffer.from(buffer as ArrayBuffer, byteOffset, byteLength);
  return left.dtype === right.dtype && bytes(left.toTypedArray()).equals(bytes(right.toTypedArray()));
}

/** The largest absolute difference relative to the largest expected magnitude. */
export function relativeDeviation(actual: Numbers, expected: Numbers): number {
  const wanted = flat(expected);
  let scale = 0;
  for (let i = 0; i < wanted.length; i++) scale = Math.max(scale, Math.abs(wanted[i] as number));
  return maxDeviation(actual, wanted) / scale;
}

/** Numbers on [0, 1) that owe nothing to the code under test (mulberry32). */
export function uniforms(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Random bytes, all values equally likely. */
export function randomBytes(length: number, seed: number): Uint8Array {
  const next = uniforms(seed);
  return Uint8Array.from({ length }, () => Math.floor(256 * next()));
}

/** Pearson's statistic for counts that should all be equal: about `counts.length - 1`, give or take its square root. */
export function chiSquare(counts: ArrayLike<number>): number {
  const values = Array.from(counts);
  const expected = values.reduce((sum, count) => sum + count, 0) / values.length;
  return values.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
}

/** A value that a chi-square variable exceeds once in about 30,000 times (Wilson and Hilferty's approximation, 4 sigma). */
export function chiSquareBound(degrees: number): number {
  const spread = 2 / (9 * degrees);
  return degrees * (1 - spread + 4 * Math.sqrt(spread)) ** 3;
}

/** Mean and its standard error. */
export function meanAndError(values: ArrayLike<number>): { mean: number; error: number } {
  const list = Array.from(values);
  const mean = list.reduce((sum, value) => sum + value, 0) / list.length;
  const variance = list.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (list.length - 1);
  return { mean, error: Math.sqrt(variance / list.length) };
}

/** A byte as the network sees it, in float64. */
export const unit = (byte: number): number => byte / 127.5 - 1;

/** Noisy samples of the given images, with noise from a seeded generator. */
export function perturbedBatch(
  bank: ImageBank,
  indices: readonly number[],
  sigma: readonly number[],
  seed: number,
): PerturbedBatch {
  const { channels, height, width } = bank.shape;
  using generator = new Generator(seed);
  return scope(() => {
    const shape = [indices.length, channels, height, width];
    const noise = randn(shape, { generator });
    const source = normalize(bank.gather(Int32Array.from(indices))).view(shape);
    return { indices: Int32Array.from(indices), source, noise, sigma: Float64Array.from(sigma) };
  });
}

/**
 * The posterior mean over references in float64, straight from its definition:
 * sum_k w_k r_k with w = softmax_k(-||x - r_k||² / (2 sigma²)).
 */
export function posteriorMean(
  x: ArrayLike<number>,
  references: readonly ArrayLike<number>[],
  sigma: number,
): { mean: Float64Array; weights: Float64Array } {
  const logits = references.map((reference) => {
    let distance = 0;
    for (let i = 0; i < x.length; i++) distance += ((x[i] as number) - (reference[i] as number)) ** 2;
    return -distance / (2 * sigma ** 2);
  });
  const highest = Math.max(...logits);
  const raw = logits.map((logit) => Math.exp(logit - highest));
  const total = raw.reduce((sum, value) => sum + value, 0);
  const mean = new Float64Array(x.length);
  references.forEach((reference, k) => {
    for (let i = 0; i < mean.length; i++) mean[i] = mean[i]! + (raw[k]! / total) * (reference[i] as number);
  });
  return { mean, weights: Float64Array.from(raw, (value) => value / total) };
}

/** Runs `body` in a scope and returns by how many the live tensors changed. */
export function tensorsLeft(body: () => void): number {
  const before = memory().tensors;
  scope(body);
  return memory().tensors - before;
}

/** A bank over bytes that are made image by image. */
export function bankOf(images: readonly ArrayLike<number>[], shape: ImageShape, name = "test"): ImageBank {
  const bytes = Uint8Array.from(images.flatMap((image) => Array.from(image)));
  return ImageBank.fromBytes(name, shape, bytes);
}

/** An idx file of unsigned bytes. */
export function idxBytes(sizes: readonly number[], data: ArrayLike<number>): Uint8Array {
  const bytes = new Uint8Array(4 + 4 * sizes.length + data.length);
  const view = new DataView(bytes.buffer);
  bytes.set([0, 0, 0x08, sizes.length]);
  sizes.forEach((size, axis) => void view.setUint32(4 + 4 * axis, size));
  bytes.set(Array.from(data), 4 + 4 * sizes.length);
  return bytes;
}

/** Standard normal numbers from a generator of their own. */
export function normals(shape: readonly number[], seed: number, dtype: DType = "float64"): Tensor {
  using generator = new Generator(seed);
  return randn(shape, { generator, dtype });
}

/** The tensors whose names start with `prefix`, without it. */
export function stripPrefix(tensors: ReadonlyMap<string, Tensor>, prefix: string): Map<string, Tensor> {
  return new Map(
    [...tensors].filter(([name]) => name.startsWith(prefix)).map(([name, value]) => [name.slice(prefix.length), value]),
  );
}

/** Soft spots of light on a dark ground: images with something to learn, `[1, size, size]`. */
export function blobs(count: number, size: number): ImageBank {
  const random = uniforms(17);
  const bytes = new Uint8Array(count * size * size);
  for (let i = 0; i < count; i++) {
    const [cx, cy, width] = [size * random(), size * random(), size * (0.15 + 0.2 * random())];
    for (let p = 0; p < size * size; p++) {
      const distance = ((p % size) - cx) ** 2 + (Math.floor(p / size) - cy) ** 2;
      bytes[i * size * size + p] = Math.round(255 * Math.exp(-distance / (2 * width ** 2)));
    }
  }
  return ImageBank.fromBytes("blobs", { channels: 1, height: size, width: size }, bytes);
}

/** What tells the two published networks apart, written out again from the reference. */
export const ddpmpp = {
  embeddingType: "positional",
  encoderType: "standard",
  channelMultNoise: 1,
  resampleFilter: [1, 1],
} as const;
export const ncsnpp = {
  embeddingType: "fourier",
  encoderType: "residual",
  channelMultNoise: 2,
  resampleFilter: [1, 3, 3, 1],
} as const;

/** The denoiser of the file "edm-ddpmpp", with its weights. */
export function publishedDdpmpp({ tensors }: SafetensorsContent, precision: Precision = "fp32"): Denoiser {
  const network = new SongUNet({
    resolution: 16,
    inChannels: 3,
    outChannels: 3,
    augmentDim: 9,
    modelChannels: 16,
    channelMult: [1, 2],
    numBlocks: 1,
    attnResolutions: [16],
    dropout: 0.13,
    ...ddpmpp,
  });
  const denoiser = new Denoiser(network, edmPreconditioning(), { precision }).eval();
  denoiser.loadStateDict(new Map([...tensors].filter(([name]) => name.startsWith("model."))));
  return denoiser;
}

/** Hears everything. */
export function listener(): { lines: string[]; reporter: Reporter } {
  const lines: string[] = [];
  const reporter = {
    print: (line: string) => void lines.push(line),
    warn() {},
    printPlain() {},
    update() {},
    clear() {},
  };
  return { lines, reporter };
}
