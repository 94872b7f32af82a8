/** Means, covariances and the Fréchet distance, against closed forms, NumPy, SciPy and published numbers. */

import { eye, Generator, randperm, scope, type Tensor, tensor } from "@stf/torch";
import { describe, expect, test } from "vitest";
import { FeatureAccumulator, type FeatureStatistics, featureStatistics } from "../src/metrics/feature-statistics.js";
import { frechetDistance } from "../src/metrics/frechet.js";
import { features, isIncreasing, rotation, values } from "./metrics-support.js";
import { golden, goldenNumbers, maxDeviation, normals, relativeDeviation, tensorsLeft } from "./support.js";

const flat = (rows: readonly number[][]): number[] => rows.flat();

describe("statistics of features", () => {
  test("agree with NumPy, also when the mean is a million times the spread", () => {
    scope(() => {
      const near = featureStatistics(features(60, 8, 1));
      expect(near.count).toBe(60);
      expect(relativeDeviation(near.mean, values.frechet.mean)).toBeLessThan(1e-14);
      expect(relativeDeviation(near.covariance, flat(values.frechet.covariance))).toBeLessThan(1e-13);
      const far = featureStatistics(features(60, 8, 1, 1e6));
      expect(relativeDeviation(far.covariance, flat(values.frechet.far_covariance))).toBeLessThan(1e-12);
    });
  });

  test.each([1, 7, 59])("do not depend on batches of %i", (size) => {
    scope(() => {
      const all = features(60, 8, 1, 1000);
      const whole = featureStatistics(all);
      using accumulator = new FeatureAccumulator(8);
      for (let first = 0; first < 60; first += size) accumulator.add(all.narrow(0, first, Math.min(size, 60 - first)));
      const { count, mean, covariance } = accumulator.statistics();
      expect(count).toBe(60);
      expect(relativeDeviation(mean, whole.mean)).toBeLessThan(1e-14);
      expect(relativeDeviation(covariance, whole.covariance)).toBeLessThan(1e-12);
    });
  });

  test("of parts combine to those of the whole, whatever the parts", () => {
    scope(() => {
      const all = features(60, 8, 1, 1000);
      const whole = featureStatistics(all);
      using total = new FeatureAccumulator(8);
      for (const [first, length] of [
        [0, 1],
        [1, 40],
        [41, 19],
      ] as const) {
        using part = new FeatureAccumulator(8);
        part.add(all.narrow(0, first, length));
        total.merge(part.sums());
      }
      const { count, mean, covariance } = total.statistics();
      expect(count).toBe(60);
      expect(relativeDeviation(mean, whole.mean)).toBeLessThan(1e-14);
      expect(relativeDeviation(covariance, whole.covariance)).toBeLessThan(1e-12);
    });
  });

  test("need two images, finite numbers and the right number of features", () => {
    scope(() => {
      using accumulator = new FeatureAccumulator(3);
      expect(() => accumulator.statistics()).toThrow(/at least 2 images, found none/);
      accumulator.add(features(1, 3, 1));
      expect(() => accumulator.statistics()).toThrow(/at least 2 images, found 1/);
      expect(() => accumulator.add(features(1, 4, 1))).toThrow(/\[images, 3\], found \[1, 4\]/);
      accumulator.add(tensor([[1, Number.NaN, 2]]));
      expect(() => accumulator.statistics()).toThrow(/not all finite/);
    });
  });

  test("leave nothing behind", () => {
    const left = tensorsLeft(() => {
      using accumulator = new FeatureAccumulator(4);
      accumulator.add(features(9, 4, 1));
      const { mean, covariance } = accumulator.statistics();
      frechetDistance({ count: 9, mean, covariance }, featureStatistics(features(9, 4, 2)));
    });
    expect(left).toBe(0);
  });
});

/** Statistics with given moments. */
function statistics(mean: readonly number[], covariance: Tensor, count?: number): FeatureStatistics {
  return { count, mean: tensor(Float64Array.from(mean)), covariance };
}

const diagonal = (variances: readonly number[]): Tensor => tensor(Float64Array.from(variances)).diagEmbed();

