/**
 * The regression bias of targets: its estimate against the bias itself, by enumeration of every source, every set of references and
 * every flip.
 */

import { afterAll, describe, expect, test } from "vitest";
import { type BiasVariant, biasVariants } from "../src/analysis/bias-variants.js";
import { mixtureBias } from "../src/analysis/mixture-bias.js";
import { NoisySamples } from "../src/analysis/noisy-samples.js";
import { biasVariantsOf, regressionBias } from "../src/analysis/regression-bias.js";
import { ImageBank } from "../src/data/image-bank.js";
import { gaussianMixture } from "../src/data/mixture.js";
import { twoGaussians } from "../src/data/toy.js";
import { bankOf, maxDeviation, meanAndError, posteriorMean, tensorsLeft, unit } from "./support.js";

const images = [
  [20, 40],
  [28, 44],
  [60, 200],
  [90, 120],
  [128, 90],
  [150, 160],
  [210, 70],
  [240, 230],
];
const N = images.length;
const clean = images.map((image) => image.map(unit));
const labels = Int32Array.from([0, 1, 0, 1, 1, 0, 0, 1]);
const bank = ImageBank.fromBytes("eight", { channels: 1, height: 1, width: 2 }, Uint8Array.from(images.flat()), {
  labels,
});
afterAll(() => bank.dispose());

/** All subsets of a size. */
function subsets(items: readonly number[], size: number): number[][] {
  if (size === 0) return [[]];
  return items.flatMap((item, i) => subsets(items.slice(i + 1), size - 1).map((rest) => [item, ...rest]));
}

interface Case {
  readonly variant: BiasVariant;
  readonly references: number;
  readonly byClass?: boolean;
}

/** E[T | x] - D*(x) for the noisy image x of an item, by enumeration. */
function exactBias({ variant, references, byClass = false }: Case, item: number, x: number[], sigma: number): number[] {
  const { copies, anyClass, mirrored } = biasVariants[variant];
  const everything = Array.from({ length: N }, (_, i) => i);
  const support = everything.filter((i) => !byClass || labels[i] === labels[item]);
  const pool = anyClass ? everything : support;
  const others = references - Math.min(copies, 1);
  const sides = mirrored ? Array.from({ length: 2 ** others }, (_, bits) => bits) : [0];
  const truth = posteriorMean(
    x,
    support.map((i) => clean[i]!),
    sigma,
  );
  const bias = truth.mean.map((value) => -value);
  support.forEach((source, k) => {
    const sets = subsets(
      pool.filter((i) => i !== source),
      others,
    );
    for (const set of sets) {
      for (const bits of sides) {
        const drawn = set.map((i, j) => ((bits >> j) & 1 ? [...clean[i]!].reverse() : clean[i]!));
        const own = Array.from({ length: copies }, () => clean[source]!);
        const target = posteriorMean(x, [...drawn, ...own], sigma).mean;
        const share = truth.weights[k]! / sets.length / sides.length;
        for (let p = 0; p < 2; p++) bias[p] = bias[p]! + share * target[p]!;
      }
    }
  });
  return [...bias];
}

const square = (values: readonly number[]): number => values.reduce((sum, value) => sum + value ** 2, 0);

/** Noisy image number `sample` of a seed. */
function noisy(seed: number, sample: number, sigma: number): { item: number; x: number[] } {
  const samples = new NoisySamples(bank, seed);
  const item = samples.sourceOf(sample);
  using noise = samples.noiseOf(sample);
  return { item, x: Array.from(noise.toFloat64Array(), (eps, p) => clean[item]![p]! + sigma * eps) };
}

const SIGMA = [0.15, 0.4, 1];

const cases: Case[] = [
  { variant: "stable", references: 1 },
  { variant: "stable", references: 2 },
  { variant: "stable", references: 4 },
  { variant: "stable", references: 3, byClass: true },
  { variant: "sourceExcluded", references: 4 },
  { variant: "sourceTwice", references: 3 },
  { variant: "mixedClasses", references: 4, byClass: true },
  { variant: "independentFlips", references: 3 },
  { variant: "sourceExcluded", references: 2, byClass: true },
  { variant: "independentFlips", references: 2, byClass: true },
];

