/** The published stochastic differential equations, and the mixture whose score is known. */

import { scope } from "@stf/torch";
import {
  type BetaOptions,
  type Denoise,
  type DiscreteProcess,
  forEachImage,
  gaussianMixture,
  subVpProcess,
  veProcess,
  vpProcess,
} from "stf";
import type { GoldenFile } from "./golden-file.js";

/** The constants of a process under their published names. */
interface PublishedSde {
  readonly sigma_min?: number;
  readonly sigma_max?: number;
  readonly beta_min?: number;
  readonly beta_max?: number;
}

/** A process with the standard deviation that the published code uses for its prior. */
export interface Sde {
  readonly process: DiscreteProcess;
  readonly priorDeviation: number;
  /** For a process that has them. */
  readonly betas?: BetaOptions;
}

/** The index of a time in tables of `count` steps, which the published code computes in float32. */
const placeIn = (t: number, count: number): number => Math.floor(Math.fround(Math.fround(t) * Math.fround(count - 1)));

/** The same process with its steps taken from tables, at exactly the indices that the published code uses. */
const withTables = (process: DiscreteProcess): DiscreteProcess => ({
  ...process,
  chainStep: (t, count) => process.chainStep(placeIn(t, count) / (count - 1), count),
});

/** The processes of a file by name. @param key - of the metadata */
export function sdesOf(file: GoldenFile, key: string): Map<string, Sde> {
  const parameters = file.metadata<Record<string, PublishedSde>>(key);
  return new Map(Object.entries(parameters).map(([name, constants]) => [name, sdeOf(name, constants)]));
}

function sdeOf(name: string, { sigma_min, sigma_max, beta_min, beta_max }: PublishedSde): Sde {
  const betas = { betaMin: beta_min as number, betaMax: beta_max as number };
  switch (name) {
    case "ve": {
      const process = veProcess({ sigmaMin: sigma_min as number, sigmaMax: sigma_max as number });
      return { process: withTables(process), priorDeviation: process.sigma(process.end) };
    }
    case "vp":
      return { process: withTables(vpProcess(betas)), priorDeviation: 1, betas };
    case "subvp":
      return { process: subVpProcess(betas), priorDeviation: 1, betas };
    default:
      throw new Error(`the process ${name} is unknown`);
  }
}

/** The process of a run, whose name is a prefix of the run's. @throws Error when the file has none. */
export function sdeNamed(sdes: ReadonlyMap<string, Sde>, name: string): Sde {
  const found = sdes.get(name) ?? sdes.get(name.split("_", 1)[0] as string);
  if (!found) throw new Error(`the process of "${name}" is none of ${[...sdes.keys()].join(", ")}`);
  return found;
}

interface PublishedMixture {
  /** Weights. */
  readonly w: number[];
  /** Means. */
  readonly m: number[][];
  /** Standard deviations. */
  readonly s: number[];
}

/** The exact denoiser of the mixture that the file names. */
export function mixtureDenoiser(file: GoldenFile): Denoise {
  const { w, m, s } = file.metadata<PublishedMixture>("gmm");
  const { denoise } = gaussianMixture(
    "mixture",
    w.map((weight, i) => ({ weight, mean: m[i] as number[], deviation: s[i] as number })),
  );
  return (x, sigma) =>
    scope(() => {
      const levels = forEachImage(sigma, x.size(0));
      return (denoise as NonNullable<typeof denoise>)(x.double().flatten(1), levels).view(x.shape);
    });
}

/** ln p(x_t) of the mixture, from its definition. */
export function mixtureLogDensity(file: GoldenFile, { scale, sigma }: DiscreteProcess, t: number) {
  const { w, m, s } = file.metadata<PublishedMixture>("gmm");
  return (point: ArrayLike<number>): number => {
    const logs = w.map((weight, i) => {
      const variance = scale(t) ** 2 * ((s[i] as number) ** 2 + sigma(t) ** 2);
      const mean = m[i] as number[];
      const square = mean.reduce((sum, value, axis) => sum + ((point[axis] as number) - scale(t) * value) ** 2, 0);
      return Math.log(weight) - square / (2 * variance) - (mean.length / 2) * Math.log(2 * Math.PI * variance);
    });
    const highest = Math.max(...logs);
    return highest + Math.log(logs.reduce((sum, log) => sum + Math.exp(log - highest), 0));
  };
}
