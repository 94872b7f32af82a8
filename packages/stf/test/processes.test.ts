/** Processes, preconditionings and outputs against their definitions, and against each other. */

import { Module, scope, type Tensor, tensor } from "@stf/torch";
import { describe, expect, test } from "vitest";
import { Denoiser } from "../src/networks/denoiser.js";
import type { Network } from "../src/networks/network.js";
import { nearestLevel } from "../src/preconditioning/iddpm.js";
import type { Preconditioning } from "../src/preconditioning/preconditioning.js";
import { type PreconditioningName, preconditioningNames, preconditioningOf } from "../src/preconditioning/table.js";
import { subVpPreconditioning, vpPreconditioning } from "../src/preconditioning/vp.js";
import {
  hasLevelsBelow,
  levelsBelow,
  logNormalLevels,
  type NoiseLevels,
  uniformTimes,
} from "../src/processes/noise-levels.js";
import { convertOutput, type Output } from "../src/processes/outputs.js";
import { edmProcess, flowProcess, type Process, subVpProcess, veProcess, vpProcess } from "../src/processes/process.js";
import { KeyedRandom, randomKey } from "../src/random/keyed.js";
import { chiSquare, chiSquareBound, maxDeviation, meanAndError, normals, relativeDeviation } from "./support.js";

const close = (found: number, wanted: number, tolerance = 1e-12): void =>
  expect(Math.abs(found - wanted), `${found}, expected ${wanted}`).toBeLessThanOrEqual(tolerance * Math.abs(wanted));

const processes: Process[] = [edmProcess, veProcess(), vpProcess(), subVpProcess(), flowProcess];
const times = [1e-5, 1e-3, 0.1, 0.37, 0.5, 0.9, 0.99];

describe.each(processes)("$name", (process) => {
  test("the noise rises, and the inverse finds the time", () => {
    times.forEach((t, i) => {
      close(process.sigmaInverse(process.sigma(t)), t, 1e-9);
      if (i > 0) expect(process.sigma(t)).toBeGreaterThan(process.sigma(times[i - 1]!));
    });
  });

  test("the derivatives are those of central differences", () => {
    for (const t of times) {
      const step = 1e-5 * Math.min(t, 1 - t);
      const slope = (f: (t: number) => number): number => (f(t + step) - f(t - step)) / (2 * step);
      close(process.sigmaDerivative(t), slope(process.sigma), 1e-5);
      expect(Math.abs(process.scaleDerivative(t) - slope(process.scale))).toBeLessThan(1e-5 * (1 + 1 / t) * 1e-3);
    }
  });

  test("outputs convert into each other and back", () => {
    scope(() => {
      const kinds: Output[] = ["denoiser", "score", "noise", "velocity"];
      const inside = times.slice(2, 6);
      const [clean, eps] = [1, 2].map((seed) => normals([inside.length, 2, 3], seed)) as [Tensor, Tensor];
      const column = (f: (t: number) => number): Tensor =>
        tensor(Float64Array.from(inside, f), { shape: [inside.length, 1, 1] });
      const [s, deviation] = [column(process.scale), column((t) => process.scale(t) * process.sigma(t))];
      const x = clean.mul(s).add(eps.mul(deviation));
      // What a network that knows the clean image would say, from the definition of each kind; by hand: the velocity is
      // the derivative of s y + s sigma eps at fixed y and eps.
      const truth: Record<Output, Tensor> = {
        denoiser: clean,
        noise: eps,
        score: eps.neg().div(deviation),
        velocity: clean
          .mul(column(process.scaleDerivative))
          .add(
            eps.mul(
              column(
                (t) => process.scaleDerivative(t) * process.sigma(t) + process.scale(t) * process.sigmaDerivative(t),
              ),
            ),
          ),
      };
      for (const from of kinds) {
        for (const to of kinds) {
          const found = convertOutput(truth[from], { from, to }, x, inside, process);
          expect(relativeDeviation(found, truth[to]), `${from} to ${to}`).toBeLessThan(1e-10);
        }
      }
    });
  });
});

test("kernels in the notation of Song et al.: VP keeps alpha² + std² = 1, sub-VP has std = 1 - alpha², the flow is linear", () => {
  const [vp, subVp, ve] = [vpProcess(), subVpProcess(), veProcess({ sigmaMin: 0.01, sigmaMax: 50 })];
  for (const t of times) {
    const alpha = Math.exp(-(t ** 2 * 19.9) / 4 - (t * 0.1) / 2);
    close(vp.scale(t), alpha);
    close((vp.scale(t) * vp.sigma(t)) ** 2, 1 - alpha ** 2, 1e-9);
    close(subVp.scale(t), alpha);
    close(subVp.scale(t) * subVp.sigma(t), 1 - alpha ** 2, 1e-9);
    close(flowProcess.scale(t) * flowProcess.sigma(t), t);
    close(ve.sigma(t), 0.01 * 5000 ** t);
  }
  // beta_d = 19.9, beta_min = 0.1 at t = 1 (computed with the published code)
  close(vp.sigma(1), 152.167, 1e-5);
  close(vp.sigma(1e-5), 0.0010004976, 1e-6);
});