describe.each(cases)("$variant of $references, by class: $byClass", (each) => {
  const { variant, references, byClass = false } = each;

  test("the estimate scatters around the bias itself, at every noisy image", () => {
    const differences = SIGMA.map(() => [] as number[]);
    for (let seed = 0; seed < 80; seed++) {
      const [report] = regressionBias(bank, {
        variants: [variant],
        sigma: SIGMA,
        references,
        samples: 1,
        draws: 8,
        seed,
        sameClass: byClass,
      });
      SIGMA.forEach((sigma, i) => {
        const { item, x } = noisy(seed, 0, sigma);
        const exact = square(exactBias(each, item, x, sigma)) / 2;
        differences[i]!.push(report!.levels[i]!.squaredBias.value - exact);
      });
    }
    for (const values of differences) {
      const { mean, error } = meanAndError(values);
      expect(Math.abs(mean)).toBeLessThan(4 * error);
      // Narrow enough to tell it from nothing where there is anything.
      expect(error).toBeLessThan(0.01);
    }
  });

  test("by enumeration it is 0 for the stable target, and for no other", () => {
    const largest = Math.max(
      ...Array.from({ length: 20 }, (_, sample) => {
        const sigma = SIGMA[sample % 3]!;
        const { item, x } = noisy(7, sample, sigma);
        return Math.sqrt(square(exactBias(each, item, x, sigma)));
      }),
    );
    if (variant === "stable") expect(largest).toBeLessThan(1e-12);
    else expect(largest).toBeGreaterThan(0.01);
  });
});

test("without a bias the estimates are as many standard errors off as chance has it", () => {
  const scores = Array.from({ length: 70 }, (_, seed) => {
    const [report] = regressionBias(bank, {
      variants: ["stable"],
      sigma: [0.5],
      references: 3,
      samples: 40,
      draws: 3,
      seed,
    });
    const { value, error } = report!.levels[0]!.squaredBias;
    return value / error!;
  });
  const { mean, error } = meanAndError(scores);
  // The mean of skewed values and its own standard error are correlated, which shifts z below 0.
  expect(mean).toBeGreaterThan(-0.2 - 4 * error);
  expect(mean).toBeLessThan(4 * error);
  const spread = Math.sqrt(meanAndError(scores.map((score) => score ** 2)).mean);
  expect(spread).toBeGreaterThan(0.75);
  expect(spread).toBeLessThan(1.3);
});

describe("where the bias is known", () => {
  test("all references of all classes give the denoiser of all classes", () => {
    const [report] = regressionBias(bank, {
      variants: ["mixedClasses"],
      sigma: [0.6],
      references: "all",
      samples: 40,
      draws: 2,
      seed: 3,
      sameClass: true,
    });
    const exact = Array.from({ length: 40 }, (_, sample) => {
      const { item, x } = noisy(3, sample, 0.6);
      const own = clean.filter((_, i) => labels[i] === labels[item]);
      const [all, same] = [clean, own].map((candidates) => posteriorMean(x, candidates, 0.6).mean);
      return square(Array.from(all!, (value, p) => value - same![p]!)) / 2;
    });
    const { mean, error } = meanAndError(exact);
    const { squaredBias, squaredError } = report!.levels[0]!;
    expect(squaredBias.value).toBeCloseTo(mean, 6);
    expect(squaredBias.error).toBeCloseTo(error, 6);
    expect(squaredError.value).toBeCloseTo(mean, 6);
  });

  test("the stable target of all references is the denoiser itself", () => {
    for (const sameClass of [false, true]) {
      const [report] = regressionBias(bank, {
        variants: ["stable"],
        sigma: [0.05, 0.6, 5],
        references: "all",
        samples: 10,
        draws: 2,
        seed: 3,
        sameClass,
      });
      for (const { squaredBias, squaredError } of report!.levels) {
        expect(Math.abs(squaredBias.value)).toBeLessThan(1e-12);
        expect(squaredError.value).toBeLessThan(1e-12);
      }
    }
  });

  test("of one reference that is not the source: all that could be explained", () => {
    // A Gaussian of variance v: D* = v / (v + sigma²) x, and a reference that knows nothing of x has the mean 0.
    const one = gaussianMixture("one", [{ weight: 1, mean: [0, 0, 0], deviation: 0.7 }]);
    const sigma = [0.3, 0.7, 2];
    const [report] = mixtureBias(one, {
      variants: ["sourceExcluded"],
      sigma,
      references: 1,
      samples: 1500,
      draws: 8,
      seed: 2,
    });
    report!.levels.forEach(({ squaredBias, squaredError, explainable }, i) => {
      const v = 0.49;
      const known = v ** 2 / (v + sigma[i]! ** 2);
      for (const { value, error } of [squaredBias, explainable]) {
        expect(Math.abs(value - known)).toBeLessThan(4 * error!);
        expect(error).toBeLessThan(0.05);
      }
      expect(Math.abs(squaredError.value - known - v)).toBeLessThan(4 * squaredError.error!);
    });
  });
});

