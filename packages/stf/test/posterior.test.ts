/** Posteriors of any noisy image over a bank, against the definition in float64. */

import { scope, type Tensor, tensor } from "@stf/torch";
import { afterAll, describe, expect, test } from "vitest";
import { toyBank } from "../src/data/distribution.js";
import { twoGaussians } from "../src/data/toy.js";
import { VectorBank } from "../src/data/vector-bank.js";
import { effectiveSampleSize, posterior, posteriorEntropy, posteriorWeight } from "../src/targets/posterior.js";
import { stableFieldTarget } from "../src/targets/stable-field.js";
import { perturbedImages } from "../src/targets/target.js";
import { bankOf, maxDeviation, normals, perturbedBatch, randomBytes, tensorsLeft, unit } from "./support.js";

const SIGMAS = [0.002, 0.01, 0.1, 0.5, 2, 10, 80];
const shape = { channels: 3, height: 16, width: 16 };
const D = 768;

/** Ten different images, three copies of each with one value changed by one level, one with every value changed, the image again. */
const different = Array.from({ length: 10 }, (_, i) => randomBytes(D, i).map((byte) => Math.max(byte, 1)));
const images = different.flatMap((image) => [
  image,
  ...[5, 300, 700].map((position) => image.with(position, image[position]! - 1)),
  image.map((byte) => byte - 1),
  image,
]);
const N = images.length;
const bank = bankOf(images, shape);
const values = images.map((image) => Float64Array.from(image, unit));
afterAll(() => bank.dispose());

/** ln w and sum w r from the definition, in float64. */
function expected(x: Float64Array, sigma: number, items: readonly number[]) {
  const logits = items.map((item) => {
    const distance = x.reduce((sum, value, p) => sum + (value - values[item]![p]!) ** 2, 0);
    return -distance / (2 * sigma ** 2);
  });
  const highest = Math.max(...logits);
  const total = highest + Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit - highest), 0));
  const logWeights = logits.map((logit) => logit - total);
  const mean = x.map((_, p) => items.reduce((sum, item, k) => sum + Math.exp(logWeights[k]!) * values[item]![p]!, 0));
  return { logWeights, mean, rounding: -4e-15 * Math.min(...logits) };
}

/** Compares a posterior with the definition; returns the most references that share one. */
function compare(x: Tensor, sigma: Float64Array, items?: readonly number[]): number {
  return scope(() => {
    const references = items && Int32Array.from(items);
    const { mean, logWeights } = posterior(bank, x, sigma, { ...(references && { references }), chunk: 17 });
    const list = items ?? Array.from({ length: N }, (_, item) => item);
    const [points, means, logs] = [x, mean, logWeights].map((result) => result.toFloat64Array());
    sigma.forEach((level, row) => {
      const at = (all: Float64Array, width: number): Float64Array => all.subarray(row * width, (row + 1) * width);
      const wanted = expected(at(points!, D), level, list);
      expect(maxDeviation(at(means!, D), wanted.mean), `mean at sigma ${level}`).toBeLessThan(2e-6);
      at(logs!, list.length).forEach((found, k) => {
        const deviation = Math.abs(found - wanted.logWeights[k]!);
        expect(deviation, `reference ${k} at sigma ${level}`).toBeLessThan(1e-7 + wanted.rounding);
      });
    });
    return Math.max(...effectiveSampleSize({ logWeights }));
  });
}

describe("a posterior agrees with the definition", () => {
  const sigma = Float64Array.from(SIGMAS);
  const column = (numbers: Float64Array): Tensor => tensor(numbers, { shape: [numbers.length, 1, 1, 1] });
  const sources = bank.toValues(bank.gather(Int32Array.of(0, 7, 14, 21, 28, 35, 42))).view([7, 3, 16, 16]);
  afterAll(() => sources.dispose());

  test.each<[string, () => Tensor]>([
    ["noisy images", () => sources.add(normals([7, 3, 16, 16], 1).mul(column(sigma))).float()],
    ["the same in float64", () => sources.double().add(normals([7, 3, 16, 16], 2).mul(column(sigma)))],
    ["images of the bank", () => sources],
    ["images in another order in memory", () => sources.to({ memoryFormat: "channelsLast" })],
    ["images between two references", () => sources.add(sources.flip([0])).mul(0.5)],
    ["noise that is far from every reference", () => normals([7, 3, 16, 16], 3, "float32").mul(5)],
  ])("%s", (_, make) => {
    scope(() => {
      const x = make();
      expect(compare(x, sigma)).toBeGreaterThan(1.9);
      compare(x, sigma, [59, 3, 14, 15, 9, 26, 53, 58, 20, 6, 8, 42, 0, 1, 31, 28, 34, 11, 2]);
      expect(compare(x, sigma, [12])).toBe(1);
    });
  });
});

test.each([1e-4, 1e-5])("what all references are away in common cancels: near-duplicates at sigma %s", (sigma) => {
  scope(() => {
    // A third of the way from an image to one with a single other byte. The rows of images are whole numbers.
    const [near, far] = bank.gather(Int32Array.of(48, 49)).double().unbind(0) as [Tensor, Tensor];
    const x = near.mul(2).add(far).div(3).div(127.5).sub(1).view([1, 3, 16, 16]);
    const found = posterior(bank, x, Float64Array.of(sigma)).logWeights.toFloat64Array();
    // (||x - b||² - ||x - a||²) / 2 sigma² with distances of one and two thirds of a grey level.
    const gap = (1 / 127.5 / sigma) ** 2 / 6;
    expect(Math.abs(found[48]! - found[49]! - gap)).toBeLessThan(1e-5);
  });
});

