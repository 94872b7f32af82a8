/** Samplers and likelihoods on the device that STF_TEST_DEVICE names, the CPU by default, against float64 on the CPU. */

import { type Device, noGrad, scope, type Tensor } from "@stf/torch";
import { afterAll, expect, test } from "vitest";
import { buildDenoiser, type NetworkConfig } from "../src/networks/build.js";
import type { Denoiser } from "../src/networks/denoiser.js";
import { veProcess, vpProcess } from "../src/processes/process.js";
import { dpmSolver, sdeDpmSolver } from "../src/sampling/dpm-solver.js";
import { euler } from "../src/sampling/euler.js";
import { denoiseWith, generateImages, type Method, methodOf } from "../src/sampling/generate.js";
import { heun } from "../src/sampling/heun.js";
import { knownPixels } from "../src/sampling/known-part.js";
import { logDensity } from "../src/sampling/log-density.js";
import { SeededNoise } from "../src/sampling/noise.js";
import { predictorCorrector } from "../src/sampling/predictor-corrector.js";
import { rk45 } from "../src/sampling/rk45.js";
import { type Denoise, forEachImage } from "../src/sampling/sampler.js";
import { evenSteps, karrasSteps } from "../src/sampling/steps.js";
import { device, normals, relativeDeviation, sameBits } from "./support.js";

const shape = { channels: 3, height: 8, width: 8 };
const IMAGES = [4, 3, 8, 8];
const config: NetworkConfig = {
  arch: "ddpmpp",
  precond: "edm",
  shape,
  modelChannels: 8,
  channelMult: [1, 2],
  numBlocks: 1,
  attnResolutions: [4],
  dropout: 0,
  labelDim: 3,
};

/** A network away from its initial weights, which ignore their input. */
function network(precision: "fp32" | "bf16", at: Device): Denoiser {
  const denoiser = buildDenoiser(config, { precision }).eval();
  noGrad(() =>
    scope(() => {
      let seed = 0;
      for (const parameter of denoiser.parameters()) parameter.copy_(normals(parameter.shape, seed++).mul(0.15));
    }),
  );
  return denoiser.to(at);
}

const here = network("fp32", "cpu");
const there = network("fp32", device);
const inBf16 = network("bf16", device);
afterAll(() => {
  for (const denoiser of [here, there, inBf16]) denoiser.dispose();
});

/** Of all images and densities, relative to the largest. Factors that were rounded to TF32 would put images off by 3e-5. */
const BOUND = 1e-5;

/** Everything in float64, the network too. */
const exactly: Denoise = (x, sigma) => scope(() => here.forward(x, forEachImage(sigma, x.size(0))));

const churn = { amount: 2, sMin: 0, sMax: 50, sNoise: 1.003 };
const steps = karrasSteps(3, { sigmaMin: 0.1, sigmaMax: 5 });
const methods: readonly [string, Method][] = [
  ["heun", methodOf(heun, steps, {})],
  ["heun with churn", methodOf(heun, steps, { churn })],
  ["euler", methodOf(euler, steps, {})],
  ["dpm++2m", methodOf(dpmSolver, steps, {})],
  ["dpm++2m-sde", methodOf(sdeDpmSolver, steps, {})],
  ["dpm++2m-sde, heun", methodOf(sdeDpmSolver, steps, { solverType: "heun" })],
  ["rk45", methodOf(rk45, steps, { rtol: 0.05, atol: 0.05 })],
  ["pc, ve", methodOf(predictorCorrector, evenSteps(3, veProcess({ sigmaMin: 0.1, sigmaMax: 2 }), 1e-5), {})],
  // With more drift so few steps would leave nothing of the images.
  ["pc, vp", methodOf(predictorCorrector, evenSteps(3, vpProcess({ betaMax: 2 }), 1e-2), { predictor: "ancestral" })],
];

