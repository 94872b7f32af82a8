/** Fitting mixtures of Gaussians to data sets: what is recovered, and what does not matter. */

import { linalgInv, memory, scope, type Tensor, tensor } from "@stf/torch";
import { describe, expect, test } from "vitest";
import { fitClassMixtures } from "../src/analytic/class-mixtures.js";
import { contentOrder } from "../src/analytic/content-order.js";
import { fitMixture } from "../src/analytic/fit-mixture.js";
import type { LowRankMixture } from "../src/analytic/low-rank-mixture.js";
import type { Bank } from "../src/data/bank.js";
import { toyBank } from "../src/data/distribution.js";
import { ImageBank } from "../src/data/image-bank.js";
import { ringOfGaussians } from "../src/data/toy.js";
import { VectorBank } from "../src/data/vector-bank.js";
import { blobs, maxDeviation, normals, relativeDeviation, sameBits, tensorsLeft } from "./support.js";

/** Mean and covariance of rows, in float64. */
function momentsOf(rows: Tensor): { mean: Tensor; covariance: Tensor } {
  const mean = rows.mean(0, true);
  const around = rows.sub(mean);
  return { mean, covariance: around.t().mm(around).div(rows.size(0)) };
}

/** S_m of a component, from what is stored. */
function covarianceOf({ parameters }: LowRankMixture, m: number): Tensor {
  const { directions, variances, rest } = parameters;
  const U = directions.select(0, m).double();
  const D = U.size(1);
  const isotropic = tensor(new Float64Array(D).fill(rest.select(0, m).item())).diagEmbed();
  return U.t().mm(variances.select(0, m).diagEmbed()).mm(U).add(isotropic);
}

/** Draws of N(0, A A^T) with A of decreasing columns, `[count, D]`. */
function gaussianDraws(count: number, D: number, seed: number): Tensor {
  return scope(() => {
    const scales = tensor(Float64Array.from({ length: D }, (_, d) => 0.8 ** d));
    return normals([count, D], seed)
      .mul(scales)
      .mm(normals([D, D], seed + 1))
      .add(1);
  });
}

describe("one component", () => {
  test("with all directions it is the Wiener filter of the data", () => {
    scope(() => {
      const rows = gaussianDraws(400, 6, 1);
      const { mean, covariance } = momentsOf(rows);
      const mixture = fitMixture(new VectorBank("draws", rows), 0.5, { components: 1 });
      expect(mixture.components).toBe(1);
      expect(relativeDeviation(covarianceOf(mixture, 0), covariance)).toBeLessThan(1e-5);
      const x = normals([5, 6], 3).mul(4);
      for (const level of [0.5, 3]) {
        const noisy = covariance.add(tensor(new Float64Array(6).fill(level ** 2)).diagEmbed());
        const expected = mean.add(x.sub(mean).mm(linalgInv(noisy)).mm(covariance));
        expect(maxDeviation(mixture.denoise(x, new Float64Array(5).fill(level)), expected)).toBeLessThan(1e-4);
      }
      mixture.dispose();
    });
  });

  test("with a few it has the largest eigenvalues of the covariance, and the mean of the others", () => {
    scope(() => {
      const rows = gaussianDraws(2000, 60, 5);
      const { mean, covariance } = momentsOf(rows);
      const mixture = fitMixture(new VectorBank("draws", rows), 0.1, { components: 1, rank: 8 });
      const { directions, variances, rest, means } = mixture.parameters;
      const eigenvalues = covariance.linalgEigvalsh().flip([0]);
      expect(directions.shape).toEqual([1, 8, 60]);
      expect(relativeDeviation(variances.add(rest), eigenvalues.narrow(0, 0, 8))).toBeLessThan(1e-3);
      const others = eigenvalues.narrow(0, 8, 52).mean().item();
      expect(Math.abs(rest.item() / others - 1)).toBeLessThan(0.01);
      const own = directions.select(0, 0).double();
      expect(maxDeviation(own.mm(own.t()), tensor(new Float64Array(8).fill(1)).diagEmbed())).toBeLessThan(1e-6);
      // Each is an eigenvector, up to the gaps between the eigenvalues.
      const turned = own.mm(covariance).sub(own.mul(variances.t().add(rest)));
      expect(turned.abs().max().item() / eigenvalues.max().item()).toBeLessThan(1e-2);
      expect(maxDeviation(means, mean)).toBeLessThan(1e-5);
      mixture.dispose();
    });
  });
});