describe("of a mixture in closed form", () => {
  const options = { sigma: [0.5, 1], samples: 1500, draws: 16, seed: 4 };

  test.each([1, 3])("the stable target of %s is unbiased, and one without its source is not", (references) => {
    const reports = mixtureBias(twoGaussians(), { ...options, references, variants: ["stable", "sourceExcluded"] });
    const [stable, excluded] = reports.map(({ levels }) =>
      levels.map(({ squaredBias: { value, error } }) => value / (error as number)),
    );
    expect(Math.max(...stable!.map(Math.abs))).toBeLessThan(4);
    expect(Math.min(...excluded!)).toBeGreaterThan(8);
  });

  test("with the source twice it is that by quadrature", () => {
    // Of one point mass among two, and one other: T is y unless the other is the other point.
    const pair = gaussianMixture(
      "pair",
      [1, -1].map((side) => ({ weight: 1, mean: [side], deviation: 0 })),
    );
    const sigma = 0.8;
    const target = (x: number): number => {
      const [up, down] = [1, -1].map((side) => Math.exp((side * x) / sigma ** 2)) as [number, number];
      const mixed = (2 * up - down) / (2 * up + down);
      const other = (up - 2 * down) / (up + 2 * down);
      return (0.5 * (up * (1 + mixed) + down * (other - 1))) / (up + down);
    };
    let known = 0;
    for (let z = -9; z <= 9; z += 0.01) {
      const x = 1 + sigma * z;
      const density = Math.exp(-0.5 * z ** 2) / Math.sqrt(2 * Math.PI);
      known += 0.01 * density * (target(x) - Math.tanh(x / sigma ** 2)) ** 2;
    }
    const [report] = mixtureBias(pair, {
      ...options,
      sigma: [sigma],
      samples: 900,
      draws: 200,
      references: 2,
      variants: ["sourceTwice"],
    });
    const { value, error } = report!.levels[0]!.squaredBias;
    expect(Math.abs(value - known)).toBeLessThan(4 * error!);
    expect(known).toBeGreaterThan(6 * error!);
  });
});

test("which targets there are depends on the data", () => {
  expect(biasVariantsOf(bank)).toEqual(["stable", "sourceExcluded", "independentFlips"]);
  expect(biasVariantsOf(bank, { sameClass: true })).toContain("mixedClasses");
  const column = bankOf([[1], [2]], { channels: 1, height: 1, width: 1 });
  expect(biasVariantsOf(column)).toEqual(["stable", "sourceExcluded"]);
  const options = { sigma: [1], references: 2, samples: 2, draws: 2, seed: 0 };
  expect(() => regressionBias(column, { ...options, variants: ["mixedClasses"] })).toThrow(/"mixedClasses"/);
  expect(() => regressionBias(column, { ...options, variants: ["stable"], sameClass: true })).toThrow(/labels/);
  expect(() => regressionBias(column, { ...options, variants: ["stable"], draws: 1 })).toThrow(/2 draws/);
  expect(() => mixtureBias(twoGaussians(), { ...options, variants: ["stable"], references: 0 })).toThrow(/reference/);
  column.dispose();
});

test("a data set of one image, and a class of one, have no bias and no variance", () => {
  const one = ImageBank.fromBytes("one", { channels: 1, height: 1, width: 2 }, Uint8Array.of(3, 200, 9, 9, 8, 8), {
    labels: Int32Array.of(0, 1, 1),
  });
  for (const [data, sameClass] of [
    [one, true],
    [bankOf([[3, 200]], { channels: 1, height: 1, width: 2 }), false],
  ] as const) {
    const [report] = regressionBias(data, {
      variants: ["sourceExcluded"],
      sigma: [0.5],
      references: 4,
      samples: 1,
      draws: 2,
      seed: 0,
      sameClass,
    });
    if (data !== one) expect(report!.levels[0]!.squaredError.value).toBe(0);
    expect(report!.levels[0]!.squaredBias.value).not.toBeNaN();
    data.dispose();
  }
});

test("it depends on the seed alone, tells how far it is, and leaves nothing behind", () => {
  const options = { sigma: [0.4], references: 3, samples: 5, draws: 3, seed: 9 } as const;
  const [alone] = regressionBias(bank, { ...options, variants: ["sourceExcluded"] });
  const done: number[] = [];
  let together: ReturnType<typeof regressionBias> = [];
  const left = tensorsLeft(() => {
    together = regressionBias(bank, {
      ...options,
      variants: ["stable", "sourceExcluded"],
      onSample: (sample) => void done.push(sample),
    });
  });
  expect(left).toBe(0);
  expect(together[1]).toEqual(alone);
  expect(done).toEqual([1, 2, 3, 4, 5]);
  const other = regressionBias(bank, { ...options, variants: ["sourceExcluded"], seed: 10 });
  expect(maxDeviation([other[0]!.levels[0]!.squaredBias.value], [alone!.levels[0]!.squaredBias.value])).not.toBe(0);
});
