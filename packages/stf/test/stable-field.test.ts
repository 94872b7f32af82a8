/** The streamed stable target against the formula in float64, and its limits. */

import { engineReport, setThreads, type Tensor, tensor } from "@stf/torch";
import { afterAll, describe, expect, test } from "vitest";
import type { ImageShape } from "../src/common/image-shape.js";
import type { ImageBank } from "../src/data/image-bank.js";
import { VectorBank } from "../src/data/vector-bank.js";
import { denoisingTarget } from "../src/targets/denoising.js";
import { stableFieldTarget } from "../src/targets/stable-field.js";
import type { PerturbedBatch, ReferenceSet } from "../src/targets/target.js";
import {
  bankOf,
  golden,
  goldenNumbers,
  maxDeviation,
  perturbedBatch,
  posteriorMean,
  randomBytes,
  sameBits,
  tensorsLeft,
  uniforms,
  unit,
} from "./support.js";

const SIGMAS = [0.002, 0.01, 0.1, 0.5, 1, 5, 20, 80];
const SOURCES = [3, 0, 17, 1, 30, 2, 44, 5];
const B = SOURCES.length;

/**
 * 96 images: noise; copies of the first eight with one value changed by one level; copies with every value changed by one
 * level; exact copies; and grey images close to each other.
 */
function images({ channels, height, width }: ImageShape, seed: number): Uint8Array[] {
  const size = channels * height * width;
  const random = uniforms(seed);
  const neighbour = (byte: number): number => (byte === 255 || (byte > 0 && random() < 0.5) ? byte - 1 : byte + 1);
  const noise = Array.from({ length: 40 }, (_, i) => randomBytes(size, 1000 * seed + i));
  const base = (k: number): Uint8Array => Uint8Array.from(noise[k % 8]!);
  const oneValue = Array.from({ length: 24 }, (_, k) => {
    const image = base(k);
    const position = Math.floor(random() * size);
    image[position] = neighbour(image[position]!);
    return image;
  });
  const everyValue = Array.from({ length: 8 }, (_, k) => base(k).map(neighbour));
  const copies = Array.from({ length: 8 }, (_, k) => base(k));
  const grey = Array.from({ length: 16 }, (_, i) =>
    randomBytes(size, 2000 * seed + i).map((byte) => 120 + (byte >> 4)),
  );
  return [...noise, ...oneValue, ...everyValue, ...copies, ...grey];
}

/** Rows of the target computed in float64 from the definition, with the window of references written out. */
function expectedRows(
  batch: PerturbedBatch,
  { bank, pool, references: count }: ReferenceSet,
): { mean: Float64Array; weights: Float64Array }[] {
  const bytes = (bank as ImageBank).pixels.toTypedArray() as Uint8Array;
  const dimension = bank.dimension;
  const image = (index: number): Float64Array =>
    Float64Array.from(bytes.subarray(index * dimension, (index + 1) * dimension), unit);
  const noise = batch.noise.toFloat64Array();
  const cache = new Map<number, Float64Array>();
  const cached = (index: number): Float64Array => {
    const known = cache.get(index) ?? image(index);
    cache.set(index, known);
    return known;
  };
  const members = pool === "all" ? Array.from({ length: bank.count }, (_, i) => i) : Array.from(pool);
  return Array.from(batch.indices, (source, row) => {
    const sigma = batch.sigma[row]!;
    const x = cached(source).map((value, i) => value + sigma * noise[row * dimension + i]!);
    const own = members.indexOf(source);
    const length = Math.min(count ?? members.length, members.length);
    const references = Array.from({ length }, (_, k) => cached(members[(own + k) % members.length]!));
    return posteriorMean(x, references, sigma);
  });
}

/** The source first, then other members in an order that mixes all kinds of images. */
function poolOf(size: number): Int32Array {
  const random = uniforms(99);
  const others = Array.from({ length: 96 }, (_, i) => i).filter((index) => !SOURCES.includes(index));
  const shuffled = others.map((index) => ({ index, key: random() })).sort((a, b) => a.key - b.key);
  return Int32Array.from([...SOURCES, ...shuffled.map(({ index }) => index)].slice(0, Math.max(size, B)));
}

