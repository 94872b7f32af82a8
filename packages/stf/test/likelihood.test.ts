/** Log-densities along the probability flow, against densities that are known. */

import { rand, scope, type Tensor, tensor } from "@stf/torch";
import { describe, expect, test } from "vitest";
import { gaussianMixture } from "../src/data/mixture.js";
import { edmProcess, type Process, veProcess, vpProcess } from "../src/processes/process.js";
import { bitsPerDimension, dequantize, type LikelihoodOptions, logDensity } from "../src/sampling/log-density.js";
import { type Denoise, factorOf, forEachImage } from "../src/sampling/sampler.js";
import { maxDeviation, meanAndError, normals, tensorsLeft } from "./support.js";

const components = [
  { weight: 0.35, mean: [-1.2, 0.6], deviation: 0.25 },
  { weight: 0.65, mean: [0.9, -0.4], deviation: 0.4 },
];
const mixture = gaussianMixture("mixture", components);
const denoise: Denoise = (x, sigma) =>
  scope(() => {
    const levels = forEachImage(sigma, x.size(0));
    return mixture.denoise!(x.flatten(1), levels).view(x.shape);
  });

/** ln p(x_t) of the mixture, from its definition. */
function trueLogDensity(point: readonly number[], process: Process, t: number): number {
  const [s, sigma] = [process.scale(t), process.sigma(t)];
  const density = components.reduce((sum, { weight, mean, deviation }) => {
    const variance = s ** 2 * (deviation ** 2 + sigma ** 2);
    const square = point.reduce((total, value, i) => total + (value - s * mean[i]!) ** 2, 0);
    return sum + (weight * Math.exp(-square / (2 * variance))) / (2 * Math.PI * variance);
  }, 0);
  return Math.log(density);
}

const points = [-1.2, 0.6, -0.9, 0.5, 0.9, -0.4, 0.2, -0.1, 1.5, -1, -0.3, 0.1];
const images = (): Tensor => tensor(points, { shape: [6, 2, 1, 1], dtype: "float64" });
/** Over both sign vectors, up to a common sign, the estimates of the divergence have the divergence as their mean. */
const allSigns = (): Tensor[] =>
  [1, -1].map((sign) => tensor([1, sign], { shape: [1, 2, 1, 1], dtype: "float64" }).repeat([6, 1, 1, 1]));

const exact: LikelihoodOptions = { rtol: 1e-9, atol: 1e-9 };

test.each([
  // At these ends the law of the flow is the prior to about a thousandth.
  ["edm", edmProcess, { first: 0.002, last: 3000 }],
  ["ve", veProcess({ sigmaMin: 0.01, sigmaMax: 3000 }), { first: 1e-5, last: 1 }],
  ["vp", vpProcess({ betaMax: 40 }), { first: 1e-5, last: 1 }],
] as const)("the density of a mixture of Gaussians, %s", (_, process, ends) => {
  scope(() => {
    const found = logDensity(denoise, images(), allSigns(), { process, ...ends, ...exact });
    const values = found.logDensity.mean([1]).toFloat64Array();
    const wanted = Array.from({ length: 6 }, (_, i) =>
      trueLogDensity(points.slice(2 * i, 2 * i + 2), process, ends.first),
    );
    expect(maxDeviation(values, wanted)).toBeLessThan(2e-3);
    expect(found.latents.shape).toEqual([6, 2, 1, 1]);
    expect(found.evaluations).toBeGreaterThan(50);
  });
});

test("the density of Gaussian data, of which the latents are known too", () => {
  const [variance, first, last] = [0.3, 0.01, 50];
  scope(() => {
    const linear: Denoise = (x, sigma) => x.mul(factorOf((level) => variance / (variance + level ** 2), sigma, x));
    const x = normals([5, 3, 2, 2], 4).mul(0.6);
    const probe = normals([5, 3, 2, 2], 5).sign();
    const found = logDensity(linear, x, [probe], { first, last, ...exact });
    const growth = Math.sqrt((variance + last ** 2) / (variance + first ** 2));
    expect(maxDeviation(found.latents, x.mul(growth))).toBeLessThan(1e-5);
    // Every probe of signs gives the divergence of a multiple of the identity exactly.
    const squares = x.square().sum([1, 2, 3]).toFloat64Array();
    const total = variance + first ** 2;
    const wanted = squares.map((square) => -square / (2 * total) - 6 * Math.log(2 * Math.PI * total));
    // The prior leaves the variance of the data out, against noise of variance 2500.
    expect(maxDeviation(found.logDensity.view([5]), wanted)).toBeLessThan(12 * (variance / last ** 2));
    const priorDeviation = Math.sqrt(variance + last ** 2);
    const whole = logDensity(linear, x, [probe], { first, last, priorDeviation, ...exact });
    expect(maxDeviation(whole.logDensity.view([5]), wanted)).toBeLessThan(1e-5);
  });
});

