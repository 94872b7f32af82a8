/** Stable targets and augmentation on the device that STF_TEST_DEVICE names, the CPU by default, against float64 on the CPU. */

import { scope, type Tensor } from "@stf/torch";
import { afterAll, describe, expect, test } from "vitest";
import { applyAugmentation, transformDifferences, transformWith } from "../src/augmentation/apply.js";
import { type AugmentationParameters, noTransform, type Transform } from "../src/augmentation/parameters.js";
import { augmentationSettings } from "../src/augmentation/settings.js";
import { ImageBank } from "../src/data/image-bank.js";
import { nearestDistances } from "../src/data/neighbours.js";
import { KeyedRandom, randomKey } from "../src/random/keyed.js";
import { augmentedTarget, targetFrom } from "../src/targets/augmented.js";
import { posterior } from "../src/targets/posterior.js";
import { classMembers, drawReferences } from "../src/targets/references.js";
import { stableFieldTarget } from "../src/targets/stable-field.js";
import { type PerturbedBatch, perturbedImages, type ReferenceSet } from "../src/targets/target.js";
import { stepTargets, type TargetSettings } from "../src/training/step-targets.js";
import { device, maxDeviation, normals, perturbedBatch, posteriorMean, randomBytes, unit } from "./support.js";

const SIGMAS = [0.002, 0.01, 0.1, 0.5, 1, 5, 20, 80];
const SOURCES = [3, 0, 17, 1, 30, 2, 44, 5];
const COUNT = 48;
const shape = { channels: 3, height: 32, width: 32 };
const D = 3072;

/**
 * Twelve different images; a copy of each with every 300th value changed by one grey level, one with every value changed; and
 * grey images close to each other.
 */
function images(): Uint8Array[] {
  const different = Array.from({ length: 12 }, (_, i) => randomBytes(D, i).map((byte) => Math.max(byte, 1)));
  const nearly = different.map((image) => image.map((byte, k) => (k % 300 === 7 ? byte - 1 : byte)));
  const shifted = different.map((image) => image.map((byte) => byte - 1));
  const grey = Array.from({ length: 12 }, (_, i) => randomBytes(D, 100 + i).map((byte) => 120 + (byte >> 4)));
  return [...different, ...nearly, ...shifted, ...grey];
}

const bytes = images();
const labels = Int32Array.from({ length: COUNT }, (_, i) => i % 3);
const bank = ImageBank.fromBytes("test", shape, Uint8Array.from(bytes.flatMap((image) => [...image])), { labels });
const bankThere = bank.to(device);
const values = bytes.map((image) => Float64Array.from(image, unit));
afterAll(() => {
  bank.dispose();
  bankThere.dispose();
});

const movedThere = (batch: PerturbedBatch): PerturbedBatch => ({
  ...batch,
  source: batch.source.to({ device }),
  noise: batch.noise.to({ device }),
});

/** The largest deviation of a target from the means over every sample's own references, and the most references that share a weight. */
function compared(target: Tensor, batch: PerturbedBatch, membersOf: (source: number) => Iterable<number>) {
  const [found, noise] = [target.toFloat64Array(), batch.noise.toFloat64Array()];
  const rows = Array.from(batch.indices, (source, row) => {
    const sigma = batch.sigma[row]!;
    const x = values[source]!.map((value, k) => value + sigma * noise[row * D + k]!);
    const references = Array.from(membersOf(source), (item) => values[item]!);
    const { mean, weights } = posteriorMean(x, references, sigma);
    return {
      deviation: maxDeviation(found.subarray(row * D, (row + 1) * D), mean),
      spread: 1 / weights.reduce((sum, weight) => sum + weight ** 2, 0),
    };
  });
  return {
    deviation: Math.max(...rows.map(({ deviation }) => deviation)),
    spread: Math.max(...rows.map(({ spread }) => spread)),
  };
}