const shapes: ImageShape[] = [
  { channels: 3, height: 32, width: 32 },
  { channels: 1, height: 28, width: 28 },
];

test("the formula of these tests gives the published numbers", () => {
  const file = golden("stf-targets");
  for (const name of [
    "plain_small",
    "one_reference_more",
    "batch_is_all_references",
    "duplicates",
    "tiny_sigma",
    "tiny_sigma_near_references",
  ]) {
    const sigma = goldenNumbers(file, `${name}.sigma`);
    const rows = (part: string, count: number): Float64Array[] => {
      const all = goldenNumbers(file, `${name}.${part}`);
      const size = all.length / count;
      return Array.from({ length: count }, (_, i) => all.subarray(i * size, (i + 1) * size));
    };
    const n = file.tensors.get(`${name}.ref`)!.size(0);
    const references = rows("ref", n);
    const found = rows("x", sigma.length).map((x, i) => posteriorMean(x, references, sigma[i]!));
    const mean = found.flatMap((row) => Array.from(row.mean));
    const weights = found.flatMap((row) => Array.from(row.weights));
    expect(maxDeviation(mean, goldenNumbers(file, `${name}.target_float64`)), name).toBeLessThan(1e-9);
    expect(maxDeviation(weights, goldenNumbers(file, `${name}.weights_float64`)), name).toBeLessThan(1e-9);
    expect(maxDeviation(mean, goldenNumbers(file, `${name}.target`)), name).toBeLessThan(1e-5);
  }
});

