/** Keyed randomness: the generator against its definition, the laws against their moments. All seeds are fixed. */

import { describe, expect, test } from "vitest";
import { KeyedRandom, type Purpose, randomKey } from "../src/random/keyed.js";
import { chiSquare, chiSquareBound, meanAndError } from "./support.js";

const LOW = (1n << 32n) - 1n;
const WORD = (1n << 64n) - 1n;
const GAMMA = 0x9e3779b97f4a7c15n;

/** xoshiro128** as published, in arbitrary precision. */
function* xoshiro(a: bigint, b: bigint, c: bigint, d: bigint): Generator<number> {
  const rotate = (x: bigint, k: bigint): bigint => ((x << k) | (x >> (32n - k))) & LOW;
  let s = [a, b, c, d] as [bigint, bigint, bigint, bigint];
  for (;;) {
    yield Number((rotate((s[1] * 5n) & LOW, 7n) * 9n) & LOW);
    const t = (s[1] << 9n) & LOW;
    const s2 = s[2] ^ s[0];
    const s3 = s[3] ^ s[1];
    s = [s[0] ^ s3, s[1] ^ s2, s2 ^ t, rotate(s3, 11n)];
  }
}

/** The output function of SplitMix64 as published. */
function splitMix(state: bigint): bigint {
  const first = ((state ^ (state >> 30n)) * 0xbf58476d1ce4e5b9n) & WORD;
  const second = ((first ^ (first >> 27n)) * 0x94d049bb133111ebn) & WORD;
  return second ^ (second >> 31n);
}

const take = (numbers: Generator<number>, count: number): number[] =>
  Array.from({ length: count }, () => numbers.next().value as number);

/** Four states from a 64-bit key, by two outputs of SplitMix64; the last is odd, so that they are not all zero. */
function seeded(key: bigint): Generator<number> {
  const low = splitMix(key);
  const high = splitMix((low + GAMMA) & WORD);
  return xoshiro(low & LOW, low >> 32n, high & LOW, (high >> 32n) | 1n);
}

describe("the generator", () => {
  test("the definitions in this file give the published sequences", () => {
    expect(take(xoshiro(1n, 2n, 3n, 4n), 10)).toEqual([
      11520, 0, 5927040, 70819200, 2031721883, 1637235492, 1287239034, 3734860849, 3729100597, 4258142804,
    ]);
    const outputs = [1n, 2n, 3n, 4n, 5n].map((i) => splitMix((1234567n + i * GAMMA) & WORD));
    expect(outputs).toEqual([
      6457827717110365317n,
      3203168211198807973n,
      9817491932198370423n,
      4593380528125082431n,
      16408922859458223821n,
    ]);
  });

  test.each([0n, 1n, 0xdeadbeefn, WORD, 0x8000000000000000n, 123456789012345678n])(
    "follows xoshiro128** from key %s",
    (key) => {
      const random = new KeyedRandom(key);
      // With the largest bound an integer is one output as it is.
      const found = Array.from({ length: 200 }, () => random.integer(2 ** 32));
      expect(found).toEqual(take(seeded(key), 200));
    },
  );

  test("uniform numbers take 27 and 26 bits of two outputs", () => {
    const random = new KeyedRandom(77n);
    const words = seeded(77n);
    for (let i = 0; i < 200; i++) {
      const [high, low] = take(words, 2) as [number, number];
      const bits = (BigInt(high) >> 5n) * 2n ** 26n + (BigInt(low) >> 6n);
      expect(random.uniform()).toBe(Number(bits) / 2 ** 53);
    }
  });
});

describe("keys", () => {
  const purposes: Purpose[] = ["weights", "order", "noiseLevel", "noise", "references", "dropout", "augmentation"];

  test("the same question has the same answer", () => {
    expect(randomKey(5, "noise", 1000)).toBe(randomKey(5, "noise", 1000));
    expect(randomKey(5, "noise")).toBe(randomKey(5, "noise", 0));
    const [a, b] = [1, 2].map(() => new KeyedRandom(randomKey(5, "noise", 1000)));
    for (let i = 0; i < 20; i++) expect(a!.normal()).toBe(b!.normal());
  });

  test("different seeds, purposes and indices have different answers", () => {
    const keys = new Set<bigint>();
    const seeds = [0, 1, 2, 3, 255, 256, 2 ** 31 - 1, 2 ** 32, 2 ** 53 - 1];
    const indices = [0, 1, 2, 3, 255, 256, 65536, 2 ** 31, 2 ** 32, 2 ** 40, 2 ** 53 - 1];
    for (const seed of seeds) {
      for (const purpose of purposes) for (const index of indices) keys.add(randomKey(seed, purpose, index));
    }
    expect(keys.size).toBe(seeds.length * purposes.length * indices.length);
    for (const key of keys) expect(key >= 0n && key <= WORD).toBe(true);
  });

  test.each(["index", "seed"] as const)("streams of neighbouring %s values are uniform and unrelated", (which) => {
    const count = 20_000;
    const first = Array.from({ length: count }, (_, i) => {
      const key = which === "index" ? randomKey(1, "noise", i) : randomKey(i, "noise", 1);
      return new KeyedRandom(key).uniform();
    });
    const bins = new Float64Array(50);
    for (const value of first) bins[Math.floor(50 * value)]! += 1;
    expect(chiSquare(bins)).toBeLessThan(chiSquareBound(49));
    const products = first.slice(1).map((value, i) => (value - 0.5) * (first[i]! - 0.5));
    const { mean, error } = meanAndError(products);
    expect(Math.abs(mean) / error).toBeLessThan(4);
  });
});

