/** Targets of augmented samples: references share the sample's transform, and the target stays unbiased. */

import { noGrad, scope, setThreads, type Tensor } from "@stf/torch";
import { afterAll, describe, expect, test } from "vitest";
import { applyAugmentation, isFlipOnly, transformWith } from "../src/augmentation/apply.js";
import {
  type AugmentationParameters,
  drawAugmentation,
  noTransform,
  type Transform,
} from "../src/augmentation/parameters.js";
import { augmentationSettings } from "../src/augmentation/settings.js";
import { ImageBank, normalize } from "../src/data/image-bank.js";
import { nearestDistances } from "../src/data/neighbours.js";
import { DataOrder } from "../src/data/order.js";
import { KeyedRandom, randomKey } from "../src/random/keyed.js";
import { augmentedTarget } from "../src/targets/augmented.js";
import { drawReferences } from "../src/targets/references.js";
import { stableFieldTarget } from "../src/targets/stable-field.js";
import { type PerturbedBatch, perturbedImages } from "../src/targets/target.js";
import { posteriorWindow, sigmaRange } from "../src/targets/window.js";
import { stepTargets, type TargetSettings } from "../src/training/step-targets.js";
import { maxDeviation, meanAndError, normals, posteriorMean, randomBytes, sameBits, uniforms } from "./support.js";

const shape = { channels: 3, height: 8, width: 8 };
const D = 192;
/** Images close to each other, so that posteriors hold several at moderate noise. */
const bytes = Uint8Array.from({ length: 40 * D }, (_, i) => 120 + (randomBytes(1, i)[0]! >> 4));
const bank = ImageBank.fromBytes("test", shape, bytes);
afterAll(() => bank.dispose());

const warp: Partial<Transform> = { rotateFrac: 0.4, scale: 0.7, translateFracX: -0.5 };
const transforms: Partial<Transform>[] = [
  {},
  { xflip: 1 },
  { yflip: 1 },
  { xflip: 1, yflip: 1 },
  { xflip: 1, ...warp },
];
const INDICES = Int32Array.of(3, 11, 25, 7, 30);
const SIGMA = Float64Array.of(0.9, 0.5, 1.4, 0.7, 1.1);

function augmentedBatch(seed: number, sigma = SIGMA): PerturbedBatch & { augmentation: AugmentationParameters } {
  return scope(() => {
    const augmentation = {
      settings: augmentationSettings({ probability: 1 }),
      shape,
      transforms: transforms.map((values) => ({ ...noTransform, ...values })),
    };
    const images = normalize(bank.gather(INDICES)).view([5, 3, 8, 8]);
    const source = applyAugmentation(images, augmentation);
    const noise = normals([5, 3, 8, 8], seed, "float32");
    return { indices: INDICES, source, noise, sigma, augmentation };
  });
}

/** The posterior mean over given items that all went through the transform of `row`, in float64 from the definition. */
function expected(batch: ReturnType<typeof augmentedBatch>, row: number, items: Int32Array): Float64Array {
  return scope(() => {
    const images = normalize(bank.gather(items)).view([items.length, 3, 8, 8]);
    const references = transformWith(images, batch.augmentation, row).toFloat64Array();
    const x = perturbedImages(batch).select(0, row).toFloat64Array();
    const rows = Array.from(items, (_, k) => references.subarray(k * D, (k + 1) * D));
    return posteriorMean(x, rows, batch.sigma[row]!).mean;
  });
}

