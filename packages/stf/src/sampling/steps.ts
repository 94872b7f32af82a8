/** The noise levels at which samplers evaluate the network, descending, and the corresponding times of a process. */

import { UsageError } from "../common/errors.js";
import { type IddpmConstants, iddpmLevels } from "../processes/iddpm-levels.js";
import { type BetaOptions, edmProcess, type Process, vpProcess } from "../processes/process.js";
import { type NoiseRange, SHORTEST_TIME, vpProcessBetween } from "../processes/scheduled.js";
import type { TimeSteps } from "./sampler.js";

/** The shape of EDM's schedule. */
export interface KarrasOptions {
  /** The last noise level before the final 0. */
  readonly sigmaMin?: number;
  /** The first noise level. */
  readonly sigmaMax?: number;
  /** Exponent: larger values make steps shorter towards sigmaMin. */
  readonly rho?: number;
}

/** EDM's schedule for CIFAR-10 (Karras et al. 2022, table 1 and section 3), the default. */
export const edmSchedule = { steps: 18, sigmaMin: 0.002, sigmaMax: 80, rho: 7 } as const;

/** `count` noise levels in a range, descending. */
export interface Discretization {
  /** The default range. */
  readonly range: NoiseRange;
  /** @throws UsageError unless count >= 2, 0 < sigmaMin < sigmaMax, and the levels are finite and descend. */
  levels(count: number, range: NoiseRange, rho: number): number[];
}

/** The names of the discretizations of Karras et al. (2022, table 1). */
export const discretizationNames = ["vp", "ve", "iddpm", "edm"] as const;

/** The name of a discretization. */
export type DiscretizationName = (typeof discretizationNames)[number];

/** Tolerance for rounding at the ends of a schedule. */
const END_TOLERANCE = 1e-3;

/** @throws UsageError for levels that extreme options make infinite, zero, equal or different from the requested range */
function checkLevels(levels: readonly number[], { sigmaMin, sigmaMax }: NoiseRange, rho: number | undefined): void {
  const isEnd = (level: number, wanted: number): boolean => Math.abs(level / wanted - 1) < END_TOLERANCE;
  const bad = levels.findIndex((level, i) => !(level > 0 && level < (levels[i - 1] ?? Number.POSITIVE_INFINITY)));
  if (bad < 0 && isEnd(levels[0] as number, sigmaMax) && isEnd(levels.at(-1) as number, sigmaMin)) return;
  const found =
    bad < 0 ? `${levels[0]} to ${levels.at(-1)}` : `${levels[bad]}${bad > 0 ? ` after ${levels[bad - 1]}` : ""}`;
  throw new UsageError(
    `${levels.length} noise levels from ${sigmaMax} to ${sigmaMin}${rho === undefined ? "" : ` with rho ${rho}`} must be finite and above 0, each below the one before, found ${found}; ` +
      `bring ${rho === undefined ? "" : "'rho', "}'sigma_min' and 'sigma_max' closer to their defaults, or use fewer 'steps'`,
  );
}

/** @throws UsageError unless count >= 2 and 0 < sigmaMin < sigmaMax */
function checkRange(count: number, { sigmaMin, sigmaMax }: NoiseRange): void {
  if (!(Number.isInteger(count) && count >= 2))
    throw new UsageError(`a schedule needs at least 2 steps, found ${count}`);
  if (!(sigmaMin > 0 && sigmaMin < sigmaMax)) {
    throw new UsageError(`a schedule needs 0 < sigma_min < sigma_max, found ${sigmaMin} and ${sigmaMax}`);
  }
}

/** `count` levels: `f` of the fraction of the range, from 0 to 1. */
function alongTheWay(count: number, range: NoiseRange, f: (share: number) => number, rho?: number): number[] {
  checkRange(count, range);
  const levels = Array.from({ length: count }, (_, i) => f(i / (count - 1)));
  checkLevels(levels, range, rho);
  return levels;
}

/** Rounds to the nearest whole number, ties to even. */
function roundHalfToEven(value: number): number {
  const below = Math.floor(value);
  if (value - below !== 0.5) return Math.round(value);
  return below % 2 === 0 ? below : below + 1;
}