/** Four far Gaussians in six dimensions, of different sizes and shapes. */
const sizes = [1200, 800, 400, 130];
const spreads = [0.3, 0.6, 0.2, 0.4];
function clusters(): Tensor {
  return scope(() => {
    const parts = sizes.map((size, k) => {
      const scales = tensor(Float64Array.of(3, 1, 1, 1, 1, 1)).mul(spreads[k]!);
      const centre = tensor(Float64Array.from({ length: 6 }, (_, d) => (d === k ? 8 : 0)));
      return normals([size, 6], k + 1)
        .mul(scales)
        .add(centre)
        .toFloat64Array();
    });
    const all = parts.flatMap((part) => [...part]);
    return tensor(Float64Array.from(all), { shape: [all.length / 6, 6] });
  });
}

describe("several components", () => {
  test("a mixture of separate Gaussians is recovered", () => {
    scope(() => {
      const rows = clusters();
      const bounds: number[] = [];
      const mixture = fitMixture(new VectorBank("clusters", rows), 0.5, {
        components: 4,
        onPass: (bound) => bounds.push(bound),
      });
      const { counts, means } = mixture.parameters;
      const order = [0, 1, 2, 3].sort((a, b) => counts[b]! - counts[a]!);
      let first = 0;
      sizes.forEach((size, k) => {
        const m = order[k]!;
        expect(Math.abs(counts[m]! - size)).toBeLessThan(1e-3);
        const { mean, covariance } = momentsOf(rows.narrow(0, first, size));
        expect(maxDeviation(means.narrow(0, m, 1), mean)).toBeLessThan(1e-4);
        expect(relativeDeviation(covarianceOf(mixture, m), covariance)).toBeLessThan(1e-4);
        first += size;
      });
      expect(bounds.length).toBeGreaterThan(2);
      mixture.dispose();
    });
  });

  test("with all directions no pass lowers the bound, and the bound is below the density of noisy data", () => {
    scope(() => {
      const bank = toyBank(ringOfGaussians({ count: 5, deviation: 0.3 }), 2000, 1);
      const bounds: number[] = [];
      const mixture = fitMixture(bank, 0.3, { components: 5, onPass: (bound) => bounds.push(bound) });
      const gains = bounds.slice(1).map((bound, i) => bound - bounds[i]!);
      expect(Math.min(...gains)).toBeGreaterThan(-1e-5);
      const x = bank.rows.add(normals([2000, 2], 9).mul(0.3));
      const density = mixture.logDensity(x, new Float64Array(2000).fill(0.3)).toFloat64Array();
      const mean = density.reduce((sum, value) => sum + value, 0) / 2000;
      // The gap is the entropy of the component given the image less that given its noisy version.
      expect(mean).toBeGreaterThan(bounds.at(-1)!);
      mixture.dispose();
    });
  });

  test.each([1, 20])("mean and covariance of the mixture are those of the data, at noise %s", (level) => {
    scope(() => {
      const rows = clusters();
      const mixture = fitMixture(new VectorBank("clusters", rows), level, { components: 6 });
      const { mean, covariance } = momentsOf(rows);
      const { counts, means } = mixture.parameters;
      const share = tensor(counts.map((count) => count / rows.size(0)));
      expect(Math.abs(share.sum().item() - 1)).toBeLessThan(1e-9);
      const own = share.unsqueeze(0).mm(means);
      const around = means.sub(own);
      let total = around.t().mul(share).mm(around);
      counts.forEach((_, m) => {
        total = total.add(covarianceOf(mixture, m).mul(share.select(0, m)));
      });
      expect(maxDeviation(own, mean)).toBeLessThan(1e-5);
      expect(relativeDeviation(total, covariance)).toBeLessThan(1e-5);
      mixture.dispose();
    });
  });
});