describe("references go through the transform of their sample", () => {
  const everything = Int32Array.from({ length: 40 }, (_, i) => i);
  const random = () => new KeyedRandom(randomKey(1, "references"));
  const references = {
    plain: drawReferences(bank, INDICES, { references: "all" }, random()),
    warped: drawReferences(bank, INDICES, { references: 40 }, random()),
  };

  test("flips by flipping the noise, warps one by one", () => {
    const batch = augmentedBatch(1);
    scope(() => {
      const found = augmentedTarget(stableFieldTarget(), batch, references);
      for (let row = 0; row < 5; row++) {
        const wanted = expected(batch, row, everything);
        // It is not the source that is returned, nor another transform's mean.
        expect(maxDeviation(batch.source.select(0, row), wanted)).toBeGreaterThan(0.01);
        expect(maxDeviation(found.select(0, row), wanted), `row ${row}`).toBeLessThan(5e-6);
      }
    });
  });

  test("at little noise a flipped sample is its flipped image to the last bit, a warped one its source", () => {
    const batch = augmentedBatch(2, new Float64Array(5).fill(1e-4));
    scope(() => {
      const found = augmentedTarget(stableFieldTarget(), batch, references);
      expect(maxDeviation(found, batch.source)).toBeLessThan(3e-7);
      expect(sameBits(found.select(0, 4), batch.source.select(0, 4))).toBe(true);
    });
  });

  test.each([0.002, 0.005, 0.02])("near-duplicates one grey level apart are told apart at sigma = %s", (level) => {
    const original = bytes.subarray(0, D);
    const count = 24;
    // The first is the source, the others differ from it in one or two values by one grey level.
    const near = Uint8Array.from({ length: count * D }, (_, i) => original[i % D]!);
    for (let k = 1; k < count; k++) near[k * D + 7 * k]! += 1;
    for (let k = 12; k < count; k++) near[k * D + 5 * k]! -= 1;
    const duplicates = ImageBank.fromBytes("near", shape, near);
    const every = Int32Array.from({ length: count }, (_, k) => k);
    const colours: Partial<Transform> = { ...warp, hue: 1, contrast: 1, brightness: -1, saturation: 0.5, rotateInt: 1 };
    const own = [warp, colours, { translateIntX: 1 }, { translateFracX: 0.3 }, { xflip: 1, aniso: 1 }];
    const samples = 20;
    scope(() => {
      const augmentation = {
        settings: augmentationSettings({ probability: 1 }),
        shape,
        transforms: Array.from({ length: samples }, (_, i) => ({ ...noTransform, ...own[i % own.length] })),
      };
      const indices = new Int32Array(samples);
      const images = normalize(duplicates.gather(indices)).view([samples, 3, 8, 8]);
      const source = applyAugmentation(images, augmentation);
      const noise = normals([samples, 3, 8, 8], 8, "float32");
      const sigma = new Float64Array(samples).fill(level);
      const batch = { indices, source, noise, sigma, augmentation };
      const set = { bank: duplicates, pool: every };
      const found = augmentedTarget(stableFieldTarget(), batch, { plain: () => set, warped: () => set });
      const exact = duplicates.gather(every).double().div(127.5).sub(1).view([count, 3, 8, 8]);
      let moved = 0;
      for (let row = 0; row < samples; row++) {
        const values = transformWith(exact, augmentation, row).toFloat64Array();
        const references = Array.from({ length: count }, (_, k) => values.subarray(k * D, (k + 1) * D));
        const eps = noise.select(0, row).toFloat64Array();
        const x = references[0]!.map((value, i) => value + level * eps[i]!);
        const wanted = posteriorMean(x, references, level).mean;
        moved = Math.max(moved, maxDeviation(wanted, references[0]!));
        // The source itself is rounded to float32.
        expect(maxDeviation(found.select(0, row), wanted), `row ${row}`).toBeLessThan(2e-6);
      }
      expect(moved).toBeGreaterThan(1e-3);
    });
    duplicates.dispose();
  });

  test("are the same to the last bit with any number of threads", () => {
    const batch = augmentedBatch(4);
    const target = (count: number): Tensor => {
      setThreads(count);
      return augmentedTarget(stableFieldTarget(), batch, references);
    };
    scope(() => {
      const [one, three] = [target(1), target(3)];
      setThreads(1);
      expect(sameBits(one.select(0, 4), three.select(0, 4))).toBe(true);
    });
  });

  test("where a target is not needed, it is the source", () => {
    const batch = augmentedBatch(3);
    scope(() => {
      const found = augmentedTarget(stableFieldTarget(), batch, references, sigmaRange(0.8, 1.2));
      const whole = augmentedTarget(stableFieldTarget(), batch, references);
      [0, 4].forEach((row) => void expect(maxDeviation(found.select(0, row), whole.select(0, row))).toBeLessThan(1e-6));
      [1, 2, 3].forEach((row) => void expect(sameBits(found.select(0, row), batch.source.select(0, row))).toBe(true));
    });
  });
});