test.each(methods)("%s goes the way that it goes on the CPU, with the noise from there", (_, method) => {
  /** Noise drawn on the CPU, the same at every call with the same number. */
  const sampled = (denoise: Denoise, at: Device): Tensor => {
    let calls = 0;
    const noise = (like: Tensor): Tensor => normals(IMAGES, 100 + calls++, like.dtype).to({ device: at });
    const start = normals(IMAGES, 99).mul(method.scale * method.sigma);
    return noGrad(() => method.sample(denoise, start.to({ device: at }), { noise }));
  };
  scope(() => {
    const expected = sampled(exactly, "cpu");
    const found = sampled(denoiseWith(there), device);
    expect([found.dtype, found.device.startsWith(device)]).toEqual(["float64", true]);
    expect(relativeDeviation(found, expected)).toBeLessThan(BOUND);
  });
});

test.each(methods)("%s makes equal images of equal seeds", (_, method) => {
  scope(() => {
    const drawn = (seeds: readonly number[], denoiser = there): Tensor =>
      generateImages(denoiser, seeds, { method }).images;
    const images = drawn([0, 1, 2, 3]);
    expect([images.dtype, images.shape, images.device]).toEqual(["uint8", IMAGES, there.device]);
    expect(sameBits(images, drawn([0, 1, 2, 3]))).toBe(true);
    expect(sameBits(images.narrow(0, 0, 1), drawn([4]))).toBe(false);
    const [few, many] = [drawn([2, 3]), images.narrow(0, 2, 2)].map((part) => part.double());
    // A batch of another size may be convolved in another way.
    expect(few!.sub(many!).abs().max().item()).toBeLessThanOrEqual(1);
    const differences = drawn([0, 1], inBf16)
      .double()
      .sub(images.narrow(0, 0, 2));
    // Of 256 levels; bfloat16 has 8 bits, and an adaptive method chooses other steps.
    expect(differences.abs().mean().item()).toBeLessThan(2);
  });
});

test("seeded noise is of the seed alone, and its classes come after it", () => {
  const drawnOf = (seeds: readonly number[]): { noise: Tensor; classes: number[] } => {
    const noise = new SeededNoise(seeds, device);
    try {
      return { noise: noise.draw([3, 8, 8], "float32"), classes: noise.integers(1000) };
    } finally {
      noise.dispose();
    }
  };
  scope(() => {
    const [all, one] = [drawnOf([5, 6, 7]), drawnOf([6])];
    expect(sameBits(all.noise.narrow(0, 1, 1), one.noise)).toBe(true);
    expect(all.classes[1]).toBe(one.classes[0]);
    expect(new Set(all.classes).size).toBe(3);
  });
});

test("guidance and known pixels", () => {
  scope(() => {
    const image = normals([1, 3, 8, 8], 7).mul(0.3).clamp(-1, 1).to({ device });
    const mask = normals([1, 1, 8, 8], 8).gt(0).double().to({ device });
    const [, method] = methods[1]!;
    const options = { method, classes: [0, 1], guidance: { weight: 2 }, known: knownPixels(image, mask) };
    const images = generateImages(there, [0, 1], options).images.double();
    const wanted = image.mul(127.5).add(128).floor();
    expect(images.sub(wanted).mul(mask).abs().max().item()).toBeLessThanOrEqual(1);
    expect(images.sub(wanted).abs().max().item()).toBeGreaterThan(10);
  });
});

test("log-densities of four images are those of the CPU, with the same probes", () => {
  scope(() => {
    const images = normals(IMAGES, 1).mul(0.5);
    const probes = [2, 3].map((seed) => normals(IMAGES, seed).sign());
    const options = { first: 0.3, last: 10, rtol: 1e-3, atol: 1e-3 };
    const expected = logDensity(exactly, images, probes, options);
    const found = logDensity(
      denoiseWith(there),
      images.to({ device }),
      probes.map((probe) => probe.to({ device })),
      options,
    );
    expect(found.logDensity.shape).toEqual([4, 2]);
    expect(found.logDensity.device).toBe(there.device);
    expect(relativeDeviation(found.latents, expected.latents)).toBeLessThan(BOUND);
    expect(relativeDeviation(found.logDensity, expected.logDensity)).toBeLessThan(BOUND);
  });
});