test.each(["row", "batch"] as const)(
  "steps by %s: an image depends on the others only if it shares them",
  (control) => {
    scope(() => {
      const all = logDensity(denoise, images(), allSigns(), { control, rtol: 1e-4 }).logDensity;
      const two = logDensity(
        denoise,
        images().narrow(0, 0, 2).contiguous(),
        allSigns().map((probe) => probe.narrow(0, 0, 2).contiguous()),
        { control, rtol: 1e-4 },
      ).logDensity;
      const difference = maxDeviation(all.narrow(0, 0, 2).contiguous(), two);
      if (control === "row") expect(difference).toBeLessThan(1e-12);
      else expect(difference).toBeGreaterThan(1e-9);
    });
  },
);

describe.each(["signs", "normal"] as const)("random probes, %s", (law) => {
  test("give the density on average, within their own error bars", () => {
    const count = 120;
    scope(() => {
      const x = images();
      const probes = Array.from({ length: count }, (_, i) => {
        const z = normals([6, 2, 1, 1], 100 + i);
        return law === "signs" ? z.sign() : z;
      });
      const found = logDensity(denoise, x, probes, { last: 3000 }).logDensity;
      const wanted = logDensity(denoise, x, allSigns(), { last: 3000 }).logDensity.mean([1]).toFloat64Array();
      for (let i = 0; i < 6; i++) {
        const { mean, error } = meanAndError(found.select(0, i).contiguous().toFloat64Array());
        expect(error).toBeGreaterThan(0);
        expect(Math.abs(mean - wanted[i]!), `image ${i}: ${mean}, ${wanted[i]}`).toBeLessThan(4.5 * error + 1e-3);
      }
    });
  });
});

test("leaves no tensors behind, and tells how far it is", () => {
  const progress: number[] = [];
  const left = tensorsLeft(() => {
    logDensity(denoise, images(), allSigns(), { onStep: (share) => void progress.push(share) });
  });
  expect(left).toBe(0);
  expect(progress.at(-1)).toBe(1);
  progress.slice(1).forEach((share, i) => void expect(share).toBeGreaterThanOrEqual(progress[i]!));
});

describe("bits per dimension", () => {
  test("of bytes that are uniform are 8, and of certain ones 0", () => {
    const dimension = 12;
    // All values of [-1, 1] alike: density 1/2 per dimension. One grey level, 1/128 wide: density 128.
    expect(bitsPerDimension(dimension * Math.log(1 / 2), dimension)).toBeCloseTo(8, 12);
    expect(bitsPerDimension(dimension * Math.log(128), dimension)).toBeCloseTo(0, 12);
    // On [0, 1] a grey level is 1/256 wide.
    expect(bitsPerDimension(dimension * Math.log(256), dimension, 8)).toBeCloseTo(0, 12);
  });

  test("are taken of bytes that noise spreads over their grey level", () => {
    scope(() => {
      const bytes = tensor(Uint8Array.from({ length: 256 }, (_, i) => i));
      const low = dequantize(bytes, rand([256], { dtype: "float64" }).mul(0)).toFloat64Array();
      low.forEach((value, i) => void expect(value).toBeCloseTo(i / 128 - 1, 12));
      const spread = dequantize(bytes, rand([256], { dtype: "float64" })).toFloat64Array();
      spread.forEach((value, i) => {
        expect(value).toBeGreaterThanOrEqual(low[i]!);
        expect(value).toBeLessThan(low[i]! + 1 / 128);
      });
      expect(spread[255]).toBeLessThan(1);
    });
  });
});