describe("distances to the nearest image", () => {
  test("are lower bounds, and exact for small images", () => {
    const exact = Array.from({ length: 40 }, (_, i) => {
      let least = Number.POSITIVE_INFINITY;
      for (let j = 0; j < 40; j++) {
        if (j === i) continue;
        let sum = 0;
        for (let p = 0; p < D; p++) sum += ((bytes[i * D + p]! - bytes[j * D + p]!) / 127.5) ** 2;
        least = Math.min(least, Math.sqrt(sum));
      }
      return least;
    });
    nearestDistances(bank).forEach((bound, i) => {
      expect(bound).toBeLessThanOrEqual(exact[i]! * (1 + 1e-6));
      expect(bound).toBeGreaterThan(0.97 * exact[i]!);
    });

    const large = { channels: 3, height: 30, width: 30 };
    const size = 2700;
    const smooth = uniforms(5);
    const pixels = new Uint8Array(20 * size);
    for (let i = 0; i < 20; i++) {
      const [a, b, c] = [smooth(), smooth(), smooth()];
      for (let p = 0; p < size; p++)
        pixels[i * size + p] = 128 + 100 * Math.sin(a * (p % 30) * 0.3 + b * p * 0.001 + 6 * c);
    }
    const coarse = ImageBank.fromBytes("large", large, pixels);
    const bounds = nearestDistances(coarse);
    for (let i = 0; i < 20; i++) {
      let least = Number.POSITIVE_INFINITY;
      for (let j = 0; j < 20; j++) {
        if (j === i) continue;
        let sum = 0;
        for (let p = 0; p < size; p++) sum += ((pixels[i * size + p]! - pixels[j * size + p]!) / 127.5) ** 2;
        least = Math.min(least, Math.sqrt(sum));
      }
      expect(bounds[i]).toBeLessThanOrEqual(least * (1 + 1e-6));
      expect(bounds[i]).toBeGreaterThan(0.3 * least);
    }
    coarse.dispose();
  });

  test("an image that occurs twice has distance 0, and always needs a target", () => {
    const twice = ImageBank.fromBytes(
      "twice",
      shape,
      Uint8Array.from([...bytes.subarray(0, 2 * D), ...bytes.subarray(0, D)]),
    );
    const distances = nearestDistances(twice);
    expect(distances[0]).toBe(0);
    expect(distances[2]).toBe(0);
    expect(distances[1]).toBeGreaterThan(0.1);
    const isNeeded = posteriorWindow(distances);
    expect([0, 1, 2].map((item) => isNeeded(item, 1e-6, false))).toEqual([true, false, true]);
    twice.dispose();
  });

  test("outside the window no target differs from its source by more than 1e-4; inside some do", () => {
    const isNeeded = posteriorWindow(nearestDistances(bank));
    const items = Int32Array.from({ length: 40 }, (_, i) => i);
    const references = drawReferences(bank, items, { references: "all" }, new KeyedRandom(1n));
    let outside = 0;
    let changed = 0;
    for (let draw = 0; draw < 40; draw++) {
      scope(() => {
        const sigma = Float64Array.from(items, (_, i) => 0.01 * 1.1 ** ((i + 3 * draw) % 45));
        const source = normalize(bank.gather(items)).view([40, 3, 8, 8]);
        const noise = normals([40, 3, 8, 8], draw, "float32");
        const found = stableFieldTarget().of({ indices: items, source, noise, sigma }, references(0));
        const change = found.sub(source).abs().amax([1, 2, 3]).toFloat64Array();
        items.forEach((item) => {
          if (isNeeded(item, sigma[item]!, false)) changed += change[item]! > 1e-4 ? 1 : 0;
          else {
            outside++;
            expect(change[item]).toBeLessThan(1e-4);
          }
        });
      });
    }
    expect(outside).toBeGreaterThan(300);
    expect(changed).toBeGreaterThan(100);
  });
});

