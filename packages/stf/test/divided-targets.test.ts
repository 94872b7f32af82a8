/** Distances and targets that several processes compute together equal those of a single one. */

import { scope, type Tensor } from "@stf/torch";
import { afterAll, describe, expect, test } from "vitest";
import { augmentationSettings } from "../src/augmentation/settings.js";
import { partOf } from "../src/common/ranks.js";
import type { Bank } from "../src/data/bank.js";
import { DividedBank, type RowRanks } from "../src/data/divided-bank.js";
import { ImageBank } from "../src/data/image-bank.js";
import { withMirrorImages } from "../src/data/mirror.js";
import { nearestDistances } from "../src/data/neighbours.js";
import { DataOrder } from "../src/data/order.js";
import type { KeyedRandom } from "../src/random/keyed.js";
import { denoisingTarget } from "../src/targets/denoising.js";
import { stableFieldTarget } from "../src/targets/stable-field.js";
import { dividedTargets } from "../src/training/divided-targets.js";
import { perturb } from "../src/training/perturb.js";
import { stepTargets, type TargetSettings } from "../src/training/step-targets.js";
import { together } from "./rank-support.js";
import { maxDeviation, randomBytes } from "./support.js";

const N = 40;
const shape = { channels: 3, height: 8, width: 8 };
// Close to each other, so that posteriors hold several.
const bytes = Uint8Array.from(randomBytes(N * 192, 1), (byte) => 100 + (byte >> 3));
// One class has a single image: all processes but one have none of its references.
const labels = Int32Array.from({ length: N }, (_, i) => (i === N - 1 ? 3 : i % 3));
const bank = ImageBank.fromBytes("test", shape, bytes, { labels });
const mirrored = withMirrorImages(bank);
afterAll(() => {
  bank.dispose();
  mirrored.dispose();
});

const noiseLevels = (random: KeyedRandom): number => Math.exp(-1 + random.normal());
const FIRST = 60;

type Rule = Omit<TargetSettings, "seed" | "target" | "references">;

/** The targets of all samples of a step, of one process that has all. */
function alone(images: Bank, batch: number, references: number | "all", rule: Rule): Tensor {
  const settings = { seed: 5, target: stableFieldTarget(), noiseLevels, references, ...rule };
  const indices = new DataOrder(images.count, 5).range(FIRST, batch);
  using targets = stepTargets(images, settings, FIRST, indices);
  const samples = Array.from(indices, (_, i) => FIRST + i);
  return targets.targetsOf(perturb(samples, indices, images, settings), 0);
}

/** The same of one of several, of its samples, in two parts as micro-batches are. */
function ofOne(
  images: Bank | DividedBank,
  batch: number,
  references: number | "all",
  rule: Rule,
  ranks: RowRanks,
): Tensor[] {
  const settings = { seed: 5, target: stableFieldTarget(), noiseLevels, references, ...rule };
  const indices = new DataOrder(images.count, 5).range(FIRST, batch);
  using targets = dividedTargets(images, { ...settings, ranks }, FIRST, indices);
  const { sources } = targets;
  const own = partOf(batch, ranks);
  const middle = Math.floor((own.first + own.end) / 2);
  return [
    { first: own.first, end: middle },
    { first: middle, end: own.end },
  ].flatMap(({ first, end }) => {
    if (first === end) return [];
    const samples = Array.from({ length: end - first }, (_, i) => FIRST + first + i);
    const part = perturb(samples, sources.indices.subarray(first, end), sources.bank, settings);
    return [targets.targetsOf(part, first)];
  });
}

const numbers = (tensors: readonly Tensor[]): number[] => tensors.flatMap((each) => [...each.toFloat32Array()]);

/** The largest difference between the targets of several processes and those of one, and from the sources. */
function deviations(
  size: number,
  {
    images = bank,
    batch = 13,
    references,
    each = references,
    isPart = false,
    ...rule
  }: {
    images?: ImageBank;
    batch?: number;
    /** Of a single process, and of each of several. */
    references: number | "all";
    each?: number | "all";
    isPart?: boolean;
  } & Rule,
): number {
  return scope(() => {
    const wanted = numbers([alone(images, batch, references, rule)]);
    const found = together(size, (ranks) => {
      const given = isPart ? DividedBank.of(images.to("cpu"), ranks) : images;
      return numbers(ofOne(given, batch, each, rule, ranks));
    }).flat();
    expect(found.length).toBe(wanted.length);
    // Else a target that is always its source would pass.
    const few = numbers([alone(images, batch, 1, rule)]);
    expect(maxDeviation(wanted, few)).toBeGreaterThan(0.05);
    return maxDeviation(found, wanted);
  });
}