test("for samples of a known source it is the stable target of the whole bank", () => {
  const sources = [3, 0, 17, 1, 30, 2, 44];
  for (const shift of [0, 1, 2]) {
    scope(() => {
      const levels = SIGMAS.map((_, row) => SIGMAS[(row + 2 * shift) % SIGMAS.length]!);
      const batch = perturbedBatch(bank, sources, levels, shift);
      const target = stableFieldTarget().of(batch, { bank, pool: "all" });
      // At the least noise float32's rounding of x itself shows: half a unit in the last place on every pixel.
      const { mean } = posterior(bank, perturbedImages(batch), batch.sigma);
      expect(maxDeviation(mean, target)).toBeLessThan(1e-5);
    });
  }
});

test("the chunk does not change it, and copies of an image weigh the same", () => {
  scope(() => {
    const batch = perturbedBatch(bank, [0, 6, 12], [0.01, 0.5, 5], 4);
    const x = perturbedImages(batch);
    const whole = posterior(bank, x, batch.sigma);
    for (const chunk of [1, 7, N]) {
      const { mean, logWeights } = posterior(bank, x, batch.sigma, { chunk });
      expect(maxDeviation(logWeights, whole.logWeights)).toBeLessThan(1e-9);
      expect(maxDeviation(mean, whole.mean)).toBeLessThan(2e-6);
    }
    const places = (place: number): Float64Array => posteriorWeight(whole, Int32Array.of(place, 6 + place, 12 + place));
    expect(maxDeviation(places(0), places(5))).toBeLessThan(1e-12);
    expect(Math.min(...places(0))).toBeGreaterThan(0.01);
  });
});

test("vectors give what images give", () => {
  const vectors = new VectorBank(
    "vectors",
    tensor(Float64Array.from(values.flatMap((row) => [...row])), { shape: [N, D] }),
    {
      shape,
    },
  );
  scope(() => {
    const batch = perturbedBatch(bank, [0, 6, 12, 18], [0.002, 0.01, 0.5, 5], 5);
    const x = perturbedImages(batch);
    const [found, wanted] = [vectors, bank].map((each) => posterior(each, x, batch.sigma));
    expect(maxDeviation(found!.logWeights, wanted!.logWeights)).toBeLessThan(1e-6);
    expect(maxDeviation(found!.mean, wanted!.mean)).toBeLessThan(2e-6);
  });
  vectors.dispose();
});

describe("what a posterior says", () => {
  const logWeights = tensor(
    [
      [0.25, 0.25, 0.25, 0.25],
      [0.5, 0.5, Number.MIN_VALUE, Number.MIN_VALUE],
      [0.7, 0.1, 0.1, 0.1],
    ].map((row) => row.map(Math.log)),
    { dtype: "float64" },
  );
  afterAll(() => logWeights.dispose());

  test("how many references share it", () => {
    expect(maxDeviation(effectiveSampleSize({ logWeights }), [4, 2, 1 / 0.52])).toBeLessThan(1e-12);
  });

  test("its entropy in nats", () => {
    const third = -0.7 * Math.log(0.7) - 0.3 * Math.log(0.1);
    expect(maxDeviation(posteriorEntropy({ logWeights }), [Math.log(4), Math.log(2), third])).toBeLessThan(1e-12);
  });

  test("the weight of one reference for each image", () => {
    expect(maxDeviation(posteriorWeight({ logWeights }, Int32Array.of(3, 0, 0)), [0.25, 0.5, 0.7])).toBeLessThan(1e-12);
  });

  test("over draws of a mixture it tends to the mixture's own", () => {
    const pair = twoGaussians({ dimension: 2, deviation: 0.3 });
    const many = toyBank(pair, 40_000, 3);
    scope(() => {
      const x = normals([16, 2, 1, 1], 6);
      const sigma = new Float64Array(16).fill(0.5);
      const { mean, logWeights: weights } = posterior(many, x, sigma);
      const exact = pair.denoise!(x.view([16, 2]), sigma);
      // The spread of the posterior is below 0.6, so its mean is off by less than that over the root of its size.
      const error = 0.6 / Math.sqrt(Math.min(...effectiveSampleSize({ logWeights: weights })));
      expect(error).toBeLessThan(0.1);
      expect(maxDeviation(mean.flatten(), exact.flatten())).toBeLessThan(4 * error);
    });
    many.dispose();
  });
});

test("what does not fit is refused in one line, and nothing is left behind", () => {
  scope(() => {
    const x = normals([2, 3, 16, 16], 1);
    expect(() => posterior(bank, x, Float64Array.of(1))).toThrow(/noisy images/);
    expect(() => posterior(bank, x, Float64Array.of(1, 0))).toThrow(/positive.*found 0/);
    expect(() => posterior(bank, x, Float64Array.of(1, Number.NaN))).toThrow(/positive.*found NaN/);
    expect(() => posterior(bank, x, Float64Array.of(1, 1), { references: new Int32Array() })).toThrow(/found none/);
    expect(() => posterior(bank, x, Float64Array.of(1, 1), { references: Int32Array.of(N) })).toThrow(/out of range/);
    expect(tensorsLeft(() => void posterior(bank, x, Float64Array.of(1, 2), { chunk: 7 }))).toBe(0);
  });
});