describe("the Fréchet distance", () => {
  test("in one dimension is (m - n)² + (s - t)²", () => {
    scope(() => {
      const found = frechetDistance(statistics([3], diagonal([4])), statistics([-1], diagonal([25])));
      expect(found).toBeCloseTo(16 + 9, 12);
    });
  });

  test("of commuting covariances is that of their eigenvalues", () => {
    scope(() => {
      const [first, second] = [
        [4, 1, 0.25, 0],
        [1, 9, 0.25, 2],
      ] as const;
      const expected = first.reduce<number>(
        (sum, variance, i) => sum + (Math.sqrt(variance) - Math.sqrt(second[i]!)) ** 2,
        0,
      );
      for (const basis of [eye(4, { dtype: "float64" }), rotation(4, 5)]) {
        const turned = (variances: readonly number[]): Tensor => basis.mm(diagonal(variances)).mm(basis.t());
        const found = frechetDistance(
          statistics([0, 0, 0, 0], turned(first)),
          statistics([0, 0, 0, 1], turned(second)),
        );
        // An eigenvalue of 0 is known up to rounding, and its root only up to the root of that.
        expect(Math.abs(found - expected - 1)).toBeLessThan(1e-7);
      }
    });
  });

  test("agrees with SciPy", () => {
    scope(() => {
      const [a, b] = [features(60, 8, 1), features(45, 8, 2, 0.25)];
      const other = featureStatistics(b);
      const relative = (found: number, wanted: number): number => Math.abs(found / wanted - 1);
      expect(relative(frechetDistance(featureStatistics(a), other), values.frechet.distance)).toBeLessThan(1e-12);
      expect(relative(frechetDistance(featureStatistics(a.mul(3)), other), values.frechet.scaled)).toBeLessThan(1e-12);
    });
  });

  const file = golden("frechet");
  test.each([
    ["unequal", 1e-12],
    ["rank_deficient", 1e-7],
    ["rank_deficient_one_side", 1e-7],
  ])("agrees with the published numbers: %s", (name, tolerance) => {
    scope(() => {
      const [first, second] = ["1", "2"].map((side) => {
        const found = featureStatistics(file.tensors.get(`${name}.features${side}`)!);
        expect(relativeDeviation(found.mean, goldenNumbers(file, `${name}.mu${side}`))).toBeLessThan(1e-12);
        expect(relativeDeviation(found.covariance, goldenNumbers(file, `${name}.sigma${side}`))).toBeLessThan(1e-12);
        return found;
      }) as [FeatureStatistics, FeatureStatistics];
      const expected = goldenNumbers(file, `${name}.distance_symmetric`)[0]!;
      expect(Math.abs(frechetDistance(first, second) / expected - 1)).toBeLessThan(tolerance);
      expect(frechetDistance(second, first)).toBeCloseTo(frechetDistance(first, second), 10);
    });
  });

  test("of few images is exact when their number is known", () => {
    scope(() => {
      // Two images each span one direction: the covariances are v v^T / 2 and w w^T / 2, and the trace is |v.w| / 2.
      const [v, w] = [normals([12], 1), normals([12], 2)];
      const pair = (along: Tensor): FeatureStatistics =>
        featureStatistics(along.unsqueeze(0).mul(tensor(Float64Array.of(-0.5, 0.5), { shape: [2, 1] })));
      const expected = (v.dot(v).item() + w.dot(w).item()) / 2 - Math.abs(v.dot(w).item());
      expect(frechetDistance(pair(v), pair(w))).toBeCloseTo(expected, 13);
    });
  });

  test("is zero for the same images in another order, and never negative", () => {
    scope(() => {
      using generator = new Generator(3);
      for (const count of [5, 60]) {
        const images = features(count, 8, 4, 10);
        const shuffled = images.indexSelect(0, randperm(count, { generator }));
        const [a, b] = [featureStatistics(images), featureStatistics(shuffled)];
        const found = frechetDistance(a, b);
        expect(found).toBeGreaterThanOrEqual(0);
        expect(found).toBeLessThan(1e-12);
        expect(frechetDistance({ ...a, count: undefined }, { ...b, count: undefined })).toBeLessThan(1e-6);
      }
    });
  });

  test("does not change when both sets are rotated and shifted, and grows with noise", () => {
    scope(() => {
      const [a, b] = [features(60, 8, 1), features(45, 8, 2, 0.25)];
      const turn = (images: Tensor): FeatureStatistics => featureStatistics(images.add(5).mm(rotation(8, 6)));
      const distance = frechetDistance(featureStatistics(a), featureStatistics(b));
      expect(Math.abs(frechetDistance(turn(a), turn(b)) / distance - 1)).toBeLessThan(1e-11);
      const noise = normals([60, 8], 7);
      const noisy = [0, 0.1, 0.2, 0.5, 1].map((level) =>
        frechetDistance(featureStatistics(a.add(noise.mul(level))), featureStatistics(a)),
      );
      expect(isIncreasing(noisy)).toBe(true);
    });
  });

  test("of different features is an error that names both numbers", () => {
    scope(() => {
      const of = (size: number): FeatureStatistics => featureStatistics(features(5, size, 1));
      expect(() => frechetDistance(of(4), of(6))).toThrow(/4 features cannot be compared with statistics of 6/);
    });
  });
});

test("float32 features lose nothing in the sums", () => {
  scope(() => {
    const images = features(60, 8, 1, 1000).float();
    const exact = featureStatistics(images.double());
    expect(maxDeviation(featureStatistics(images).covariance, exact.covariance)).toBe(0);
  });
});