describe.each(shapes)("images of $channels x $height x $width", (shape) => {
  const bank: ImageBank = bankOf(images(shape, shape.channels), shape);
  afterAll(() => bank.dispose());
  const target = stableFieldTarget();

  /** Every row takes every noise level once, and a batch mixes all of them. */
  const batches = SIGMAS.map((_, shift) =>
    perturbedBatch(
      bank,
      SOURCES,
      SOURCES.map((_, row) => SIGMAS[(row + shift) % SIGMAS.length]!),
      500 + shift,
    ),
  );

  test.each([1, 2, B - 1, B, 40, "all"] as const)("agrees with the formula for %s references", (n) => {
    const references: ReferenceSet = n === "all" ? { bank, pool: "all" } : { bank, pool: poolOf(n), references: n };
    let worst = { deviation: 0, sigma: 0 };
    let spread = 0;
    for (const batch of batches) {
      using result = target.of(batch, references);
      const found = result.toFloat64Array();
      expectedRows(batch, references).forEach(({ mean, weights }, row) => {
        const deviation = maxDeviation(found.subarray(row * bank.dimension, (row + 1) * bank.dimension), mean);
        if (!(deviation <= worst.deviation)) worst = { deviation, sigma: batch.sigma[row]! };
        spread = Math.max(spread, 1 / weights.reduce((sum, w) => sum + w * w, 0));
      });
    }
    expect(worst.deviation, `largest deviation ${worst.deviation} at sigma ${worst.sigma}`).toBeLessThan(1e-4);
    // Were one weight always 1, nothing would have been tested.
    if (n !== 1) expect(spread).toBeGreaterThan(1.9);
  });

  test("one reference is the source, to the last bit", () => {
    for (const batch of batches) {
      using stable = target.of(batch, { bank, pool: poolOf(1), references: 1 });
      using denoising = denoisingTarget.of(batch);
      expect(sameBits(stable, batch.source)).toBe(true);
      expect(sameBits(denoising, batch.source)).toBe(true);
    }
  });

  test("fewer references than samples: consecutive members of the pool, cyclically, from the source on", () => {
    const batch = batches[5]!;
    const pool = poolOf(B);
    using result = target.of(batch, { bank, pool, references: 3 });
    const found = result.toFloat32Array();
    SOURCES.forEach((source, row) => {
      const single = perturbedRow(batch, row);
      const own = [0, 1, 2].map((k) => SOURCES[(row + k) % B]!);
      expect(own[0]).toBe(source);
      using alone = target.of(single, { bank, pool: Int32Array.from(own), references: 3 });
      const part = found.subarray(row * bank.dimension, (row + 1) * bank.dimension);
      expect(maxDeviation(part, alone)).toBeLessThan(2e-6);
    });
  });

  test.each([undefined, 20])("weights of the references' own multiply those of the posterior; %s of them", (n) => {
    const pool = poolOf(50);
    const logWeights = Float64Array.from(pool, (item) => 2 * Math.sin(item));
    const set: ReferenceSet = { bank, pool, references: n, logWeights };
    const pixels = bank.pixels.toTypedArray() as Uint8Array;
    let moved = 0;
    for (const batch of batches) {
      using result = stableFieldTarget({ chunk: 13 }).of(batch, set);
      const found = result.toFloat64Array();
      expectedRows(batch, { bank, pool, references: n }).forEach(({ mean, weights }, row) => {
        const own = pool.indexOf(SOURCES[row]!);
        const places = Array.from(weights, (_, k) => (own + k) % pool.length);
        const raw = places.map((place, k) => weights[k]! * Math.exp(logWeights[place]!));
        const total = raw.reduce((sum, weight) => sum + weight, 0);
        const wanted = mean.map((_, p) =>
          raw.reduce((sum, w, k) => sum + (w / total) * unit(pixels[pool[places[k]!]! * bank.dimension + p]!), 0),
        );
        expect(maxDeviation(found.subarray(row * bank.dimension, (row + 1) * bank.dimension), wanted)).toBeLessThan(
          1e-4,
        );
        moved = Math.max(moved, maxDeviation(wanted, mean));
      });
    }
    expect(moved).toBeGreaterThan(0.1);
  });

  test("neither the chunk nor the order of the pool changes it", () => {
    const pool = poolOf(61);
    const mixed = Int32Array.from(pool).reverse();
    for (const batch of batches) {
      using whole = target.of(batch, { bank, pool, references: 61 });
      for (const chunk of [1, 7, 60, 61]) {
        using chunked = stableFieldTarget({ chunk }).of(batch, { bank, pool, references: 61 });
        expect(maxDeviation(chunked, whole), `chunk ${chunk}`).toBeLessThan(1e-5);
      }
      using permuted = target.of(batch, { bank, pool: mixed, references: 61 });
      expect(maxDeviation(permuted, whole)).toBeLessThan(1e-5);
      using everything = target.of(batch, { bank, pool: "all" });
      using listed = target.of(batch, { bank, pool: poolOf(96), references: 96 });
      expect(maxDeviation(everything, listed)).toBeLessThan(1e-5);
    }
  });

  test("tends to the source without noise and to the mean of the references in pure noise", () => {
    // Images 8 to 39 are independent noise: no two are close.
    const distinct = [8, 9, 10, 11, 12, 13, 14, 15];
    const pool = Int32Array.from({ length: 32 }, (_, i) => 8 + i);
    const quiet = perturbedBatch(bank, distinct, new Array(B).fill(1e-3), 7);
    using nearest = target.of(quiet, { bank, pool, references: 32 });
    expect(maxDeviation(nearest, quiet.source)).toBeLessThan(1e-7);

    const loud = perturbedBatch(bank, distinct, new Array(B).fill(1e7), 8);
    using average = target.of(loud, { bank, pool, references: 32 });
    const bytes = (bank as ImageBank).pixels.toTypedArray() as Uint8Array;
    const mean = Float64Array.from({ length: bank.dimension }, (_, i) => {
      let sum = 0;
      for (const index of pool) sum += unit(bytes[index * bank.dimension + i]!);
      return sum / pool.length;
    });
    const found = average.toFloat64Array();
    for (let row = 0; row < B; row++) {
      expect(maxDeviation(found.subarray(row * bank.dimension, (row + 1) * bank.dimension), mean)).toBeLessThan(1e-5);
    }
  });

  test("a bank of the same images as float64 vectors gives the same, by stock operators alone", () => {
    const bytes = bank.pixels.toTypedArray() as Uint8Array;
    const values = tensor(Float64Array.from(bytes, unit), { shape: bank.pixels.shape });
    const vectors = new VectorBank("vectors", values, { shape });
    for (const batch of batches) {
      for (const references of [
        { pool: poolOf(50), references: 50 },
        { pool: poolOf(B), references: 3 },
        { pool: "all" },
      ] as const) {
        using found = stableFieldTarget({ chunk: 20 }).of(batch, { bank, ...references });
        using expected = stableFieldTarget({ chunk: 20 }).of(batch, { bank: vectors, ...references });
        expect(maxDeviation(found, expected)).toBeLessThan(1e-5);
      }
    }
    vectors.dispose();
  });

  test("the number of threads does not change a bit of it", () => {
    const threads = engineReport().threads;
    const references = { bank, pool: poolOf(61), references: 61 };
    const [single, shared] = [1, 3].map((count) => {
      setThreads(count);
      return target.of(batches[4]!, references);
    }) as [Tensor, Tensor];
    setThreads(threads);
    expect(sameBits(single, shared)).toBe(true);
    single.dispose();
    shared.dispose();
  });

  test("is a constant for the network and leaves no tensors behind", () => {
    const references = { bank, pool: poolOf(40), references: 40 };
    const batch = batches[0]!;
    batch.source.requiresGrad_();
    for (const size of [1, 5, 40]) {
      using result = target.of(batch, { ...references, references: size });
      expect(result.requiresGrad).toBe(false);
      expect(result.shape).toEqual([B, shape.channels, shape.height, shape.width]);
      expect(result.dtype).toBe("float32");
    }
    batch.source.requiresGrad_(false);
    expect(tensorsLeft(() => void target.of(batch, references))).toBe(0);
  });
});