const table = Object.fromEntries(preconditioningNames.map((name) => [name, preconditioningOf(name)])) as Record<
  PreconditioningName,
  Preconditioning
>;

describe("preconditionings", () => {
  test("EDM's values at sigma = 1", () => {
    const { skip, out, in: scale, noise } = table.edm.coefficients(1);
    close(skip, 0.2);
    close(out, 0.4472136, 1e-6);
    close(scale, 0.8944272, 1e-6);
    expect(noise).toBe(0);
    close(table.edm.lossWeight(1), 5);
  });

  test("what the network is told of the noise", () => {
    const vp = vpProcess();
    const subVp = subVpProcess();
    for (const t of [0.01, 0.3, 0.8]) {
      close(table.vp.coefficients(vp.sigma(t)).noise, 999 * t, 1e-9);
      close(table.subvp.coefficients(subVp.sigma(t)).noise, 999 * t, 1e-9);
      close(table.subvp.coefficients(subVp.sigma(t)).in, subVp.scale(t), 1e-9);
      close(table.flow.coefficients(flowProcess.sigma(t)).noise, 999 * t, 1e-9);
    }
    close(table.ve.coefficients(2 * Math.E).noise, 1);
    const betas = { betaMin: 0.3, betaMax: 9 };
    const [faster, subFaster] = [vpPreconditioning({ ...betas, timeSteps: 500 }), subVpPreconditioning(betas)];
    close(faster.coefficients(vpProcess(betas).sigma(0.3)).noise, 499 * 0.3, 1e-9);
    close(subFaster.coefficients(subVpProcess(betas).sigma(0.3)).noise, 999 * 0.3, 1e-9);
  });

  test("the weight on D is that of equal errors of the output", () => {
    // lambda c_out² is 1 where the raw output is what is regressed on.
    for (const name of preconditioningNames) {
      for (const sigma of [0.05, 0.7, 12]) {
        close(table[name].lossWeight(sigma) * table[name].coefficients(sigma).out ** 2, 1);
      }
    }
  });

  /** A network that returns fixed numbers, in as many channels as asked. */
  class Fixed extends Module implements Network {
    readonly labelDim = 0;
    readonly shape = { channels: 1, height: 2, width: 2 };
    readonly output: Tensor;
    input: number[] = [];
    constructor(output: Tensor) {
      super();
      this.output = output;
    }
    forward(x: Tensor): Tensor {
      this.input = Array.from(x.toFloat64Array());
      return this.output;
    }
  }

  test("the flow's output is the velocity of x_t", () => {
    scope(() => {
      const t = [0.2, 0.6, 0.9];
      const sigma = Float64Array.from(t, flowProcess.sigma);
      const [clean, eps, velocity] = [1, 2, 3].map((seed) => normals([3, 1, 2, 2], seed)) as [Tensor, Tensor, Tensor];
      const levels = tensor(sigma, { shape: [3, 1, 1, 1] });
      const unscaled = clean.addcmul(eps, levels);
      const network = new Fixed(velocity);
      const denoised = new Denoiser(network, table.flow).forward(unscaled, sigma);
      const interpolated = clean
        .mul(tensor(t.map((v) => 1 - v)).view([3, 1, 1, 1]))
        .addcmul(eps, tensor(Float64Array.from(t), { shape: [3, 1, 1, 1] }));
      expect(maxDeviation(network.input, interpolated)).toBeLessThan(1e-6);
      const back = convertOutput(denoised, { from: "denoiser", to: "velocity" }, interpolated, t, flowProcess);
      expect(relativeDeviation(back, velocity)).toBeLessThan(1e-6);
    });
  });

  test("the score-based ones estimate the noise", () => {
    for (const [name, sign] of [
      ["vp", 1],
      ["subvp", 1],
      ["iddpm", 1],
      ["ve", -1],
    ] as const) {
      scope(() => {
        const sigma = Float64Array.of(0.3, 4);
        const x = normals([2, 1, 2, 2], 1);
        const noise = normals([2, 2, 2, 2], 2);
        const denoised = new Denoiser(new Fixed(noise), table[name]).forward(x, sigma);
        const found = x.sub(denoised).div(tensor(sigma, { shape: [2, 1, 1, 1] }));
        expect(relativeDeviation(found, noise.narrow(1, 0, 1).mul(sign)), name).toBeLessThan(1e-12);
      });
    }
  });

  test("iDDPM's levels: the published ends, the recursion, and the nearest of them", () => {
    const levels = table.iddpm.levels!;
    expect(levels).toHaveLength(1001);
    close(table.iddpm.sigmaMin, 0.0064223, 5e-4);
    close(table.iddpm.sigmaMax, 20291.1, 1e-5);
    expect(levels[1000]).toBe(0);
    for (let i = 1; i < levels.length; i++) expect(levels[i]).toBeLessThan(levels[i - 1]!);
    for (const sigma of [0, 1e-9, 0.01, 0.5, 1, 80, 1e5, ...Array.from(levels.subarray(0, 50), (u) => u * 1.0003)]) {
      const distances = Array.from(levels, (u) => Math.abs(u - Math.fround(sigma)));
      expect(nearestLevel(levels, sigma)).toBe(distances.indexOf(Math.min(...distances)));
    }
    expect(table.iddpm.coefficients(levels[300]!).noise).toBe(1000 - 1 - 300);
  });
});

