/** Metrics of feature matrices and class scores, against NumPy and SciPy, closed forms and properties. */

import { cat, Generator, randperm, scope, type Tensor, tensor, zeros } from "@stf/torch";
import { describe, expect, test } from "vitest";
import { inceptionScore } from "../src/metrics/inception-score.js";
import { kernelDistance } from "../src/metrics/kernel-distance.js";
import { precisionRecall } from "../src/metrics/precision-recall.js";
import { slicedWasserstein, slicedWassersteinFloor } from "../src/metrics/sliced-wasserstein.js";
import { features, isIncreasing, rotation, values } from "./metrics-support.js";
import { meanAndError, normals, tensorsLeft } from "./support.js";

const relative = (found: number, wanted: number): number => Math.abs(found / wanted - 1);

function shuffled(rows: Tensor, seed: number): Tensor {
  using generator = new Generator(seed);
  return rows.indexSelect(0, randperm(rows.size(0), { generator }));
}

/** The metric of images with more and more noise, from the images themselves. */
function byNoise(metric: (a: Tensor, b: Tensor) => number): number[] {
  return scope(() => {
    const [images, other, noise] = [1, 2, 3].map((seed) => normals([400, 6], seed)) as [Tensor, Tensor, Tensor];
    return [0.3, 0.6, 1, 1.5, 3].map((level) => metric(images, other.add(noise.mul(level))));
  });
}

describe("the kernel distance", () => {
  test("in one block agrees with brute force, whichever set is first", () => {
    scope(() => {
      const [a, b] = [features(30, 8, 1), features(24, 8, 2, 0.25)];
      const found = kernelDistance(a, b, { blocks: 1 });
      expect(relative(found.value, values.kernel.distance)).toBeLessThan(1e-10);
      expect(found.error).toBeUndefined();
      expect(relative(kernelDistance(b, a, { blocks: 1 }).value, found.value)).toBeLessThan(1e-10);
      expect(relative(kernelDistance(shuffled(a, 1), b, { blocks: 1 }).value, found.value)).toBeLessThan(1e-10);
      expect(relative(kernelDistance(a.float(), b.float(), { blocks: 1 }).value, found.value)).toBeLessThan(1e-5);
    });
  });

  test("does not change when both sets are rotated", () => {
    scope(() => {
      const [a, b, turn] = [features(30, 8, 1), features(24, 8, 2, 0.25), rotation(8, 1)];
      const found = kernelDistance(a.mm(turn), b.mm(turn), { blocks: 3 });
      expect(relative(found.value, kernelDistance(a, b, { blocks: 3 }).value)).toBeLessThan(1e-9);
    });
  });

  test("of equal distributions is 0 on average, and its error is right", () => {
    const draws = Array.from({ length: 200 }, (_, i) =>
      scope(() => kernelDistance(normals([60, 5], 2 * i), normals([90, 5], 2 * i + 1), { blocks: 10, seed: i })),
    );
    const { mean, error } = meanAndError(draws.map(({ value }) => value));
    expect(Math.abs(mean)).toBeLessThan(4 * error);
    const spread = error * Math.sqrt(draws.length);
    const claimed = Math.sqrt(meanAndError(draws.map(({ error }) => error! ** 2)).mean);
    expect(Math.abs(claimed / spread - 1)).toBeLessThan(0.25);
  });

  test("in blocks has the expectation of that in one block, and uses all images", () => {
    scope(() => {
      const [a, b] = [normals([503, 5], 1), normals([711, 5], 2).add(0.3)];
      const whole = kernelDistance(a, b, { blocks: 1 }).value;
      const parts = kernelDistance(a, b);
      expect(Math.abs(parts.value - whole)).toBeLessThan(4 * parts.error!);
      expect(parts.value).toBeGreaterThan(5 * parts.error!);
      const outlier = cat([a, zeros([1, 5], { dtype: "float64" }).add(50)]);
      expect(Math.abs(kernelDistance(outlier, b).value)).toBeGreaterThan(10 * parts.value);
    });
  });

  test("from a far larger set, which is taken in parts, has the same expectation", () => {
    scope(() => {
      const [a, b] = [normals([40, 3], 1), normals([2501, 3], 2)];
      const mean = (x: Tensor, y: Tensor): Tensor => x.mm(y.t()).div(3).add(1).pow(3);
      const within = (x: Tensor): number => {
        const [values, n] = [mean(x, x), x.size(0)];
        return values.sum().sub(values.trace()).item() / (n * (n - 1));
      };
      const rows = shuffled(b, 0);
      const [found, exact] = [
        kernelDistance(a, rows, { blocks: 1 }).value,
        within(a) + within(b) - 2 * mean(a, b).mean().item(),
      ];
      // Pairs of images in different parts are left out; the mean of k over 2501 images is known to about a hundredth.
      expect(found).not.toBe(exact);
      expect(Math.abs(found - exact)).toBeLessThan(5e-3);
    });
  });

  test("grows with noise", () => {
    expect(isIncreasing(byNoise((a, b) => kernelDistance(a, b).value))).toBe(true);
  });

  test("needs as many features, and two images in each block", () => {
    scope(() => {
      expect(() => kernelDistance(features(9, 3, 1), features(9, 4, 1))).toThrow(/3 features .* with 4 features/);
      expect(() => kernelDistance(features(9, 3, 1), features(9, 3, 1), { blocks: 5 })).toThrow(/10 images .*found 9/);
      expect(() => kernelDistance(features(1, 3, 1), features(9, 3, 1))).toThrow(/at least 2 images/);
    });
  });
});