/** The constants behind {@link discretizations}. */
export interface DiscretizationOptions extends IddpmConstants {
  /** Constants of the variance-preserving process, which determine its range. */
  readonly betas?: BetaOptions;
  /** The time of its lowest noise level. */
  readonly shortestTime?: number;
  /** Steps of the chain of improved DDPM. */
  readonly timeSteps?: number;
}

/** The discretizations of Karras et al. (2022, table 1), with custom constants. */
export function discretizationsWith({
  betas,
  shortestTime = SHORTEST_TIME,
  timeSteps = 1000,
  ...constants
}: DiscretizationOptions = {}): Readonly<Record<DiscretizationName, Discretization>> {
  const vp = vpProcess(betas);
  return {
    /** Even in the time of the variance-preserving process. */
    vp: {
      range: { sigmaMin: vp.sigma(shortestTime), sigmaMax: vp.sigma(1) },
      levels(count, range) {
        const { sigma } = vpProcessBetween(range, shortestTime);
        return alongTheWay(count, range, (share) => sigma(1 + share * (shortestTime - 1)));
      },
    },
    /** Even in ln sigma. */
    ve: {
      range: { sigmaMin: 0.02, sigmaMax: 100 },
      levels(count, range) {
        const { sigmaMin, sigmaMax } = range;
        return alongTheWay(count, range, (share) => sigmaMax * (sigmaMin / sigmaMax) ** share);
      },
    },
    /** Even along the chain of improved DDPM. */
    iddpm: {
      range: { sigmaMin: 0.002, sigmaMax: 81 },
      levels(count, range) {
        checkRange(count, range);
        const { sigmaMin, sigmaMax } = range;
        const chain = iddpmLevels(timeSteps, undefined, constants).filter(
          (level) => level >= sigmaMin && level <= sigmaMax,
        );
        if (count > chain.length) {
          throw new UsageError(
            `the discretization iddpm has ${chain.length} levels in this range, found ${count} steps`,
          );
        }
        const stride = (chain.length - 1) / (count - 1);
        return Array.from({ length: count }, (_, i) => chain[roundHalfToEven(stride * i)] as number);
      },
    },
    /** Even in sigma^(1/rho) (Karras et al. 2022, equation 5). */
    edm: {
      range: { sigmaMin: edmSchedule.sigmaMin, sigmaMax: edmSchedule.sigmaMax },
      levels(count, range, rho) {
        const [first, last] = [range.sigmaMax ** (1 / rho), range.sigmaMin ** (1 / rho)];
        return alongTheWay(count, range, (share) => (first + share * (last - first)) ** rho, rho);
      },
    },
  };
}

/** The noise levels of the published samplers. */
export const discretizations = discretizationsWith();

/**
 * The times at which a process has the noise levels, and 0, where images are clean.
 *
 * @throws UsageError when a time is not finite.
 */
export function timeSteps(levels: readonly number[], process: Process = edmProcess): TimeSteps {
  const times = [...levels.map(process.sigmaInverse), 0];
  const bad = times.findIndex((time) => !Number.isFinite(time));
  if (bad >= 0) {
    throw new UsageError(
      `the process ${process.name} has no finite time for the noise level ${levels[bad]}; bring 'sigma_min' and 'sigma_max' closer to their defaults`,
    );
  }
  return { process, times };
}

/**
 * EDM's schedule (Karras et al. 2022, equation 5): `count` levels from sigmaMax to sigmaMin, evenly spaced in
 * sigma^(1/rho), and a final 0.
 *
 * @throws UsageError unless count >= 2, 0 < sigmaMin < sigmaMax, and the levels are finite and descend.
 */
export function karrasSteps(
  count: number,
  { sigmaMin = edmSchedule.sigmaMin, sigmaMax = edmSchedule.sigmaMax, rho = edmSchedule.rho }: KarrasOptions = {},
): TimeSteps {
  return timeSteps(discretizations.edm.levels(count, { sigmaMin, sigmaMax }, rho));
}

/** `count` times of a process, evenly spaced from its end to `last`. */
export function evenSteps<P extends Process>(count: number, process: P, last: number): TimeSteps<P> {
  const { end } = process;
  if (!(Number.isInteger(count) && count >= 2))
    throw new UsageError(`a schedule needs at least 2 steps, found ${count}`);
  return { process, times: Array.from({ length: count }, (_, i) => end + (i / (count - 1)) * (last - end)) };
}