describe("the stable target agrees with the formula", () => {
  // Every source takes every noise level once.
  const batches = SIGMAS.map((_, shift) =>
    perturbedBatch(
      bank,
      SOURCES,
      SOURCES.map((_, row) => SIGMAS[(row + shift) % SIGMAS.length]!),
      500 + shift,
    ),
  );
  const everything = Int32Array.from({ length: COUNT }, (_, i) => i);
  /** The sources first. */
  const pool = Int32Array.from([...SOURCES, ...everything.filter((i) => !SOURCES.includes(i))]);

  test.each<[string, Omit<ReferenceSet, "bank">, chunk?: number]>([
    ["all references", { pool: "all" }],
    ["all, in chunks", { pool: "all" }, 20],
    ["30 references", { pool: pool.subarray(0, 30), references: 30 }],
    ["30, in chunks", { pool: pool.subarray(0, 30), references: 30 }, 7],
    ["windows of 3 in a pool of 8", { pool: pool.subarray(0, 8), references: 3 }],
    ["windows of 20 in a pool of 40, in chunks", { pool: pool.subarray(0, 40), references: 20 }, 16],
  ])("%s", (_, references, chunk = 4096) => {
    const members = (source: number): number[] => {
      if (references.pool === "all") return [...everything];
      const { pool: list, references: size = list.length } = references;
      const own = list.indexOf(source);
      return Array.from({ length: size }, (_, k) => list[(own + k) % list.length]!);
    };
    let most = 0;
    for (const batch of batches) {
      scope(() => {
        const target = stableFieldTarget({ chunk }).of(movedThere(batch), { bank: bankThere, ...references });
        expect(target.device.startsWith(device)).toBe(true);
        const { deviation, spread } = compared(target, batch, members);
        expect(deviation).toBeLessThan(1e-4);
        most = Math.max(most, spread);
      });
    }
    // Were one weight always 1, nothing would have been tested.
    expect(most).toBeGreaterThan(1.9);
  });

  test("references of the sample's class", () => {
    const classes = classMembers(labels);
    let most = 0;
    for (const batch of batches) {
      scope(() => {
        const random = new KeyedRandom(randomKey(1, "references"));
        const references = drawReferences(bankThere, batch.indices, { references: "all", sameClass: true }, random);
        const target = targetFrom(stableFieldTarget(), movedThere(batch), references);
        const { deviation, spread } = compared(target, batch, (source) => classes.get(labels[source]!)!);
        expect(deviation).toBeLessThan(1e-4);
        most = Math.max(most, spread);
      });
    }
    expect(most).toBeGreaterThan(1.9);
  });

  test("one reference is the source, to the last bit", () => {
    scope(() => {
      const batch = movedThere(batches[3]!);
      const target = stableFieldTarget().of(batch, { bank: bankThere, pool, references: 1 });
      expect(target.equal(batch.source)).toBe(true);
    });
  });
});

test("posteriors are those of the CPU", () => {
  scope(() => {
    const batch = perturbedBatch(bank, SOURCES, SIGMAS, 600);
    const x = perturbedImages(batch);
    for (const references of ["all", Int32Array.from({ length: 40 }, (_, i) => 47 - i)] as const) {
      const options = { references, chunk: 15 };
      const found = posterior(bankThere, x.to({ device }), batch.sigma, options);
      const expected = posterior(bank, x, batch.sigma, options);
      expect(found.logWeights.device.startsWith(device)).toBe(true);
      expect(maxDeviation(found.logWeights, expected.logWeights)).toBeLessThan(1e-6);
      expect(maxDeviation(found.mean, expected.mean)).toBeLessThan(1e-5);
    }
  });
});

const warp: Partial<Transform> = { rotateFrac: 0.4, scale: 0.7, aniso: -0.5, anisoDirection: 1, translateFracX: -0.5 };
const colours: Partial<Transform> = { hue: 1, contrast: 1, brightness: -1, saturation: 0.5, lumaflip: 1 };
const transforms: readonly Partial<Transform>[] = [
  {},
  { xflip: 1 },
  { yflip: 1, xflip: 1 },
  { rotateInt: 1 },
  { translateIntX: 3, translateIntY: -2 },
  warp,
  colours,
  { xflip: 1, ...warp, ...colours },
];
const augmentation: AugmentationParameters = {
  settings: augmentationSettings({ probability: 1 }),
  shape,
  transforms: transforms.map((own) => ({ ...noTransform, ...own })),
};
const ofBank = (from: ImageBank, items: Int32Array): Tensor =>
  from.toValues(from.gather(items)).view([items.length, 3, 32, 32]);