/** One row of a batch as a batch of its own. */
function perturbedRow(batch: PerturbedBatch, row: number): PerturbedBatch {
  return {
    indices: batch.indices.slice(row, row + 1),
    sigma: batch.sigma.slice(row, row + 1),
    source: batch.source.narrow(0, row, 1),
    noise: batch.noise.narrow(0, row, 1),
  };
}

describe("test vectors", () => {
  // The published vectors use references (0, 0), (1, 0), (0, 1), (-1, -1). With 0 at byte 128 and 1 at 128 + k they are
  // stretched by k / 127.5 and shifted; stretching sigma alike leaves the weights as they are.
  const k = 100;
  const stretch = k / 127.5;
  const bank = bankOf(
    [
      [128, 128],
      [128 + k, 128],
      [128, 128 + k],
      [128 - k, 128 - k],
    ],
    { channels: 1, height: 1, width: 2 },
  );
  afterAll(() => bank.dispose());

  test.each([
    { x: [0.3, -0.2], sigma: 0.5, mean: [0.287078, 0.031879] },
    { x: [0.9, 0.1], sigma: 0.5, mean: [0.804628, 0.032746] },
    { x: [0.3, -0.2], sigma: 0.1, mean: [2.06e-9, 4e-31] },
    { x: [0.9, 0.1], sigma: 2.0, mean: [0.137878, 0.082484] },
  ])("x = $x, sigma = $sigma", ({ x, sigma, mean }) => {
    const batch = perturbedBatch(bank, [0], [sigma * stretch], 1);
    // The source is (0, 0), so that the noise is x / sigma.
    batch.noise.copy_(batch.noise.mul(0));
    x.forEach((value, i) => void batch.noise.select(3, i).fill_(value / sigma));
    using result = stableFieldTarget().of(batch, { bank, pool: "all" });
    const found = result.toFloat64Array().map((value) => (value - unit(128)) / stretch);
    expect(maxDeviation(found, mean)).toBeLessThan(1e-6);
  });
});