describe("the deviation from the posterior mean averages to zero", () => {
  /** Four grey pixels in a square: quarter turns and shifts are more than flips, and move pixels only. */
  const small = { channels: 1, height: 2, width: 2 };
  const points = [
    [20, 40, 60, 90],
    [28, 200, 44, 120],
    [60, 120, 200, 30],
    [90, 128, 120, 240],
    [120, 90, 128, 10],
    [150, 160, 20, 60],
    [152, 158, 28, 66],
    [240, 70, 230, 200],
  ];
  const N = points.length;
  const cloud = ImageBank.fromBytes("cloud", small, Uint8Array.from(points.flat()));
  afterAll(() => cloud.dispose());
  const augmentation = augmentationSettings({ probability: 1, multipliers: { xflip: 1, yflip: 1, rotateInt: 0.5 } });
  const seed = 9;

  /** The largest |mean| / standard error of (target - D*) f over pixels and test functions f of x, sigma and the label. */
  function largestBias(more: Partial<TargetSettings>, batch: number, batches: number): number {
    const settings: TargetSettings = { seed, target: stableFieldTarget(), references: 4, augmentation, ...more };
    const order = new DataOrder(N, seed);
    const sums = Array.from({ length: 4 * 9 }, () => new Float64Array(batches));
    for (let step = 0; step < batches; step++) {
      const first = step * batch;
      const indices = order.range(first, batch);
      const samples = Array.from(indices, (_, i) => first + i);
      scope(() => {
        using targets = stepTargets(cloud, settings, first, indices);
        const parameters = drawn(samples);
        const source = applyAugmentation(normalize(cloud.gather(indices)).view([batch, 1, 2, 2]), parameters);
        const noise = normals([batch, 1, 2, 2], 5000 + step, "float32");
        const sigma = Float64Array.from(indices, (_, i) => 0.3 * 2 ** ((step + i) % 3));
        const part = { indices, source, noise, sigma, augmentation: parameters };
        const found = targets.targetsOf(part, 0).toFloat64Array();
        const x = perturbedImages(part).toFloat64Array();
        for (let row = 0; row < batch; row++) {
          const exact = exactMean(x.subarray(4 * row, 4 * row + 4), parameters, row, sigma[row]!);
          const { xflip, rotateInt } = parameters.transforms[row]!;
          const label = [xflip, rotateInt === 1 ? 1 : 0, xflip * x[4 * row]!];
          const probes = [1, sigma[row]!, x[4 * row]!, x[4 * row + 1]!, exact[0]!, exact[3]!, ...label];
          probes.forEach((probe, f) => {
            for (let p = 0; p < 4; p++) {
              const sum = sums[4 * f + p]!;
              sum[step]! += (probe * (found[4 * row + p]! - exact[p]!)) / batch;
            }
          });
        }
      });
    }
    return Math.max(
      ...sums.map((values) => {
        const { mean, error } = meanAndError(values);
        return Math.abs(mean) / error;
      }),
    );
  }

  const drawn = (samples: readonly number[]): AugmentationParameters =>
    drawAugmentation(augmentation, small, seed, samples);

  /** The mean over the whole cloud, all of it through the transform that the network is told of. */
  function exactMean(x: Float64Array, parameters: AugmentationParameters, row: number, sigma: number): Float64Array {
    const all = Int32Array.from({ length: N }, (_, i) => i);
    const images: Tensor = normalize(cloud.gather(all)).view([N, 1, 2, 2]);
    const moved = transformWith(images, parameters, row).toFloat64Array();
    return posteriorMean(
      x,
      Array.from({ length: N }, (_, k) => moved.subarray(4 * k, 4 * k + 4)),
      sigma,
    ).mean;
  }

  test.each([
    { references: 4, warpedReferences: 3, batch: 3 },
    { references: 2, warpedReferences: 2, batch: 5 },
    { references: "all" as const, warpedReferences: 4, batch: 2 },
  ])("$references references, $warpedReferences of them for warped samples, B = $batch", ({ batch, ...more }) => {
    expect(noGrad(() => largestBias(more, batch, 1500))).toBeLessThan(4);
  });

  test("with references transformed independently, as published, it does not", () => {
    expect(noGrad(() => largestBias({ referenceAugmentation: "independent" }, 3, 1500))).toBeGreaterThan(5);
  });

  test("both kinds of samples occur", () => {
    const parameters = drawn(Array.from({ length: 200 }, (_, i) => i));
    const flips = parameters.transforms.filter((_, row) => isFlipOnly(parameters, row)).length;
    expect(flips).toBeGreaterThan(50);
    expect(flips).toBeLessThan(180);
  });
});