/** The images of a bank in another order. */
function permuted(bank: ImageBank, order: Int32Array): ImageBank {
  return new ImageBank(bank.name, bank.shape, bank.gather(order));
}

const sameParameters = (a: LowRankMixture, b: LowRankMixture): boolean =>
  (["means", "directions", "variances", "rest"] as const).every((name) =>
    sameBits(a.parameters[name], b.parameters[name]),
  );

describe("images", () => {
  const bank = blobs(1500, 12);
  const options = { components: 4, rank: 12, seed: 3 };

  test("equal seeds give equal fits, in any order of the images; other seeds give others", () => {
    scope(() => {
      const backwards = permuted(
        bank,
        Int32Array.from({ length: 1500 }, (_, i) => (i * 7 + 5) % 1500),
      );
      const [first, again, other] = [
        fitMixture(bank, 0.5, options),
        fitMixture(backwards, 0.5, options),
        fitMixture(bank, 0.5, { ...options, seed: 4 }),
      ];
      expect(sameParameters(first, again)).toBe(true);
      expect(sameParameters(first, other)).toBe(false);
      for (const each of [first, again, other]) each.dispose();
    });
  });

  test("more components predict images that were not fitted better, and the stored size is what is promised", () => {
    scope(() => {
      const [fitted, fresh] = [0, 1].map((part) =>
        permuted(
          bank,
          Int32Array.from({ length: part === 0 ? 1300 : 200 }, (_, i) => part * 1300 + i),
        ),
      ) as [ImageBank, ImageBank];
      const clean = fresh.toValues(fresh.rows);
      const x = clean.add(normals([200, 144], 2, "float32"));
      const errorOf = (components: number): number => {
        const mixture = fitMixture(fitted, 1, { components, rank: 16 });
        const error = mixture.denoise(x, new Float64Array(200).fill(1)).sub(clean).square().mean().item();
        mixture.dispose();
        return error;
      };
      const one = errorOf(1);
      expect(errorOf(8)).toBeLessThan(0.8 * one);
    });
  });

  test("every component stands for at least 100 images, and has a direction for each 4 at most", () => {
    scope(() => {
      for (const seed of [0, 1]) {
        const mixture = fitMixture(bank, 0.2, { components: 14, rank: 40, seed });
        const { counts, variances } = mixture.parameters;
        expect(mixture.components).toBeGreaterThan(3);
        expect(mixture.components).toBeLessThan(15);
        expect(Math.min(...counts)).toBeGreaterThan(100 - 1e-6);
        expect(Math.abs(counts.reduce((sum, count) => sum + count, 0) - 1500)).toBeLessThan(1e-6);
        counts.forEach((count, m) => {
          expect(variances.select(0, m).gt(0).sum().item()).toBeLessThanOrEqual(count / 4);
        });
        mixture.dispose();
      }
    });
  });

  test("a small group far from all others gets no component of its own", () => {
    scope(() => {
      const near = normals([400, 3], 1).mul(0.1);
      const far = normals([40, 3], 2).mul(0.1).add(30);
      const rows = tensor(Float64Array.from([...near.toFloat64Array(), ...far.toFloat64Array()]), { shape: [440, 3] });
      const mixture = fitMixture(new VectorBank("a few far", rows), 0.1, { components: 4 });
      expect(Math.min(...mixture.parameters.counts)).toBeGreaterThan(100 - 1e-6);
      mixture.dispose();
    });
  });
});