describe("noise levels of training", () => {
  test("uniform times are uniform", () => {
    const draw = uniformTimes(vpProcess(), 1, 1e-5);
    const counts = new Array<number>(20).fill(0);
    for (let i = 0; i < 10_000; i++) {
      const t = vpProcess().sigmaInverse(draw(new KeyedRandom(randomKey(3, "noiseLevel", i))));
      expect(t).toBeGreaterThan(0.99e-5);
      expect(t).toBeLessThanOrEqual(1);
      counts[Math.min(19, Math.floor(20 * t))]! += 1;
    }
    expect(chiSquare(counts)).toBeLessThan(chiSquareBound(19));
  });

  test.each(preconditioningNames)("of %s lie in the range of its network", (name) => {
    const { sigmaMin, sigmaMax, noiseLevels: draw } = table[name];
    for (let i = 0; i < 2000; i++) {
      const sigma = draw(new KeyedRandom(randomKey(4, "noiseLevel", i)));
      expect(sigma).toBeGreaterThanOrEqual(sigmaMin * (1 - 1e-9));
      expect(sigma).toBeLessThanOrEqual(sigmaMax * (1 + 1e-9));
      expect(Number.isFinite(sigma)).toBe(true);
    }
  });

  test("VE's are log-uniform from 0.02 to 100, iDDPM's its levels but 0", () => {
    const ve = table.ve.noiseLevels;
    const counts = new Array<number>(10).fill(0);
    for (let i = 0; i < 5000; i++) {
      const sigma = ve(new KeyedRandom(randomKey(5, "noiseLevel", i)));
      counts[Math.floor((10 * Math.log(sigma / 0.02)) / Math.log(5000))]! += 1;
    }
    expect(chiSquare(counts)).toBeLessThan(chiSquareBound(9));
    const iddpm = table.iddpm.noiseLevels;
    const known = new Set(table.iddpm.levels);
    for (let i = 0; i < 500; i++) {
      const sigma = iddpm(new KeyedRandom(randomKey(6, "noiseLevel", i)));
      expect(known.has(sigma) && sigma > 0).toBe(true);
    }
  });
});

describe("noise levels below a limit", () => {
  const levels = logNormalLevels(-1.2, 1.2);
  const drawn = (of: NoiseLevels, count = 4000): number[] =>
    Array.from({ length: count }, (_, i) => of(new KeyedRandom(randomKey(5, "noiseLevel", i))));

  test("have the distribution of the others, given that they are there", () => {
    const limit = 0.5;
    const [below, all] = [drawn(levelsBelow(levels, limit)), drawn(levels, 16_000).filter((sigma) => sigma < limit)];
    expect(Math.max(...below)).toBeLessThan(limit);
    const [one, other] = [below, all].map((list) => meanAndError(list.map(Math.log)));
    const difference = (one?.mean as number) - (other?.mean as number);
    expect(Math.abs(difference)).toBeLessThan(4.5 * Math.hypot(one?.error as number, other?.error as number));
    // Those that are below anyway stay as they are.
    const same = drawn(levels).map((sigma, i) => sigma >= limit || sigma === below[i]);
    expect(same.every(Boolean)).toBe(true);
  });

  test("are all where the limit is above them, and none where it is below", () => {
    expect(drawn(levelsBelow(levels, 1e6), 100)).toEqual(drawn(levels, 100));
    expect(() => drawn(levelsBelow(levels, 1e-9), 1)).toThrow(RangeError);
    expect([1e6, 1e-9].map((each) => hasLevelsBelow(levels, each))).toEqual([true, false]);
  });
});