describe("laws", () => {
  const count = 100_000;

  /** Standardised difference between the mean of f and what it should be. */
  function deviation(values: readonly number[], f: (value: number) => number, expected: number): number {
    const { mean, error } = meanAndError(values.map(f));
    return Math.abs(mean - expected) / error;
  }

  test("uniform: range, moments, and counts in 64 bins", () => {
    const random = new KeyedRandom(randomKey(3, "order"));
    const values = Array.from({ length: count }, () => random.uniform());
    expect(values.every((value) => value >= 0 && value < 1)).toBe(true);
    for (const power of [1, 2, 3, 4]) {
      expect(deviation(values, (u) => u ** power, 1 / (power + 1))).toBeLessThan(4);
    }
    const bins = new Float64Array(64);
    for (const value of values) bins[Math.floor(64 * value)]! += 1;
    expect(chiSquare(bins)).toBeLessThan(chiSquareBound(63));
    // The lowest bits too: 53 of them are random.
    const lowBits = new Float64Array(16);
    for (const value of values) lowBits[(value * 2 ** 53) % 16]! += 1;
    expect(chiSquare(lowBits)).toBeLessThan(chiSquareBound(15));
  });

  test("normal: moments, tails, and independence of neighbours", () => {
    const random = new KeyedRandom(randomKey(4, "noise"));
    const values = Array.from({ length: count }, () => random.normal());
    expect(values.every(Number.isFinite)).toBe(true);
    // E z^k is 0 for odd k and 1, 3, 15 for k = 2, 4, 6.
    [0, 1, 0, 3, 0, 15].forEach((expected, i) => {
      expect(
        deviation(values, (z) => z ** (i + 1), expected),
        `moment ${i + 1}`,
      ).toBeLessThan(4);
    });
    // P(|z| > 1), P(|z| > 2), P(z > 3).
    expect(deviation(values, (z) => Number(Math.abs(z) > 1), 0.3173105)).toBeLessThan(4);
    expect(deviation(values, (z) => Number(Math.abs(z) > 2), 0.0455003)).toBeLessThan(4);
    expect(deviation(values, (z) => Number(z > 3), 0.0013499)).toBeLessThan(4);
    const products = values.slice(1).map((z, i) => z * values[i]!);
    expect(deviation(products, (product) => product, 0)).toBeLessThan(4);
  });

  test.each([1, 2, 3, 7, 10, 64, 100])("integers below %i are equally likely", (bound) => {
    const random = new KeyedRandom(randomKey(6, "references", bound));
    const counts = new Float64Array(bound);
    for (let i = 0; i < 30_000; i++) counts[random.integer(bound)]! += 1;
    expect(counts.reduce((sum, value) => sum + value, 0)).toBe(30_000);
    if (bound > 1) expect(chiSquare(counts)).toBeLessThan(chiSquareBound(bound - 1));
  });

  test("large bounds do not favour small integers", () => {
    // The remainder of a 32-bit number would be below 2^30 twice as often as in the other two thirds.
    const random = new KeyedRandom(randomKey(7, "references"));
    const thirds = new Float64Array(3);
    for (let i = 0; i < 30_000; i++) thirds[Math.floor(random.integer(3 * 2 ** 30) / 2 ** 30)]! += 1;
    expect(chiSquare(thirds)).toBeLessThan(chiSquareBound(2));
  });

  test("a permutation holds every number once", () => {
    for (const length of [0, 1, 2, 10, 1000]) {
      const permutation = new KeyedRandom(randomKey(8, "order", length)).permutation(length);
      expect(Array.from(permutation).sort((a, b) => a - b)).toEqual(Array.from({ length }, (_, i) => i));
    }
  });

  test("all 24 permutations of four are equally likely", () => {
    const counts = new Map<string, number>();
    for (let i = 0; i < 24_000; i++) {
      const permutation = new KeyedRandom(randomKey(9, "order", i)).permutation(4).join();
      counts.set(permutation, (counts.get(permutation) ?? 0) + 1);
    }
    expect(counts.size).toBe(24);
    expect(chiSquare([...counts.values()])).toBeLessThan(chiSquareBound(23));
  });
});