describe("the Inception Score", () => {
  test("agrees with NumPy, whole and in parts", () => {
    scope(() => {
      const logits = features(40, 5, 3).mul(8);
      expect(relative(inceptionScore(logits).value, values.score.whole)).toBeLessThan(1e-12);
      const parts = inceptionScore(logits, { splits: 4 });
      expect(relative(parts.value, values.score.mean)).toBeLessThan(1e-12);
      expect(relative(parts.error!, values.score.error)).toBeLessThan(1e-12);
    });
  });

  test("is the number of classes when each is certain and all occur, and 1 when all images look alike", () => {
    scope(() => {
      const certain = tensor([0, 1, 2, 3, 4, 0, 1, 2, 3, 4], { dtype: "int64" }).oneHot(5).double();
      expect(inceptionScore(certain.mul(1e4)).value).toBeCloseTo(5, 12);
      expect(inceptionScore(certain.mul(Number.POSITIVE_INFINITY).nanToNum(0)).value).toBeCloseTo(5, 12);
      expect(inceptionScore(zeros([10, 5])).value).toBeCloseTo(1, 12);
    });
  });

  test("has the error of repeated draws", () => {
    const scores = Array.from({ length: 200 }, (_, seed) =>
      scope(() => inceptionScore(normals([150, 4], seed).mul(2))),
    );
    const { error } = meanAndError(scores.map(({ value }) => value));
    const claimed = meanAndError(scores.map(({ error }) => error!)).mean;
    expect(Math.abs(claimed / (error * Math.sqrt(scores.length)) - 1)).toBeLessThan(0.25);
  });

  test("refuses too few images and scores that are not numbers", () => {
    scope(() => {
      expect(() => inceptionScore(zeros([3, 5]), { splits: 10 })).toThrow(/at least 10 images, found 3/);
      expect(() => inceptionScore(zeros([3, 5]).add(Number.NaN))).toThrow(/not all numbers/);
    });
  });
});

describe("precision and recall", () => {
  test("agree with SciPy, also far from the origin in float32", () => {
    scope(() => {
      const [a, b] = [features(90, 4, 1), features(70, 4, 2).mul(1.2).sub(0.1)];
      const far = (rows: Tensor): Tensor => rows.mul(1024).round().add(1_000_000).float();
      for (const [reference, samples] of [
        [a, b],
        [a.float(), b.float()],
        [shuffled(a, 1), shuffled(b, 2)],
      ] as const) {
        const { precision, recall } = precisionRecall(reference, samples);
        expect(precision.value).toBeCloseTo(values.neighbours.precision, 12);
        expect(recall.value).toBeCloseTo(values.neighbours.recall, 12);
      }
      const near = precisionRecall(a.mul(1024).round(), b.mul(1024).round());
      expect(precisionRecall(far(a), far(b))).toEqual(near);
    });
  });

  test("are 1 for the same set, and 0 for sets far apart, with an error that is not 0", () => {
    scope(() => {
      const a = normals([300, 6], 1, "float32");
      const same = precisionRecall(a, shuffled(a, 1));
      expect([same.precision.value, same.recall.value]).toEqual([1, 1]);
      const apart = precisionRecall(a, a.add(100));
      expect([apart.precision.value, apart.recall.value]).toEqual([0, 0]);
      expect(apart.precision.error).toBeGreaterThan(0.002);
    });
  });

  test("tell missing parts from bad samples", () => {
    scope(() => {
      const reference = normals([600, 3], 1);
      const narrow = precisionRecall(reference, normals([600, 3], 2).mul(0.3));
      expect(narrow.precision.value).toBeGreaterThan(0.95);
      expect(narrow.recall.value).toBeLessThan(0.4);
      const wide = precisionRecall(reference, normals([600, 3], 3).mul(3));
      expect(wide.precision.value).toBeLessThan(0.4);
      expect(wide.recall.value).toBeGreaterThan(0.9);
    });
  });

  test("do not depend on the division into blocks", () => {
    scope(() => {
      // More rows than fit in a block, as pairs: each has its twin at distance 0.1, all others at 1 or more.
      const places = tensor(
        Float64Array.from({ length: 4400 }, (_, i) => i % 2200),
        { shape: [4400, 1] },
      );
      const twins = cat([places, zeros([4400, 1], { dtype: "float64" })], 1);
      twins.narrow(0, 2200, 2200).select(1, 1).fill_(0.1);
      const probe = cat([places.narrow(0, 0, 2200).add(0.09), zeros([2200, 1], { dtype: "float64" })], 1);
      const far = cat([places.narrow(0, 0, 2200).add(0.2), zeros([2200, 1], { dtype: "float64" })], 1);
      expect(precisionRecall(twins, probe, { neighbours: 1 }).precision.value).toBe(1);
      expect(precisionRecall(twins, far, { neighbours: 1 }).precision.value).toBe(0);
    });
  });

  test("need more images than neighbours, and report what is done", () => {
    scope(() => {
      const calls: number[][] = [];
      const a = features(5, 3, 1);
      precisionRecall(a, a, { onProgress: (...call) => calls.push(call) });
      expect(calls).toEqual([1, 2, 3].map((done) => [done, 3]));
      expect(() => precisionRecall(features(3, 3, 1), a)).toThrow(/at least 4 images .* found 3/);
    });
  });
});