describe("transforms", () => {
  test("of images, and of differences of images, are those of the CPU in float64", () => {
    scope(() => {
      const x = normals([8, 3, 32, 32], 1).clamp(-1, 1);
      const found = applyAugmentation(x.float().to({ device }), augmentation);
      expect(found.device.startsWith(device)).toBe(true);
      expect(maxDeviation(found, applyAugmentation(x, augmentation))).toBeLessThan(2e-5);
      // Whole pixels move as they are.
      const exact = applyAugmentation(x.float(), augmentation).narrow(0, 0, 5);
      expect(found.narrow(0, 0, 5).to({ device: "cpu" }).equal(exact)).toBe(true);
      const differences = normals([8, 4, 3, 32, 32], 2);
      const expected = transformDifferences(differences, augmentation);
      expect(
        maxDeviation(transformDifferences(differences.float().to({ device }), augmentation), expected),
      ).toBeLessThan(5e-5);
    });
  });
});

describe("targets of transformed samples", () => {
  const INDICES = Int32Array.from(SOURCES);

  function augmentedBatch(levels: readonly number[], seed: number): PerturbedBatch {
    const source = applyAugmentation(ofBank(bank, INDICES), augmentation);
    const noise = normals([8, 3, 32, 32], seed, "float32");
    const sigma = Float64Array.from(levels);
    return { indices: INDICES, source, noise, sigma, augmentation };
  }

  const references = (from: ImageBank) => {
    const random = new KeyedRandom(randomKey(1, "references"));
    const plain = drawReferences(from, INDICES, { references: "all" }, random);
    return { plain, warped: drawReferences(from, INDICES, { references: COUNT }, random) };
  };

  test.each([
    ["near-duplicates", SOURCES.map(() => 0.002)],
    ["a mixture of levels", SIGMAS],
    ["grey images", SOURCES.map(() => 1.5)],
  ])("are means over references that share the transform: %s", (_, levels) => {
    scope(() => {
      const batch = augmentedBatch(levels, 3);
      const found = augmentedTarget(stableFieldTarget(), movedThere(batch), references(bankThere)).toFloat64Array();
      const items = Int32Array.from({ length: COUNT }, (_, i) => i);
      const all = ofBank(bank, items).double();
      const noise = batch.noise.toFloat64Array();
      SOURCES.forEach((own, row) => {
        const transformed = transformWith(all, augmentation, row).toFloat64Array();
        const reference = (k: number): Float64Array => transformed.subarray(k * D, (k + 1) * D);
        const x = reference(own).map((value, k) => value + levels[row]! * noise[row * D + k]!);
        const { mean } = posteriorMean(x, Array.from(items, reference), levels[row]!);
        expect(maxDeviation(found.subarray(row * D, (row + 1) * D), mean), `row ${row}`).toBeLessThan(1e-4);
      });
    });
  });

  test.each<[string, Partial<TargetSettings>]>([
    ["consistent", {}],
    ["independent, as published", { referenceAugmentation: "independent" }],
    ["where the posterior holds several", { isNeeded: (_, sigma) => sigma > 0.3 }],
  ])("of a whole step: %s", (_, own) => {
    const settings: TargetSettings = {
      seed: 1,
      target: stableFieldTarget(),
      references: 24,
      warpedReferences: 10,
      augmentation: augmentation.settings,
      ...own,
    };
    scope(() => {
      const batch = augmentedBatch(SIGMAS, 4);
      using here = stepTargets(bank, settings, 0, INDICES);
      using there = stepTargets(bankThere, settings, 0, INDICES);
      const expected = here.targetsOf(batch, 0);
      expect(maxDeviation(there.targetsOf(movedThere(batch), 0), expected)).toBeLessThan(1e-4);
      expect(maxDeviation(expected, batch.source)).toBeGreaterThan(0.1);
    });
  });
});

test("lower bounds of the distances to the nearest items are those of the CPU", () => {
  expect(maxDeviation(nearestDistances(bankThere), nearestDistances(bank))).toBeLessThan(1e-3);
});