const augmentation = augmentationSettings({ probability: 0.12 });

describe.each([1, 2, 3])("%i processes", (size) => {
  test("with n references each have the targets of one with as many together", () => {
    expect(deviations(size, { references: 12 * size, each: 12, batch: 9 })).toBeLessThan(1e-6);
  });

  test("with fewer references than samples, which then use a part of the pool", () => {
    expect(deviations(size, { references: 6 * size, each: 6, batch: 21 })).toBeLessThan(1e-6);
  });

  test("with a part of the images each have the targets of one with all", () => {
    expect(deviations(size, { references: "all", isPart: true })).toBeLessThan(1e-6);
  });

  test.each([false, true])("by class, with parts of the images: %s", (isPart) => {
    const own = isPart ? ({ references: "all" } as const) : { references: 9 * size, each: 9 };
    expect(deviations(size, { ...own, sameClass: true, isPart, batch: 30 })).toBeLessThan(1e-6);
  });

  test.each([false, true])("with augmentation and mirrored images, parts: %s", (isPart) => {
    const own = isPart ? ({ references: "all" } as const) : { references: 12 * size, each: 12 };
    const rule = { augmentation, warpedReferences: 16, images: mirrored, batch: 30, isPart };
    expect(deviations(size, { ...own, ...rule })).toBeLessThan(1e-6);
    expect(deviations(size, { ...own, ...rule, sameClass: true })).toBeLessThan(1e-6);
  });

  test("where only some targets are needed", () => {
    const isNeeded = (source: number, sigma: number): boolean => source % 3 > 0 && sigma > 0.3;
    expect(deviations(size, { references: "all", isPart: true, isNeeded, augmentation })).toBeLessThan(1e-6);
    expect(deviations(size, { references: 12 * size, each: 12, isNeeded })).toBeLessThan(1e-6);
  });
});

test("a step with more samples than are combined at a time, and more images than have a sketch", () => {
  const many = ImageBank.fromBytes(
    "many",
    shape,
    Uint8Array.from(randomBytes(4200 * 192, 2), (byte) => 100 + (byte >> 3)),
  );
  try {
    expect(deviations(2, { images: many, references: "all", isPart: true, batch: 300 })).toBeLessThan(1e-6);
  } finally {
    many.dispose();
  }
});

describe("what cannot be divided is refused", () => {
  const refused = (rule: Partial<TargetSettings>, images: Bank | DividedBank = bank): (() => void) => {
    const ranks = { rank: 0, size: 2, sum() {}, gatherRows: (rows: Tensor) => rows };
    const settings = { seed: 5, target: stableFieldTarget(), noiseLevels, references: 8, ...rule, ranks };
    return () => dividedTargets(images, settings, 0, Int32Array.of(0, 1));
  };

  test("by its reason", () => {
    const independent = { augmentation, referenceAugmentation: "independent" } as const;
    expect(refused(independent)).toThrow(/transformed independently/);
    expect(refused({ target: denoisingTarget })).toThrow(/a weighted mean/);
    const { of } = stableFieldTarget();
    expect(refused({ target: { needsReferences: true, of } })).toThrow(/a weighted mean/);
    expect(refused({ references: () => () => ({ bank, pool: "all" }) })).toThrow(/a function/);
    const part = DividedBank.of(bank.to("cpu"), { rank: 0, size: 2 });
    expect(refused({}, part)).toThrow(/"all"/);
    expect(() => nearestDistances(part)).toThrow(/have the others/);
    expect(() => new DividedBank(part.own, { count: N + 2 }, { rank: 0, size: 2 })).toThrow(
      /must have 21 images, found 20/,
    );
    part.dispose();
  });
});

describe("distances", () => {
  const toy = { channels: 1, height: 4, width: 4 };
  const images = ImageBank.fromBytes("toy", toy, randomBytes(5000 * 16, 3));
  afterAll(() => images.dispose());

  test.each([2, 3, 4])("%i processes find those of one, to the last bit", (size) => {
    const wanted = nearestDistances(images);
    expect(together(size, (ranks) => nearestDistances(images, undefined, { ranks }))).toEqual(
      Array.from({ length: size }, () => wanted),
    );
    const parts = together(size, (ranks) =>
      nearestDistances(DividedBank.of(images.to("cpu"), ranks), undefined, { ranks }),
    );
    expect(parts).toEqual(Array.from({ length: size }, () => wanted));
  });
});
