/** Golden files of stochastic differential equations with constants of their own, from closed forms. */

import { setThreads, type Tensor } from "@stf/torch";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { GoldenFolder, numbers, scoped } from "./golden-files.js";

setThreads(1);

let folder: GoldenFolder;
beforeAll(() => {
  folder = new GoldenFolder();
});
afterAll(() => folder.dispose());

/** One Gaussian in three dimensions under the variance-preserving process: everything has a closed form. */
describe("stochastic differential equations", () => {
  const [betaMin, betaMax, count, variance] = [0.2, 9, 50, 0.3];
  const mean = [0.5, -1, 0.2];
  const gmm = { w: [1], m: [mean], s: [Math.sqrt(variance)] };
  const constants = { vp: { beta_min: betaMin, beta_max: betaMax } };
  const slope = betaMax - betaMin;
  const beta = (t: number): number => betaMin + slope * t;
  const alpha = (t: number): number => Math.exp(-0.5 * (betaMin * t + 0.5 * slope * t ** 2));
  const spread = (t: number): number => alpha(t) ** 2 * variance + 1 - alpha(t) ** 2;
  const logNormal = (z: readonly number[], center: readonly number[], v: number): number =>
    z.reduce(
      (sum, value, i) => sum - (value - (center[i] as number)) ** 2 / (2 * v) - Math.log(2 * Math.PI * v) / 2,
      0,
    );

  test(
    "the grid has the file's betas, number of steps and dimension",
    scoped(() => {
      const name = "11_sde_grid.safetensors";
      const times = [0.01, 0.3, 0.55, 1].map(Math.fround);
      const rows = times.map((_, i) => [0.1 * i, -0.7, 1.1 - i]);
      const along = (f: (t: number, value: number, axis: number) => number): Tensor => {
        const values = rows.flatMap((row, i) => row.map((value, axis) => f(times[i] as number, value, axis)));
        return numbers(values, [4, 3, 1, 1]);
      };
      const tableBetas = Array.from({ length: count }, (_, i) => beta(i / (count - 1)) / count);
      const inTable = (t: number): number => tableBetas[Math.floor(t * (count - 1))] as number;
      const score = (t: number, x: number, axis: number): number =>
        -(x - alpha(t) * (mean[axis] as number)) / spread(t);
      const increment = (t: number, x: number): number => (Math.sqrt(1 - inTable(t)) - 1) * x;
      let product = 1;
      const products = tableBetas.map((value) => {
        product *= 1 - value;
        return product;
      });
      const std = times.map((t) => Math.sqrt(1 - alpha(t) ** 2));
      const own = {
        mean: along((t, x) => alpha(t) * x),
        std,
        drift: along((t, x) => -0.5 * beta(t) * x),
        diffusion: times.map((t) => Math.sqrt(beta(t))),
        f: along(increment),
        G: times.map((t) => Math.sqrt(inTable(t))),
        gmm_score: along(score),
        reverse_drift: along((t, x, axis) => -0.5 * beta(t) * x - beta(t) * score(t, x, axis)),
        flow_drift: along((t, x, axis) => -0.5 * beta(t) * (x + score(t, x, axis))),
        reverse_f: along((t, x, axis) => increment(t, x) - inTable(t) * score(t, x, axis)),
        flow_f: along((t, x, axis) => increment(t, x) - 0.5 * inTable(t) * score(t, x, axis)),
        prior_logp: rows.map((row) => logNormal(row, [0, 0, 0], 1)),
        discrete_betas: tableBetas,
        sqrt_alphas_cumprod: products.map(Math.sqrt),
        sqrt_1m_alphas_cumprod: products.map((value) => Math.sqrt(1 - value)),
        "continuous.labels": times.map((t) => 999 * t),
        "continuous.score_factor": std.map((value) => -1 / value),
      };
      const content = Object.fromEntries(Object.entries(own).map(([what, value]) => [`vp.${what}`, value] as const));
      folder.write(name, { t: times, x: along((_, x) => x), ...content }, { parameters: constants, N: count, gmm });
      expect(folder.failures(name)).toEqual([]);
      folder.change(name, {}, { parameters: { vp: { beta_min: 0.1, beta_max: 20 } } });
      expect(folder.failures(name)).toEqual(expect.arrayContaining(["vp.std", "vp.continuous.score_factor"]));
      folder.change(name, {}, { parameters: constants, N: 60 });
      expect(folder.failures(name)).toEqual([expect.stringContaining("60 numbers where 50 are expected")]);
    }),
  );

  test(
    "likelihoods have the file's offset, and its prior",
    scoped(() => {
      const name = "11_sde_likelihood.safetensors";
      const eps = 1e-3;
      const points = [0.4, -0.9, 0, 0.6, -1.3, 0.9];
      const rows = [points.slice(0, 3), points.slice(3)];
      const ratio = Math.sqrt(spread(1) / spread(eps));
      const centered = (t: number): number[] => mean.map((value) => alpha(t) * value);
      const ends = rows.map((row) =>
        row.map((x, i) => (centered(1)[i] as number) + ratio * (x - (centered(eps)[i] as number))),
      );
      const bits = (density: number): number => -density / (3 * Math.LN2) + 8;
      // The flow stretches all directions alike, so a probe of signs finds the exact divergence.
      const bpd = ends.map((z) => bits(logNormal(z, [0, 0, 0], 1) + 3 * Math.log(ratio)));
      const z = numbers(ends.flat(), [2, 3, 1, 1]);
      const content = {
        data: numbers(points, [2, 3, 1, 1]),
        "vp.probe": numbers([1, -1, 1, 1, 1, -1], [2, 3, 1, 1]),
        "vp.bpd": bpd,
        "vp.z": z,
        "vp.bpd_float64_tight": bpd,
        "vp.z_float64_tight": z,
        "vp.bpd_true_density": rows.map((row) => bits(logNormal(row, centered(eps), spread(eps)))),
      };
      const settings = { eps, rtol: 1e-5, atol: 1e-5, offset: 8 };
      folder.write(name, content, { sde: constants, gmm, settings });
      expect(folder.failures(name)).toEqual([]);
      folder.change(name, {}, { settings: { ...settings, offset: 7 } });
      expect(folder.failures(name)).toEqual(["vp.bpd", "vp: bits, tight", "vp.bpd_true_density"]);
    }),
  );
});