describe("classes", () => {
  const plain = blobs(500, 8);
  // The last has too few images of its own, and some have no class.
  const labels = Int32Array.from({ length: 500 }, (_, i) => (i < 50 ? 2 : i < 60 ? -1 : i % 2));
  const bank = new ImageBank(plain.name, plain.shape, plain.pixels, labels);

  test("each of enough images has a mixture of these; the others share that of all", () => {
    scope(() => {
      const options = { components: 2, rank: 8 };
      const byClass = fitClassMixtures(bank, 0.5, options);
      expect([...byClass.classes.keys()]).toEqual([0, 1]);
      const whole = fitMixture(bank, 0.5, options);
      expect(sameParameters(byClass.whole, whole)).toBe(true);
      const members = Int32Array.from(labels.keys()).filter((i) => labels[i] === 1);
      const own = fitMixture(permuted(bank, members), 0.5, { components: 1, rank: 8 });
      expect(sameParameters(byClass.classes.get(1)!, own)).toBe(true);
      for (const each of [byClass, whole, own]) each.dispose();
    });
  });

  test("many classes share the directions", () => {
    scope(() => {
      const many = new ImageBank(bank.name, bank.shape, bank.gather(Int32Array.from({ length: 500 }, (_, i) => i)), {
        labels: Int32Array.from({ length: 500 }, (_, i) => i % 4),
      });
      const byClass = fitClassMixtures(many, 0.5, { components: 2, rank: 8 });
      expect(byClass.classes.size).toBe(4);
      for (const mixture of byClass.classes.values()) expect(mixture.parameters.variances.shape).toEqual([1, 4]);
      expect(byClass.bytes).toBeLessThan(3 * byClass.whole.bytes);
      byClass.dispose();
    });
  });

  test("without labels they are refused", () => {
    const unlabelled: Bank = blobs(200, 8);
    expect(() => fitClassMixtures(unlabelled, 1)).toThrow(/need class labels; blobs has none/);
  });
});

test("images that are all the same are their own denoiser", () => {
  const same = new VectorBank(
    "same",
    scope(() => tensor(new Float64Array(300).fill(0.25), { shape: [150, 2] })),
  );
  scope(() => {
    const mixture = fitMixture(same, 1, { components: 1 });
    expect(
      maxDeviation(mixture.denoise(normals([3, 2], 1), Float64Array.of(1, 2, 3)), new Float64Array(6).fill(0.25)),
    ).toBeLessThan(1e-7);
    mixture.dispose();
  });
  same.dispose();
});

test("the order by content is a permutation that depends on the seed and the images alone", () => {
  const bank = blobs(300, 8);
  const order = contentOrder(bank, 1);
  expect([...order].sort((a, b) => a - b)).toEqual([...order.keys()]);
  expect([...contentOrder(bank, 2)]).not.toEqual([...order]);
  const moved = Int32Array.from({ length: 300 }, (_, i) => (i * 7) % 300);
  expect([...contentOrder(permuted(bank, moved), 1)].map((i) => moved[i])).toEqual([...order]);
});

test("what cannot be fitted is refused in one line, and a fit that is stopped leaves nothing behind", () => {
  const few = blobs(99, 8);
  expect(() => fitMixture(few, 1)).toThrow(/at least 100 images.*blobs has 99; use the exact posterior mean/);
  const bank = blobs(250, 8);
  expect(() => fitMixture(bank, 0)).toThrow(/positive number, found 0/);
  expect(() => fitMixture(bank, 1, { components: 0.5 })).toThrow(/'components'.*found 0.5/);
  expect(() => fitMixture(bank, 1, { rank: 0 })).toThrow(/'rank'.*found 0/);
  const stop = (after: number) => {
    let passes = 0;
    return () => {
      if (++passes === after) throw new Error("stopped");
    };
  };
  for (const after of [1, 3]) {
    const left = tensorsLeft(() => {
      expect(() => fitMixture(bank, 1, { components: 2, onPass: stop(after) })).toThrow("stopped");
      expect(() => fitClassMixtures(bank, 1, { onPass: stop(after) })).toThrow();
    });
    expect(left).toBe(0);
  }
  const before = memory().tensors;
  // Outside all scopes.
  fitMixture(bank, 1, { components: 2 }).dispose();
  expect(memory().tensors).toBe(before);
});