describe("the sliced Wasserstein distance", () => {
  const [seed, directions] = [3, 50];

  test.each(["equal", "unequal"] as const)("of %s numbers of images agrees with NumPy", (name) => {
    scope(() => {
      const [a, b] = [features(12, 6, 1), features(30, 6, 2, 0.25).narrow(0, 0, name === "equal" ? 12 : 30)];
      const wanted = values.sliced[name];
      for (const [x, y] of [
        [a, b],
        [b, a],
        [shuffled(a, 1), shuffled(b, 2)],
      ] as const) {
        const found = slicedWasserstein(x, y, { directions, seed });
        expect(relative(found.value, wanted.value)).toBeLessThan(1e-12);
        expect(relative(found.error!, wanted.error)).toBeLessThan(1e-10);
      }
      const far = slicedWasserstein(a.add(4096).float(), b.add(4096).float(), { directions, seed });
      expect(relative(far.value, wanted.value)).toBeLessThan(2e-3);
    });
  });

  test("is 0 for the same images, and the squared length of a shift", () => {
    scope(() => {
      const a = normals([100, 6], 1);
      expect(slicedWasserstein(a, shuffled(a, 1)).value).toBeLessThan(1e-25);
      expect(slicedWasserstein(a, cat([a, a, a])).value).toBeLessThan(1e-25);
      const shift = tensor(Float64Array.of(3, 0, 0, 4, 0, 0));
      const { value, error } = slicedWasserstein(a.add(shift), a, { directions: 4000 });
      expect(Math.abs(value - 25)).toBeLessThan(4 * error!);
      // d v² |shift|² with v uniform on the sphere: the variance of d v_1² is 2 (d - 1) / (d + 2).
      expect(relative(error!, 25 * Math.sqrt((2 * 5) / 8 / 4000))).toBeLessThan(0.1);
    });
  });

  test("grows with noise", () => {
    expect(isIncreasing(byNoise((a, b) => slicedWasserstein(a, b).value))).toBe(true);
  });

  test.each([
    [250, 3000],
    [1500, 3000],
    [3000, 3000],
  ])("of %i perfect samples from %i images is the floor", (samples, count) => {
    const repeats = 5;
    const [floors, found] = [slicedWassersteinFloor, undefined].map((floor) =>
      Array.from({ length: repeats }, (_, i) =>
        scope(() => {
          const reference = normals([count, 4], 1 + i);
          const options = { directions: 100, seed: i };
          if (floor) return floor(reference, samples, options).value;
          return slicedWasserstein(normals([samples, 4], 101 + i), reference, options).value;
        }),
      ),
    ) as [number[], number[]];
    const [expected, measured] = [meanAndError(floors), meanAndError(found)];
    expect(Math.abs(expected.mean - measured.mean)).toBeLessThan(4 * Math.hypot(expected.error, measured.error));
  });

  test("needs directions and as many features", () => {
    scope(() => {
      const a = features(5, 3, 1);
      expect(() => slicedWasserstein(a, a, { directions: 1 })).toThrow(/at least 2 directions/);
      expect(() => slicedWasserstein(a, features(5, 4, 1))).toThrow(/3 features .* with 4 features/);
    });
  });
});

test.each([
  ["kernel distance", kernelDistance],
  ["precision and recall", precisionRecall],
  ["sliced Wasserstein distance", slicedWasserstein],
])("features that are not finite are refused: %s", (_, metric) => {
  scope(() => {
    const a = features(9, 3, 1);
    const b = a.clone();
    b.select(0, 8).select(0, 2).fill_(Number.POSITIVE_INFINITY);
    expect(() => metric(a, b)).toThrow(/not all finite/);
  });
});

test("no metric leaves tensors behind", () => {
  const left = tensorsLeft(() => {
    const [a, b] = [features(20, 4, 1), features(25, 4, 2)];
    kernelDistance(a, b);
    inceptionScore(a);
    precisionRecall(a, b);
    slicedWasserstein(a, b, { directions: 5 });
    slicedWassersteinFloor(a, 5, { directions: 5 });
  });
  expect(left).toBe(0);
});
